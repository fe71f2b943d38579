"""Adam with numba.cuda, one launch per parameter."""

from __future__ import annotations

import math

from tinygen.kernels.optimizers.reference import adam
from tinygen.kernels.runtime.numba_cuda import cuda, require, rung, same_float
from tinygen.kernels.runtime.rounding import ceil_div

THREADS = 128  # per block


@cuda.jit
def one_pass(p, g, m, v, beta1, rest1, beta2, rest2, correction, eps, lr, decay, shrink):
    """A thread updates one element.  rest is 1 - beta; correction is 1 / sqrt(1 - beta2^step)"""
    i = cuda.grid(1)
    if i >= p.size:
        return
    value = p[i] * shrink
    slope = g[i] + decay * value
    m[i] = beta1 * m[i] + rest1 * slope
    v[i] = beta2 * v[i] + rest2 * (slope * slope)
    p[i] = value - lr * (m[i] / (math.sqrt(v[i]) * correction + eps))


@rung(adam, "numba_one_pass")
def adam_numba_one_pass(
    p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest=None, numbers=None
):
    """A thread updates one element: p, g, m, v read and p, m, v written once, 28 bytes in float32.

    One launch per parameter.  The reference makes twelve passes, each a launch that reads and writes whole arrays.
    """
    require("adam", numbers is None, "numbers of the host", numbers=numbers)
    for *arrays, count, most in zip(p, g, m, v, step, largest or [None] * len(p)):
        _launch(*arrays, lr, beta1, beta2, eps, weight_decay, decoupled, count, most)


def _launch(p, g, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest) -> None:
    fits = largest is None and all(a.flags.c_contiguous and a.shape == p.shape for a in (p, g, m, v))
    expected = "contiguous arrays of one shape, all float32 or all float64, without AMSGrad"
    require("adam", fits and same_float(p, g, m, v), expected, p=p, g=g, m=m, v=v, largest=largest)
    numbers = (
        beta1, 1 - beta1, beta2, 1 - beta2, 1 / math.sqrt(1 - beta2**step), eps, lr / (1 - beta1**step),
        0 if decoupled else weight_decay, 1 - lr * weight_decay if decoupled else 1,
    )  # fmt: skip
    one_pass[(ceil_div(p.size, THREADS), 1, 1), (THREADS, 1, 1)](
        *(a.reshape(-1) for a in (p, g, m, v)), *map(p.dtype.type, numbers)
    )
