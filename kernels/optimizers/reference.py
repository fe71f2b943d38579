"""Parameter updates in place: arrays p (parameter), g (gradient), m, v (moments) and others, all of one shape.

`adam` takes lists of them, all parameters in one call: for many small parameters the calls would cost more than the
arithmetic.
"""

from __future__ import annotations

import math

from tinygen.kernels.runtime.dispatch import Kernel, array_module

adam = Kernel("adam")


@adam.reference
def adam_reference(
    p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest=None, numbers=None
):
    """One step of Adam (arXiv 1412.6980, algorithm 1) or AdamW (arXiv 1711.05101, algorithm 2, `decoupled`).

    m <- b1 m + (1-b1) g,  v <- b2 v + (1-b2) g²,  p <- p - lr mhat / (sqrt(vhat) + eps)

    All parameters at once: p, g, m, v, `step` (its number, from 1) and `largest` are lists with one entry per
    parameter.  With `largest` (AMSGrad, arXiv 1904.09237, algorithm 2) the largest v so far takes the place of v.
    numbers: what `adam_numbers` gives for the step, as an array on the device, for a captured step; it then counts
    instead of `step` and `lr`.
    """
    rate = dict(lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, decoupled=decoupled)
    for *arrays, count, most in zip(p, g, m, v, step, largest or [None] * len(p)):
        adam_of_one(*arrays, **rate, step=count, largest=most, numbers=numbers)


def adam_numbers(step: int, *, lr, beta1, beta2, weight_decay, decoupled) -> list[float]:
    """What changes from step to step: 1 / sqrt(1 - b2^step), lr / (1 - b1^step), AdamW's shrinking, the root itself"""
    root = math.sqrt(1 - beta2**step)
    return [1 / root, lr / (1 - beta1**step), 1 - lr * weight_decay if decoupled else 1.0, root]


def adam_of_one(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest, numbers=None):
    """`adam` for one parameter"""
    xp = array_module(p)
    if numbers is None:
        rates = dict(lr=lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay, decoupled=decoupled)
        numbers = adam_numbers(step, **rates)
    _, rate, shrink, root = numbers
    if weight_decay and decoupled:
        p *= shrink
    elif weight_decay:
        g = g + weight_decay * p
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    if largest is not None:
        v = xp.maximum(largest, v, out=largest)
    denominator = xp.sqrt(v) / root + eps
    p -= rate * (m / denominator)


sgd = Kernel("sgd")


@sgd.reference
def sgd_reference(p, g, velocity, *, lr, momentum, dampening, weight_decay, nesterov, first):
    """One step of gradient descent with momentum as in PyTorch: v <- momentum v + (1-dampening) g, p <- p - lr v.

    `first`: the velocity has no history yet and starts as g.
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

    With `mean` (the running mean of g; Graves, arXiv 1308.0850, eq. 38 to 45) v - mean² takes the place of v.  With
    `velocity` the step has momentum.
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
    """One step of Adadelta (arXiv 1212.5701, algorithm 1); d is the running mean of the squared steps.

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
