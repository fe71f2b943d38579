"""Parameter updates in place: arrays p (parameter), g (gradient), m, v (moments) and others, all of one shape.

`adam` takes lists of them, all parameters in one call: with many small ones the calls would cost more than the sums.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.runtime.dispatch import Kernel, array_module
from tinygen.kernels.runtime.threads import threads_for

adam = Kernel("adam")


@adam.reference
def adam_reference(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest=None):
    """One step of Adam (arXiv 1412.6980, algorithm 1) or AdamW (arXiv 1711.05101, algorithm 2, `decoupled`).

    m <- b1 m + (1-b1) g,  v <- b2 v + (1-b2) g²,  p <- p - lr mhat / (sqrt(vhat) + eps)

    All parameters at once: p, g, m, v, `step` (which one it is, from 1) and `largest` are lists with an entry for each.
    With `largest` (AMSGrad, arXiv 1904.09237, algorithm 2) the largest v so far takes the place of v.
    """
    rate = dict(lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, decoupled=decoupled)
    for *arrays, count, most in zip(p, g, m, v, step, largest or [None] * len(p)):
        _adam_of_one(*arrays, **rate, step=count, largest=most)


def _adam_of_one(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest):
    xp = array_module(p)
    if weight_decay and decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    if largest is not None:
        v = xp.maximum(largest, v, out=largest)
    denominator = xp.sqrt(v) / math.sqrt(1 - beta2**step) + eps
    p -= (lr / (1 - beta1**step)) * (m / denominator)


SMALL = 256  # elements of all parameters; below this NumPy has answered before numba would have been imported
PARALLEL = 1 << 20  # elements of all parameters; below this starting a thread costs more than it saves


def _compilable(p, g, m, v) -> bool:
    """Whether the compiled loop may have these arrays' addresses: of one dtype and shape, dense, aligned, writable."""
    return (
        p.dtype.char in "fd"
        and g.dtype == m.dtype == v.dtype == p.dtype
        and g.shape == m.shape == v.shape == p.shape
        and g.flags.c_contiguous
        and g.flags.aligned
        and p.flags.carray
        and m.flags.carray
        and v.flags.carray
    )


def _some_compilable(p, g, m, v, *, largest=None, **_) -> bool:
    return (
        largest is None
        and sum(array.size for array in p) >= SMALL
        and any(_compilable(*arrays) for arrays in zip(p, g, m, v))
    )


@adam.variant("one_pass", usable=_some_compilable)
def adam_one_pass(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest=None):
    """One loop over the elements of all parameters: reads p, g, m, v and writes p, m, v once, 28 bytes an element of 4.

    NumPy makes twelve passes.  Each thread takes an equal stretch of the elements.  Arrays of which the loop cannot
    have the address are left to the reference.
    """
    rate = dict(lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, decoupled=decoupled)
    dense: dict = {}
    for *arrays, count in zip(p, g, m, v, step):
        if _compilable(*arrays):
            dense.setdefault(arrays[0].dtype, []).append((arrays, count))
        else:
            _adam_of_one(*arrays, **rate, step=count, largest=None)
    for dtype, parameters in dense.items():
        _adam_in_parts(dtype.type, parameters, **rate)


def _adam_in_parts(kind, parameters, *, lr, beta1, beta2, eps, weight_decay, decoupled) -> None:
    """parameters: ([p, g, m, v], step) of each, all of the dtype `kind`"""
    from tinygen.kernels.optimizers.loops import adam_in_parts, note_addresses

    places = np.empty((len(parameters), 4), np.intp)
    for i, (arrays, _) in enumerate(parameters):
        note_addresses(places, i, *[a.reshape(-1) for a in arrays])  # views, as all are dense
    ends = np.cumsum([arrays[0].size for arrays, _ in parameters])
    known = {
        step: (math.sqrt(1 - beta2**step), lr / (1 - beta1**step)) for step in {n for _, n in parameters}
    }
    scales = np.array([(1 / known[step][0], known[step][1]) for _, step in parameters], kind)
    scalars = (
        *(kind(beta1), kind(1 - beta1), kind(beta2), kind(1 - beta2), kind(eps)),
        *(kind(0 if decoupled else weight_decay), kind(1 - lr * weight_decay if decoupled else 1)),
    )
    adam_in_parts(places, ends, scales, *scalars, threads_for(ends[-1], PARALLEL))


sgd = Kernel("sgd")


@sgd.reference
def sgd_reference(p, g, velocity, *, lr, momentum, dampening, weight_decay, nesterov, first):
    """One step of gradient descent, momentum as PyTorch defines it: v <- momentum v + (1-dampening) g, p <- p - lr v.

    `first` says that the velocity has no history: it starts as g.
    """
    if weight_decay:
        g = g + weight_decay * p
    if velocity is not None:
        if first:
            velocity[...] = g
        else:
            velocity *= momentum
            velocity += (1 - dampening) * g
        g = g + momentum * velocity if nesterov else velocity
    p -= p.dtype.type(lr) * g


rmsprop = Kernel("rmsprop")


@rmsprop.reference
def rmsprop_reference(p, g, v, mean, velocity, *, lr, alpha, eps, weight_decay, momentum):
    """One step of RMSprop (Hinton, Coursera lecture 6e): v <- a v + (1-a) g², p <- p - lr g / (sqrt(v) + eps).

    With `mean` (the running mean of g; Graves, arXiv 1308.0850, eq. 38 to 45) v - mean² takes the place of v; with
    `velocity` the step is gathered with momentum.
    """
    xp = array_module(p)
    if weight_decay:
        g = g + weight_decay * p
    v *= alpha
    v += (1 - alpha) * (g * g)
    if mean is not None:
        mean += (1 - alpha) * (g - mean)
        v = v - mean * mean
    step = g / (xp.sqrt(v) + eps)
    if velocity is not None:
        velocity *= momentum
        velocity += step
        step = velocity
    p -= lr * step


adagrad = Kernel("adagrad")


@adagrad.reference
def adagrad_reference(p, g, total, *, lr, eps, weight_decay):
    """One step of Adagrad (Duchi et al. 2011): total <- total + g², p <- p - lr g / (sqrt(total) + eps)."""
    if weight_decay:
        g = g + weight_decay * p
    total += g * g
    p -= lr * (g / (array_module(p).sqrt(total) + eps))


adadelta = Kernel("adadelta")


@adadelta.reference
def adadelta_reference(p, g, v, d, *, lr, rho, eps, weight_decay):
    """One step of Adadelta (arXiv 1212.5701, algorithm 1): d is the running mean of the squared steps.

    v <- rho v + (1-rho) g²,  s = sqrt(d + eps) / sqrt(v + eps) g,  d <- rho d + (1-rho) s²,  p <- p - lr s
    """
    xp = array_module(p)
    if weight_decay:
        g = g + weight_decay * p
    v *= rho
    v += (1 - rho) * (g * g)
    step = xp.sqrt(d + eps) / xp.sqrt(v + eps) * g
    d *= rho
    d += (1 - rho) * (step * step)
    p -= lr * step
