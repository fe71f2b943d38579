"""How many threads a product gets: one if it is small, else one for each block of the result.

OpenBLAS's own threads wait for each other several times in a product.  If another program holds one of the cores, all
of them wait; and they wait actively, which takes the core from the loops between the products.  Here a block depends on
no other.  Blocks begin at multiples of 16, as OpenBLAS's tiles do, and every sum is then added in the same order: with
its SkylakeX kernels no bit of the float32 products of the models depends on the number of threads.
"""

from __future__ import annotations

import numpy as np

from tinygen.kernels.matmul.reference import matmul
from tinygen.kernels.runtime import blas
from tinygen.kernels.runtime.threads import threads_for

# multiply-adds
SERIAL = 1 << 18  # below this OpenBLAS starts no threads itself
PARALLEL = 1 << 21  # below this a second thread costs about as much as it saves
LEAST = 48  # rows or columns of a block


def _work(x, w) -> int:
    """The multiply-adds of a product of two matrices in BLAS's precisions; 0 for anything else"""
    if not (x.ndim == w.ndim == 2 and x.dtype.char in "fd" and x.dtype == w.dtype):
        return 0
    return x.shape[0] * x.shape[1] * w.shape[1] if type(x) is type(w) is np.ndarray else 0


def _several_threads() -> bool:
    return (blas.threads() or 1) > 1


@matmul.variant("one_thread", usable=lambda x, w: _work(x, w) >= SERIAL and _several_threads())
def matmul_one_thread(x, w):
    """NumPy's, without starting OpenBLAS's threads."""
    with blas.one_thread:
        return np.matmul(x, w)


def _pays(x, w) -> bool:
    """Enough work for several threads, and matrices that BLAS takes as they are"""
    return (
        _work(x, w) >= PARALLEL
        and _several_threads()
        and x.shape[1] == w.shape[0]
        and _stored(x) is not None
        and _stored(w) is not None
        and blas.in_loops()
        and grid(x.shape[0], w.shape[1], threads_for(1, 0)) != (1, 1)
    )


def grid(m: int, n: int, threads: int) -> tuple[int, int]:
    """How many blocks down and across: the longer side of the result is cut."""
    if m >= n:
        return max(1, min(threads, m // LEAST)), 1
    return 1, max(1, min(threads, n // LEAST))


def _stored(x):
    """(rows of memory, transposed): how a matrix lies in memory, None if neither its rows nor its columns are dense"""
    size, (down, across) = x.itemsize, x.strides
    if across == size and down >= size * x.shape[1] and not down % size:
        return down // size, False
    if down == size and across >= size * x.shape[0] and not across % size:
        return across // size, True
    return None


@matmul.variant("blas_blocks", usable=_pays)
def matmul_blas_blocks(x, w):
    """As many blocks as threads, and BLAS for each."""
    if not blas.in_loops():
        raise ValueError("matmul blas_blocks: NumPy's BLAS is no OpenBLAS with integers of 64 bits")
    from tinygen.kernels.matmul.blas_loops import product

    (m, k), n, (lda, a_turned), (ldb, b_turned) = x.shape, w.shape[1], _stored(x), _stored(w)
    out = np.empty((m, n), x.dtype)
    with blas.one_thread:
        product(
            *(x.ctypes.data, lda, a_turned, w.ctypes.data, ldb, b_turned, out.ctypes.data, m, n, k),
            *(x.itemsize == 8, *grid(m, n, threads_for(1, 0))),
        )
    return out
