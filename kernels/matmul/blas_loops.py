"""The compiled loop that cuts a product over the threads and calls BLAS for each block.  Importing it imports numba."""

from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange, types

_numbers = types.int32, types.int32, types.int32, types.int64, types.int64, types.int64
_address = types.int64  # of the first element, followed by the elements from one row to the next


def _gemm(name: str, real):
    """C's cblas_sgemm or cblas_dgemm: order, transposed a and b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc"""
    arrays = real, _address, types.int64, _address, types.int64, real, _address, types.int64
    return types.ExternalFunction(name, types.void(*_numbers, *arrays))


_sgemm, _dgemm = _gemm("tinygen_sgemm", types.float32), _gemm("tinygen_dgemm", types.float64)
ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # cblas.h


@njit(cache=True, error_model="numpy")
def _block(a, lda, a_turned, b, ldb, b_turned, c, n, i, rows, j, columns, k, double):
    """c[i : i + rows, j : j + columns]"""
    size = 8 if double else 4
    a += size * (i if a_turned else i * lda)
    b += size * (j * ldb if b_turned else j)
    c += size * (i * n + j)
    ta, tb = TRANSPOSED if a_turned else AS_IT_IS, TRANSPOSED if b_turned else AS_IT_IS
    if double:
        _dgemm(ROW_MAJOR, ta, tb, rows, columns, k, 1.0, a, lda, b, ldb, 0.0, c, n)
    else:
        _sgemm(ROW_MAJOR, ta, tb, rows, columns, k, 1.0, a, lda, b, ldb, 0.0, c, n)


@njit(cache=True, parallel=True, error_model="numpy")
def product(a, lda, a_turned, b, ldb, b_turned, c, m, n, k, double, down, across):
    """c = a b in down x across blocks.  a, b, c: addresses; *_turned: whether the transpose is stored"""
    for part in prange(down * across):
        y, x = part // across, part % across
        i, j = m * y // down // 16 * 16, n * x // across // 16 * 16
        rows = (m * (y + 1) // down // 16 * 16 if y + 1 < down else m) - i
        columns = (n * (x + 1) // across // 16 * 16 if x + 1 < across else n) - j
        _block(a, lda, a_turned, b, ldb, b_turned, c, n, i, rows, j, columns, k, double)
