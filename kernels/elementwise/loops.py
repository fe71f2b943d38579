"""The compiled loops behind `activation.py` and the exponential they share; importing it imports numba (0.5 s).

Each loop computes one element from one element, so that the compiler makes 8 or 16 at once of it, and each thread takes
a share of them.
"""

import math

import numpy as np

from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import overload, prange, types

F = np.float32
ZERO, HALF, ONE = F(0), F(0.5), F(1)
LOG2_E = F(1.44269504)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)  # their sum is ln 2; k · LN2_HIGH is exact
# exp(r) = 1 + r + r² (1/2 + r/6 + …) for |r| ≤ ln(2)/2, highest term first (Cephes, expf)
EXP = tuple(F(c) for c in (1.98756915e-4, 1.39819995e-3, 8.33345191e-3, 4.16657959e-2, 1.66666655e-1, 0.5))
LEAST = F(-87.33)  # exp of it is the smallest normal number
BIAS, MANTISSA = np.int32(127), np.int32(23)

# the same for float64, with the terms of Taylor's series up to r¹³/13!: what is left out is below 1e-17
LN2_HIGH_64, LN2_LOW_64 = 6.93145751953125e-1, 1.42860682030941723212e-6
EXP_64 = tuple(1 / math.factorial(n) for n in range(13, 1, -1))
LEAST_64 = -708.396
BIAS_64, MANTISSA_64 = np.int64(1023), np.int64(52)

# Φ(-a) = exp(-a²/2) t Q(t), t = 1 / (1 + SLOPE a): the form of Abramowitz & Stegun 26.2.17 with more terms of Q, fitted
# in t for a from 0 to 14; highest term first
SLOPE = F(0.2316419)
TAIL = tuple(
    F(c)
    for c in (
        -0.00482644298, -0.047785066, 0.202562398, -0.151838488, 0.191986726, 0.0272851901, 0.0992314961,
        0.0908890234, 0.0924951197,
    )
)  # fmt: skip
DENSITY = F(0.3989422804)  # 1 / sqrt(2π)
TANH_SCALE, TANH_CUBIC = F(1.5957691216), F(0.044715)  # 2 sqrt(2/π)


def decay(x):
    """exp(x) of one number x ≤ 0, float32 or float64; a call of np.exp would keep the compiler from taking vectors"""


