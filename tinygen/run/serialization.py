"""`tinygen.save` and `tinygen.load`: state dicts as safetensors files with PyTorch's keys, in both directions."""

from __future__ import annotations

import numpy as np

from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor


def save(obj: dict, f) -> None:
    """Write a state dict ({name: Tensor}) to a safetensors file; `safetensors.torch.load_file` reads it."""
    from tinygen.run import checkpoint

    if not isinstance(obj, dict):
        raise refusal(
            "save", TypeError, f"found a {type(obj).__name__}, expected a dict such as net.state_dict()"
        )
    for name, value in obj.items():
        if not isinstance(value, Tensor | np.ndarray):
            raise refusal(
                "save", TypeError, f"{name} is a {type(value).__name__}, expected a Tensor or an array"
            )
    checkpoint.save_state(obj, f)


def load(f) -> dict[str, Tensor]:
    """Read a safetensors file written by `save`, by a run or by PyTorch, sorted by name.

    Pickles are refused, never loaded.
    """
    from tinygen.run import checkpoint

    return {name: Tensor._wrap(array) for name, array in sorted(checkpoint.load_state(f).items())}
