"""The compiled loops of the activations.  Importing this file imports numba (0.5 s).

Each loop computes one element from one element, so that the compiler can vectorize it 8 or 16 wide, and each thread
takes a share of the elements.
"""

from tinygen.kernels.elementwise.loops import HALF, ONE, ZERO, F, decay, logistic
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange

# Φ(-a) = exp(-a²/2) t Q(t), t = 1 / (1 + SLOPE a): the form of Abramowitz & Stegun 26.2.17 with more terms in Q, fitted
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
TWICE_TANH_SCALE, TANH_CUBIC = F(1.5957691216), F(0.044715)  # 2 sqrt(2/π)


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def tail(a, bell):
    """Φ(-a) for a ≥ 0, with bell = exp(-a²/2)"""
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
        u = TWICE_TANH_SCALE * (x[i] + TANH_CUBIC * x[i] * x[i] * x[i])
        out[i] = x[i] * logistic(u)


@njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")
def gelu_tanh_grad(g, x, out):
    """gx = g (p + x p (1 - p) du/dx), p = σ(2 u)"""
    for i in prange(x.size):
        square = x[i] * x[i]
        p = logistic(TWICE_TANH_SCALE * (x[i] + TANH_CUBIC * square * x[i]))
        slope = TWICE_TANH_SCALE * (ONE + F(3) * TANH_CUBIC * square)
        out[i] = g[i] * (p + x[i] * slope * (p * (ONE - p)))


@njit(cache=True, parallel=True, error_model="numpy")
def relu_grad(g, y, out):
    """g where not y ≤ 0, else 0; any dtype"""
    for i in prange(y.size):
        out[i] = 0 if y[i] <= 0 else g[i]


@njit(cache=True, parallel=True, error_model="numpy")
def leaky_relu(x, slope, out):
    """x where x > 0, else slope x; any dtype, with slope of the same dtype"""
    for i in prange(x.size):
        out[i] = x[i] if x[i] > 0 else x[i] * slope


@njit(cache=True, parallel=True, error_model="numpy")
def leaky_relu_grad(g, x, slope, out):
    """g where x > 0, else slope g; any dtype, with slope of the same dtype"""
    for i in prange(x.size):
        out[i] = g[i] if x[i] > 0 else g[i] * slope
