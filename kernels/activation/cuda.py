"""Activations and their gradients on the GPU (`activation.cu`): float32, one launch, one pass over memory."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.activation.reference import (
    gelu,
    gelu_grad,
    gelu_tanh,
    gelu_tanh_grad,
    leaky_relu,
    leaky_relu_grad,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    silu,
    silu_grad,
)
from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import Kernel, array_module

source = CudaSource("activation/activation.cu")
THREADS = 256
CHUNK = 1024  # elements per block, four per thread


def one_pass(source: CudaSource, kernel: str, *arrays, first=(), numbers=()):
    """Launch kernel(first..., arrays..., out, n, numbers...).  -> out, of the arrays' one shape

    Arrays that are not contiguous are copied.
    """
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
    """Whether `one_pass` takes these arrays: float32, of one shape"""
    return all(a.dtype == np.float32 and a.shape == arrays[0].shape for a in arrays)


def _register(kernel: Kernel, arrays: int) -> None:
    """Register the one-pass variant of a kernel whose arguments are so many arrays, then possibly a slope."""

    def usable(*arguments) -> bool:
        return float32s(*arguments[:arrays])

    @kernel.variant("one_pass", devices=("cuda",), usable=usable, on="host")
    def one_pass_cuda(*arguments):
        """A thread reads four elements of each array and writes four: every array is read or written once."""
        numbers = map(float, arguments[arrays:])
        return one_pass(source, kernel.name, *arguments[:arrays], numbers=numbers)


for _kernel in sigmoid, silu, gelu, gelu_tanh, leaky_relu:
    _register(_kernel, 1)
for _kernel in sigmoid_grad, silu_grad, gelu_grad, gelu_tanh_grad, leaky_relu_grad, relu_grad:
    _register(_kernel, 2)
