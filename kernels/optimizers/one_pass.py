"""Adam on a CPU: one compiled loop over the elements of all parameters."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.optimizers.reference import adam, adam_numbers, adam_of_one
from tinygen.kernels.runtime.threads import threads_for

SMALL = 256  # elements of all parameters; below this NumPy is done before numba could be imported
PARALLEL = 1 << 20  # elements of all parameters; below this starting a thread costs more than it saves


def _compilable(p, g, m, v) -> bool:
    """Whether the loop can work on the addresses of these arrays: one dtype and shape, contiguous, aligned, writable"""
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


def usable(p, g, m, v, *, largest=None, **_) -> bool:
    """Without AMSGrad, if the loop can work on at least one parameter"""
    return (
        largest is None
        and sum(array.size for array in p) >= SMALL
        and any(_compilable(*arrays) for arrays in zip(p, g, m, v))
    )


@adam.variant("one_pass", usable=usable)
def adam_one_pass(
    p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled, step, largest=None, numbers=None
):
    """Reads p, g, m, v and writes p, m, v once, 28 bytes per float32 element, where NumPy makes twelve passes.

    Each thread takes an equal stretch of the elements of all parameters.  Arrays that the loop cannot work on are left
    to the reference.
    """
    rate = dict(lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, decoupled=decoupled)
    dense: dict = {}
    for *arrays, count in zip(p, g, m, v, step):
        if _compilable(*arrays):
            dense.setdefault(arrays[0].dtype, []).append((arrays, count))
        else:
            adam_of_one(*arrays, **rate, step=count, largest=None, numbers=numbers)
    for dtype, parameters in dense.items():
        _adam_in_parts(dtype.type, parameters, numbers, **rate)


def _adam_in_parts(kind, parameters, numbers, *, lr, beta1, beta2, eps, weight_decay, decoupled) -> None:
    """parameters: ([p, g, m, v], step) of each, all of the dtype `kind`"""
    from tinygen.kernels.optimizers.loops import adam_in_parts, note_addresses

    places = np.empty((len(parameters), 4), np.intp)
    for i, (arrays, _) in enumerate(parameters):
        note_addresses(places, i, *[a.reshape(-1) for a in arrays])  # views, as all are contiguous
    ends = np.cumsum([arrays[0].size for arrays, _ in parameters])
    rates = dict(lr=lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay, decoupled=decoupled)
    known = {
        step: adam_numbers(step, **rates) if numbers is None else numbers
        for step in {n for _, n in parameters}
    }
    scales = np.array([known[step][:2] for _, step in parameters], kind)
    shrink = known[parameters[0][1]][2]
    scalars = (
        *(kind(beta1), kind(1 - beta1), kind(beta2), kind(1 - beta2), kind(eps)),
        *(kind(0 if decoupled else weight_decay), kind(shrink)),
    )
    adam_in_parts(places, ends, scales, *scalars, threads_for(ends[-1], PARALLEL))
