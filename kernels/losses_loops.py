"""The compiled loops behind `losses.py`; a file of their own, because importing it imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.compiled import njit

# 2 artanh(s) = 2 (s + s³/3 + s⁵/5 + …), highest term first; s ≤ 1/3 leaves an error below 1e-8
ARTANH = tuple(np.float32(2 / k) for k in range(17, 0, -2))
ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)


@njit(cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
def bce_with_logits(x, target, decay, out):
    """All (n,) float32; decay = exp(-|x|).  The same loop with a call of log1p would not be vectorised.

    log(1 + e) = 2 artanh(e / (2 + e))
    """
    for i in range(x.size):
        s = decay[i] / (TWO + decay[i])
        series = ZERO
        for c in ARTANH:
            series = series * (s * s) + c
        out[i] = max(x[i], ZERO) - x[i] * target[i] + series * s


@njit(cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
def sigmoid_minus(x, target, decay, out):
    """All (n,) float32; decay = exp(-|x|).  out = σ(x) - target"""
    for i in range(x.size):
        p = ONE / (ONE + decay[i])
        out[i] = (p if x[i] >= ZERO else decay[i] * p) - target[i]
