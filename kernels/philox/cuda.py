"""Philox on the GPU (`philox.cu`): one launch per call, and each thread makes four numbers."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.philox.reference import philox_bernoullis, philox_normals, philox_uniforms, philox_words
from tinygen.kernels.runtime.cuda_source import CudaSource, address
from tinygen.kernels.runtime.dispatch import array_module
from tinygen.kernels.runtime.rounding import ceil_div

source = CudaSource("philox/philox.cu")
THREADS = 256


def _whole(dtype: type):
    """A `usable`: `out` is a contiguous array of `dtype` on a 16-byte boundary, in whole blocks of four."""

    def usable(out, *key) -> bool:
        return out.dtype == dtype and out.flags.c_contiguous and not out.size % 4 and not address(out) % 16

    return usable


def _floats(out, *key) -> bool:
    return _whole(np.float32)(out) or _whole(np.float64)(out)


def _counter(seed: int, purpose: int, step, first_block: int) -> list:
    """Key and counter as the kernels take them; a step that is an array lies on the device."""
    low, high, there = 0, 0, None
    if isinstance(step, (int, np.integer)):
        low, high = step & 0xFFFFFFFF, step >> 32
    else:
        there = step.reshape(1).view(np.uint32)
    return [*map(np.uint32, (seed & 0xFFFFFFFF, seed >> 32, first_block, purpose, low, high)), there]


def _fill(kernel: str, usable, out, key) -> None:
    if not usable(out):
        raise ValueError(
            f"{kernel}: expected whole blocks of four numbers, contiguous and on a 16-byte boundary"
        )
    blocks = out.size // 4
    source.launch(kernel, (ceil_div(blocks, THREADS),), (THREADS,), out, np.int64(blocks), *_counter(*key))


@philox_words.variant("in_registers", devices=("cuda",), usable=_whole(np.uint32), on="host")
def philox_words_cuda(out, seed, purpose, step, first_block):
    """A thread makes the four words of a block: 16 bytes written, none read."""
    _fill("philox_words", _whole(np.uint32), out, (seed, purpose, step, first_block))


@philox_uniforms.variant("in_registers", devices=("cuda",), usable=_whole(np.float32), on="host")
def philox_uniforms_cuda(out, seed, purpose, step, first_block):
    """A thread makes four uniforms: 16 bytes written, none read."""
    _fill("philox_uniforms", _whole(np.float32), out, (seed, purpose, step, first_block))


@philox_normals.variant("in_registers", devices=("cuda",), usable=_floats, on="host")
def philox_normals_cuda(out, seed, purpose, step, first_block):
    """A thread makes two pairs by Box-Muller in float64: 16 bytes of float32 or 32 of float64 written, none read."""
    kernel = "philox_normals64" if out.dtype == np.float64 else "philox_normals"
    _fill(kernel, _floats, out, (seed, purpose, step, first_block))


def _float32(p, *key) -> bool:
    return p.dtype == np.float32 and p.flags.c_contiguous


@philox_bernoullis.variant("in_registers", devices=("cuda",), usable=_float32, on="host")
def philox_bernoullis_cuda(p, seed, purpose, step, first_block):
    """A thread makes four uniforms and compares them: reads 4 and writes 4 bytes per number."""
    if not _float32(p):
        raise TypeError(f"philox_bernoullis: expected contiguous float32 probabilities, got {p.dtype}")
    out = array_module(p).empty(p.shape, np.float32)
    grid = (ceil_div(p.size, 4 * THREADS),)
    counter = _counter(seed, purpose, step, first_block)
    source.launch("philox_bernoullis", grid, (THREADS,), p, out, np.int64(p.size), *counter)
    return out
