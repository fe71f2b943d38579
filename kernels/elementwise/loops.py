"""The compiled loops of elementwise arithmetic, and the exponential that other loops call.  Importing this file imports
numba (0.5 s).
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
LEAST = F(-87.33)  # its exponential is the smallest normal number
BIAS, MANTISSA = np.int32(127), np.int32(23)

# the same for float64, with the terms of the Taylor series up to r¹³/13!: the rest is below 1e-17
LN2_HIGH_64, LN2_LOW_64 = 6.93145751953125e-1, 1.42860682030941723212e-6
EXP_64 = tuple(1 / math.factorial(n) for n in range(13, 1, -1))
LEAST_64 = -708.396
BIAS_64, MANTISSA_64 = np.int64(1023), np.int64(52)


def decay(x):
    """exp(x) of one number x ≤ 0, float32 or float64.  A call of np.exp would keep the compiler from vectorizing."""


@overload(decay)
def _decay(x):
    return (lambda x: decay_32(x)) if x == types.float32 else (lambda x: decay_64(x))


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def decay_32(x):
    """exp(x) of a float32 x ≤ 0; 0 below -87.33, where the result would be subnormal.

    exp(x) = 2^k exp(r) with k the integer nearest to x / ln 2; 2^k is assembled from its bits.
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
    """x, out (R, C), other (Q, C): each row of other is added to R/Q consecutive rows of x"""
    each = x.shape[0] // other.shape[0]
    for r in prange(x.shape[0]):
        _add_row(x[r], other[r // each], out[r])


@njit(cache=True, parallel=True, error_model="numpy")
def multiply_rows(x, other, out):
    """x, out (R, C), other (Q, C), as in add_rows"""
    each = x.shape[0] // other.shape[0]
    for r in prange(x.shape[0]):
        _multiply_row(x[r], other[r // each], out[r])


@njit(cache=True, parallel=True, error_model="numpy")
def add_number(x, other, out):
    """x, out (n,), other (1,)"""
    number = other[0]
    for i in prange(x.size):
        out[i] = x[i] + number


@njit(cache=True, parallel=True, error_model="numpy")
def multiply_number(x, other, out):
    """x, out (n,), other (1,)"""
    number = other[0]
    for i in prange(x.size):
        out[i] = x[i] * number


@njit(cache=True, error_model="numpy")
def _add_to_row(x, number, out):
    for i in range(x.size):
        out[i] = x[i] + number


@njit(cache=True, error_model="numpy")
def scale_row(x, number, out):
    """out = x number"""
    for i in range(x.size):
        out[i] = x[i] * number


@njit(cache=True, parallel=True, error_model="numpy")
def add_numbers(x, other, out):
    """x, out (R, C), other (B,): number r % B is added to row r"""
    for r in prange(x.shape[0]):
        _add_to_row(x[r], other[r % other.size], out[r])


@njit(cache=True, parallel=True, error_model="numpy")
def multiply_numbers(x, other, out):
    """x, out (R, C), other (B,), as in add_numbers"""
    for r in prange(x.shape[0]):
        scale_row(x[r], other[r % other.size], out[r])


@njit(cache=True, error_model="numpy")
def erf(x):
    """x[i] = erf(x[i])"""
    for i in range(len(x)):
        x[i] = math.erf(x[i])
