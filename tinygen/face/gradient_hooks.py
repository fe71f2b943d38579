"""`Tensor.register_hook`: a function that is called with a gradient during backward, and may replace it."""

from __future__ import annotations

from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor, attach
from tinygen.nn.forward_hooks import RemovableHandle


def install() -> None:
    """Attach `register_hook` to Tensor."""
    attach(Methods)


class Methods:
    """They become methods of Tensor."""

    def register_hook(self, hook) -> RemovableHandle:
        """Call hook(gradient) when the gradient of this Tensor is known; what it returns, if not None, replaces it.

        The hook belongs to the operation that made the Tensor, or to the leaf itself.
        """
        if not self.requires_grad:
            raise refusal(
                "register_hook",
                RuntimeError,
                "this Tensor does not require a gradient, so the hook would never be called",
            )
        if not callable(hook):
            raise refusal(
                "register_hook",
                TypeError,
                f"found a {type(hook).__name__}, expected a function of the gradient",
            )
        if self._edge is None:
            hooks = self._hooks = getattr(self, "_hooks", None) or {}
        else:
            hooks = self._edge.hooks = self._edge.hooks or {}
        handle = RemovableHandle(hooks)
        hooks[handle] = _checked(hook)
        return handle


def _checked(hook):
    """Call the hook; it has to return None or a gradient of the same shape and dtype."""

    def call(g):
        result = hook(g)
        if result is None:
            return None
        if not isinstance(result, Tensor):
            raise refusal(
                "register_hook",
                TypeError,
                f"the hook returned a {type(result).__name__}, expected a Tensor or None",
            )
        if result.shape != g.shape or result.dtype != g.dtype:
            raise refusal(
                "register_hook",
                RuntimeError,
                f"the hook returned {result.dtype} {result.shape} for a gradient {g.dtype} {g.shape}, "
                "expected the same",
            )
        return result

    return call
