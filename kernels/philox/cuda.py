"""Philox on the GPU: `philox.cu`.  One launch makes the numbers of a call; a thread makes four."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.philox.reference import philox_bernoullis, philox_normals, philox_uniforms, philox_words
from tinygen.kernels.runtime.cuda_source import CudaSource, address
from tinygen.kernels.runtime.dispatch import array_module

source = CudaSource("philox/philox.cu")
THREADS = 256


def _whole(dtype: type):
    """A rule: `out` is of `dtype`, whole blocks of four that lie together on a 16-byte boundary."""

    def usable(out, *key) -> bool:
        return out.dtype == dtype and out.flags.c_contiguous and not out.size % 4 and not address(out) % 16

    return usable


def _floats(out, *key) -> bool:
    return _whole(np.float32)(out) or _whole(np.float64)(out)


def _numbers(seed: int, purpose: int, step: int, first_block: int) -> list[np.uint32]:
    """The key and the counter as the kernels take them."""
    words = seed & 0xFFFFFFFF, seed >> 32, first_block, purpose, step & 0xFFFFFFFF, step >> 32
    return [np.uint32(word) for word in words]


def _fill(kernel: str, usable, out, key) -> None:
    if not usable(out):
        raise ValueError(
            f"{kernel}: expected whole blocks of four numbers, contiguous and on a 16-byte boundary"
        )
    blocks = out.size // 4
    source.launch(kernel, (-(-blocks // THREADS),), (THREADS,), out, np.int64(blocks), *_numbers(*key))


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
    """A thread makes four uniforms and compares them: reads 4 and writes 4 bytes a number."""
    if not _float32(p):
        raise TypeError(f"philox_bernoullis: expected contiguous float32 probabilities, got {p.dtype}")
    out = array_module(p).empty(p.shape, np.float32)
    blocks = -(-p.size // (4 * THREADS))
    key = _numbers(seed, purpose, step, first_block)
    source.launch("philox_bernoullis", (blocks,), (THREADS,), p, out, np.int64(p.size), *key)
    return out