@overload(decay)
def _decay(x):
    return (lambda x: decay_32(x)) if x == types.float32 else (lambda x: decay_64(x))


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def decay_32(x):
    """exp(x) of a float32 x ≤ 0; 0 below -87.33, where the result is no normal number any more.

    exp(x) = 2^k exp(r) with k the whole number nearest to x / ln 2; 2^k is made of its bits.
    """
    k = np.floor(LOG2_E * x + HALF) if x > LEAST else ZERO
    r = x - k * LN2_HIGH - k * LN2_LOW
    series = EXP[0]
    for c in EXP[1:]:
        series = series * r + c
    power = np.int32((np.int32(k) + BIAS) << MANTISSA).view(np.float32)
    e = (series * r * r + r + ONE) * power
    return ZERO if x <= LEAST else e


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def decay_64(x):
    """decay_32 in float64; 0 below -708.396"""
    k = np.floor(1.4426950408889634 * x + 0.5) if x > LEAST_64 else 0.0
    r = x - k * LN2_HIGH_64 - k * LN2_LOW_64
    series = EXP_64[0]
    for c in EXP_64[1:]:
        series = series * r + c
    power = np.int64((np.int64(k) + BIAS_64) << MANTISSA_64).view(np.float64)
    e = (series * r * r + r + 1.0) * power
    return 0.0 if x <= LEAST_64 else e


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def logistic(x):
    """σ(x) of one number"""
    e = decay(-abs(x))
    return (ONE if x >= ZERO else e) / (ONE + e)


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def tail(a, bell):
    """Φ(-a) for a ≥ 0 with bell = exp(-a²/2)"""
    t = ONE / (ONE + SLOPE * a)
    series = TAIL[0]
    for c in TAIL[1:]:
        series = series * t + c
    return bell * t * series


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def sigmoid(x, out):
    for i in prange(x.size):
        out[i] = logistic(x[i])


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def sigmoid_grad(g, y, out):
    """gx = g y (1 - y)"""
    for i in prange(y.size):
        out[i] = g[i] * (y[i] * (ONE - y[i]))


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def silu(x, out):
    for i in prange(x.size):
        out[i] = x[i] * logistic(x[i])


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def silu_grad(g, x, out):
    """gx = g p (1 + x (1 - p)), p = σ(x)"""
    for i in prange(x.size):
        p = logistic(x[i])
        out[i] = g[i] * (p * (ONE + x[i] * (ONE - p)))


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def gelu(x, out):
    for i in prange(x.size):
        low = tail(abs(x[i]), decay(-HALF * x[i] * x[i]))
        out[i] = x[i] * (low if x[i] < ZERO else ONE - low)


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def gelu_grad(g, x, out):
    """gx = g (Φ(x) + x φ(x)), Φ and φ from one exponential"""
    for i in prange(x.size):
        bell = decay(-HALF * x[i] * x[i])
        low = tail(abs(x[i]), bell)
        out[i] = g[i] * ((low if x[i] < ZERO else ONE - low) + x[i] * (DENSITY * bell))


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def gelu_tanh(x, out):
    """x σ(2 u), which is x (1 + tanh u) / 2"""
    for i in prange(x.size):
        u = TANH_SCALE * (x[i] + TANH_CUBIC * x[i] * x[i] * x[i])
        out[i] = x[i] * logistic(u)


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def gelu_tanh_grad(g, x, out):
    """gx = g (p + x p (1 - p) du/dx), p = σ(2 u)"""
    for i in prange(x.size):
        square = x[i] * x[i]
        p = logistic(TANH_SCALE * (x[i] + TANH_CUBIC * square * x[i]))
        slope = TANH_SCALE * (ONE + F(3) * TANH_CUBIC * square)
        out[i] = g[i] * (p + x[i] * slope * (p * (ONE - p)))


@njit(cache=True, parallel=True, error_model="numpy")
def relu_grad(g, y, out):
    """g where not y ≤ 0, else 0; any dtype"""
    for i in prange(y.size):
        out[i] = 0 if y[i] <= 0 else g[i]


@njit(cache=True, parallel=True, error_model="numpy")
def leaky_relu(x, slope, out):
    """x where x > 0, else slope x; any dtype, slope in it"""
    for i in prange(x.size):
        out[i] = x[i] if x[i] > 0 else x[i] * slope


@njit(cache=True, parallel=True, error_model="numpy")
def leaky_relu_grad(g, x, slope, out):
    """g where x > 0, else slope g; any dtype, slope in it"""
    for i in prange(x.size):
        out[i] = g[i] if x[i] > 0 else g[i] * slope


@njit(cache=True, parallel=True, error_model="numpy")
def add_flat(x, other, out):
    """All (n,)"""
    for i in prange(x.size):
        out[i] = x[i] + other[i]


@njit(cache=True, parallel=True, error_model="numpy")
def multiply_flat(x, other, out):
    """All (n,)"""
    for i in prange(x.size):
        out[i] = x[i] * other[i]


@njit(cache=True, error_model="numpy")
def _add_row(x, other, out):
    for i in range(x.size):
        out[i] = x[i] + other[i]


@njit(cache=True, error_model="numpy")
def _multiply_row(x, other, out):
    for i in range(x.size):
        out[i] = x[i] * other[i]


@njit(cache=True, parallel=True, error_model="numpy")
def add_rows(x, other, out):
    """x, out (R, C), other (Q, C): each row of other is added to R/Q neighbouring rows of x"""
    each = x.shape[0] // other.shape[0]
    for r in prange(x.shape[0]):
        _add_row(x[r], other[r // each], out[r])


@njit(cache=True, parallel=True, error_model="numpy")
def multiply_rows(x, other, out):
    """x, out (R, C), other (Q, C), as in add_rows"""
    each = x.shape[0] // other.shape[0]
    for r in prange(x.shape[0]):
        _multiply_row(x[r], other[r // each], out[r])


@njit(cache=True, error_model="numpy")
def erf(x):
    """x[i] = erf(x[i])"""
    for i in range(len(x)):
        x[i] = math.erf(x[i])
