"""Hooks that run before and after a module's forward."""

from __future__ import annotations


class RemovableHandle:
    """Removes a hook: by `remove()`, or at the end of a `with` block.

    It is the hook's key in `hooks`, so the two still belong together in a copy or after pickling.
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


def register(module, kind: str, hook, prepend: bool, with_kwargs: bool) -> RemovableHandle:
    if not module._hooked:
        vars(module).update(_hooked=True, _forward_pre_hooks={}, _forward_hooks={})
    hooks = vars(module)[kind]
    handle = RemovableHandle(hooks)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle] = hook, with_kwargs
    hooks.update(others)
    return handle


def call_with_hooks(module, args: tuple, kwargs: dict):
    for hook, with_kwargs in list(module._forward_pre_hooks.values()):
        if with_kwargs:
            new = hook(module, args, kwargs)
            if new is not None:
                if not (isinstance(new, tuple) and len(new) == 2):
                    raise RuntimeError(
                        f"forward pre-hook: found a {type(new).__name__}, expected None or (args, kwargs)"
                    )
                args, kwargs = new
        else:
            new = hook(module, args)
            if new is not None:
                args = new if isinstance(new, tuple) else (new,)
    output = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(module._forward_hooks.values()):
        new = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
        if new is not None:
            output = new
    return output
