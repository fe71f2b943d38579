"""Matrix products.  Shapes: x (..., M, K), w (..., K, N) -> (..., M, N)."""

from __future__ import annotations

from tinygen.kernels.runtime.dispatch import Kernel, array_module

matmul = Kernel("matmul")


@matmul.reference
def matmul_reference(x, w):
    """out[i, j] = sum over k of x[i, k] w[k, j].  BLAS on the CPU, cuBLAS through cupy on the GPU."""
    return array_module(x).matmul(x, w)
