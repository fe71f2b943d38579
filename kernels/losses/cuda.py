"""Losses on a GPU (`losses.cu`): float32; cross-entropy for (N, C, 1), where the classes of a place are contiguous."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.activation.cuda import float32s, one_pass
from tinygen.kernels.losses.reference import (
    bce_with_logits,
    bce_with_logits_grad,
    cross_entropy,
    cross_entropy_grad,
)
from tinygen.kernels.runtime.cuda_source import CudaSource, float32_only
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("losses/losses.cu")
THREADS = 256
ROWS = THREADS // 32  # per block, one per warp


@bce_with_logits.variant("one_pass", devices=("cuda",), usable=float32s, on="host")
def bce_with_logits_one_pass_cuda(x, target):
    """Reads 8 and writes 4 bytes per element."""
    return one_pass(source, "bce_with_logits", x, target)


@bce_with_logits_grad.variant("one_pass", devices=("cuda",), usable=float32s, on="host")
def bce_with_logits_grad_one_pass_cuda(g, x, target):
    """Reads 12 and writes 4 bytes per element, or reads 8 if g is one number, broadcast."""
    if not g.size or any(g.strides):
        return one_pass(source, "bce_with_logits_grad", g, x, target)
    float32_only("bce_with_logits_grad", g=g)
    once = g[(..., *(slice(1),) * g.ndim)]
    return one_pass(source, "bce_with_logits_grad_of_sum", x, target, first=(once,))


def _rows(x, index, weights) -> bool:
    """Whether the classes of a place are contiguous: x (N, C, 1), index and weights (N, 1)."""
    return x.dtype == weights.dtype == np.float32 and x.shape[2] == 1 and index.dtype == np.int64


def _grad_rows(g, x, index, weights, most, log_sum) -> bool:
    return g.dtype == np.float32 and _rows(x, index, weights)


def _require(usable: bool) -> None:
    if not usable:
        raise ValueError("cross_entropy: the CUDA kernels take float32 of shape (N, C, 1) and int64 classes")


def _launch(kernel: str, *arrays, out, shape) -> None:
    """Launch on logits of `shape` (N, C, 1); `arrays` are read, those in `out` are written."""
    rows, C, _ = shape
    dense = [array_module(a).ascontiguousarray(a) for a in arrays]
    source.launch(kernel, (ceil_div(rows, ROWS),), (THREADS,), *dense, *out, rows, C)


@cross_entropy.variant("warp_rows", devices=("cuda",), usable=_rows, on="host")
def cross_entropy_warp_rows(x, index, weights):
    """A warp takes a row and keeps its maximum and log Σ exp: reads 4 bytes per element and writes 12 per row."""
    _require(_rows(x, index, weights))
    losses, most, log_sum = (array_module(x).empty(index.shape, np.float32) for _ in range(3))
    _launch("cross_entropy", x, index, weights, out=(losses, most, log_sum), shape=x.shape)
    return losses, most, log_sum


@cross_entropy_grad.variant("warp_rows", devices=("cuda",), usable=_grad_rows, on="host")
def cross_entropy_grad_warp_rows(g, x, index, weights, most, log_sum):
    """A warp takes a row: the softmax from x, m and log Σ, minus 1 at the class.  8 bytes per element."""
    _require(_grad_rows(g, x, index, weights, most, log_sum))
    gx = array_module(x).empty(x.shape, np.float32)
    _launch("cross_entropy_grad", g, x, index, weights, most, log_sum, out=(gx,), shape=x.shape)
    return gx
