"""Parameter updates in place: arrays p (parameter), g (gradient), m, v (moments), all of one shape."""

from __future__ import annotations

import math

import numpy as np

from tinygen.kernels.dispatch import Kernel, array_module

adam = Kernel("adam")


@adam.reference
def adam_reference(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """One step of Adam (arXiv 1412.6980, algorithm 1) or AdamW (arXiv 1711.05101, algorithm 2, `decoupled`).

    m <- b1 m + (1-b1) g,  v <- b2 v + (1-b2) g²,  p <- p - lr mhat / (sqrt(vhat) + eps)
    """
    xp = array_module(p)
    if weight_decay and decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    denominator = xp.sqrt(v) / math.sqrt(1 - beta2**step) + eps
    p -= (lr / (1 - beta1**step)) * (m / denominator)


_loop = None


def _compiled():
    global _loop
    if _loop is None:
        from tinygen.kernels.optimizers_loops import adam_loop

        _loop = adam_loop
    return _loop


def _usable(p, g, m, v, **_):
    arrays = (p, g, m, v)
    return (
        p.size >= 256
        and p.dtype in (np.float32, np.float64)
        and all(a.flags.c_contiguous and a.dtype == p.dtype and a.shape == p.shape for a in arrays)
    )


@adam.variant("one_pass", usable=_usable)
def adam_one_pass(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """One loop over the elements: reads p, g, m, v and writes p, m, v once, where NumPy makes twelve passes."""
    kind = p.dtype.type
    _compiled()(
        p.reshape(-1),
        g.reshape(-1),
        m.reshape(-1),
        v.reshape(-1),
        kind(beta1),
        kind(1 - beta1),
        kind(beta2),
        kind(1 - beta2),
        kind(1 / math.sqrt(1 - beta2**step)),
        kind(eps),
        kind(lr / (1 - beta1**step)),
        kind(0 if decoupled else weight_decay),
        kind(1 - lr * weight_decay if decoupled else 1),
    )


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
    p -= np.asarray(lr, p.dtype) * g
