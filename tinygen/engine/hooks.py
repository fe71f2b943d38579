"""Taking a hook away again: what registering one, on a Tensor or on a Module, gives back."""

from __future__ import annotations


class RemovableHandle:
    """Takes a hook away again: `remove()`, or the end of a `with` block.

    It is the hook's key in `hooks`, so that the two still belong together in a copy or after pickle.
    """

    def __init__(self, hooks: dict) -> None:
        self.hooks = hooks

    def remove(self) -> None:
        self.hooks.pop(self, None)

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<handle of a hook{'' if self in self.hooks else ' that was removed'}>"
