"""Max pooling and its gradient, one window after another, on all threads."""

from __future__ import annotations

import numpy as np

from tinygen.kernels.pool.reference import first_inside, max_pool2d, max_pool2d_grad
from tinygen.kernels.pool.usable import loops_pay


@max_pool2d.variant("windows", usable=lambda x, **_: loops_pay(x))
def max_pool2d_windows(x, *, kernel, stride, padding, dilation, size):
    """One window at a time, without a padded copy: reads 4 and writes 12 bytes per output, each once."""
    from tinygen.kernels.pool import windows_loops as loops

    steps = zip(size, stride, padding, dilation)
    rows, columns = (first_inside(np, *step) for step in steps)
    images = x.shape[0] * x.shape[1]
    best, index = np.empty((images, *size), x.dtype), np.empty((images, *size), np.int64)
    pairs = (tuple(map(int, pair)) for pair in (kernel, stride, padding, dilation))
    loops.max_pool(x.reshape(images, *x.shape[2:]), rows, columns, *pairs, best, index)
    return best.reshape(*x.shape[:2], *size), index.reshape(*x.shape[:2], *size)


@max_pool2d_grad.variant("windows", usable=lambda g, **_: loops_pay(g))
def max_pool2d_grad_windows(g, *, index, shape, apart=False):
    """Each g is added at the index that the forward found: reads 12 bytes and updates a pixel per output."""
    from tinygen.kernels.pool import windows_loops as loops

    gx, images = np.zeros(shape, g.dtype), shape[0] * shape[1]
    index = np.ascontiguousarray(index).reshape(images, -1)
    if index.min() < 0 or index.max() >= shape[2] * shape[3]:
        raise IndexError(f"max_pool2d_grad: found an index outside the image; shape {shape}")
    loops.add_at(g.reshape(images, -1), index, gx.reshape(images, -1))
    return gx
