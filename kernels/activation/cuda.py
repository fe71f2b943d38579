"""Activations and their gradients on the GPU: `activation.cu`.  float32, one launch, one pass over memory."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.activation import reference as activation
from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import Kernel, array_module

source = CudaSource("activation/activation.cu")
THREADS = 256
CHUNK = 1024  # elements of a block, four a thread


def one_pass(source: CudaSource, kernel: str, *arrays, first=(), numbers=()):
    """kernel(first..., arrays..., out, n, numbers...) over arrays of one shape; copied where not contiguous."""
    float32_only(kernel, **{f"argument {i}": a for i, a in enumerate(arrays)})
    if len({a.shape for a in arrays}) > 1:
        raise ValueError(f"{kernel}: expected one shape; got {', '.join(str(a.shape) for a in arrays)}")
    xp = array_module(arrays[0])
    out = xp.empty(arrays[0].shape, np.float32)
    dense = [xp.ascontiguousarray(a) for a in arrays]
    blocks = -(-out.size // CHUNK)
    source.launch(kernel, (blocks,), (THREADS,), *first, *dense, out, np.int64(out.size), *numbers)
    return out


def float32s(*arrays) -> bool:
    """Whether `one_pass` takes them."""
    return all(a.dtype == np.float32 and a.shape == arrays[0].shape for a in arrays)


def _register(kernel: Kernel, arrays: int) -> None:
    """The one-pass variant of a kernel that takes so many arrays, and then perhaps a slope."""

    def usable(*arguments) -> bool:
        return float32s(*arguments[:arrays])

    @kernel.variant("one_pass", devices=("cuda",), usable=usable, on="host")
    def one_pass_cuda(*arguments):
        """A thread reads four elements of each array and writes four: every array is read or written once."""
        numbers = map(float, arguments[arrays:])
        return one_pass(source, kernel.name, *arguments[:arrays], numbers=numbers)


for _name in "sigmoid", "silu", "gelu", "gelu_tanh", "leaky_relu":
    _register(getattr(activation, _name), 1)
    _register(getattr(activation, f"{_name}_grad"), 2)
_register(activation.relu_grad, 2)
