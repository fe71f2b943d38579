"""`tinygen.save` and `tinygen.load`: state dicts as safetensors files with PyTorch's keys, so weights go both ways."""

from __future__ import annotations

from tinygen.tensor import Tensor


def save(state_dict: dict, path) -> None:
    """Write a state dict ({name: Tensor}) to a safetensors file; `safetensors.torch.load_file` reads it."""
    from tinygen import checkpoint

    if not isinstance(state_dict, dict):
        raise TypeError(
            f"save: found a {type(state_dict).__name__}, expected a dict such as net.state_dict()"
        )
    checkpoint.save_state(state_dict, path)


def load(path) -> dict[str, Tensor]:
    """Read a safetensors file, written by `save`, by a run or by PyTorch.  Pickles are refused, never loaded."""
    from tinygen import checkpoint

    return {name: Tensor._wrap(array) for name, array in checkpoint.load_state(path).items()}
