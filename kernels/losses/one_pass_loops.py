"""The compiled loops of `one_pass.py`.  Importing this file imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.elementwise.loops import decay, logistic
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

# 2 artanh(s) = 2 (s + s³/3 + s⁵/5 + …), highest term first; s ≤ 1/3, so the next would be below 1e-10
ARTANH = tuple(np.float32(2 / k) for k in range(17, 0, -2))
ZERO, TWO = np.float32(0), np.float32(2)


@njit(cache=True, parallel=True, fastmath={"contract", "nsz"}, error_model="numpy")
def bce_with_logits(x, target, out):
    """All (n,) float32.  log(1 + e) = 2 artanh(e / (2 + e)): a call of log1p would not be vectorized"""
    for i in prange(x.size):
        e = decay(-abs(x[i]))
        s = e / (TWO + e)
        series = ZERO
        for c in ARTANH:
            series = series * (s * s) + c
        out[i] = max(x[i], ZERO) - x[i] * target[i] + series * s


@njit(cache=True, parallel=True, fastmath={"contract", "nsz"}, error_model="numpy")
def bce_with_logits_grad(g, x, target, out):
    """out = g (σ(x) - target).  All (n,) float32"""
    for i in prange(x.size):
        out[i] = g[i] * (logistic(x[i]) - target[i])


@njit(cache=True, parallel=True, fastmath={"contract", "nsz"}, error_model="numpy")
def bce_with_logits_grad_of_sum(g, x, target, out):
    """The same for g one number, as after a sum or a mean"""
    for i in prange(x.size):
        out[i] = g * (logistic(x[i]) - target[i])
