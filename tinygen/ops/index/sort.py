"""Sorting, the k largest, distinct values, counts."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine import dtypes
from tinygen.engine.devices import DeviceError
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.sweep_ops import clone
from tinygen.engine.tensor import Tensor
from tinygen.ops.arguments import INT
from tinygen.ops.declaration import distinct, example, operation, whole
from tinygen.ops.index.gather import gather
from tinygen.ops.reduce import ValuesIndices
from tinygen.ops.shape.reshape import dim_of
from tinygen.ops.tensor.device import beside


@operation(example("tinygen.argsort(x)", x=distinct(2, 3)), dim=INT)
def argsort(input, dim=-1, descending=False, stable=False):
    """The indices that sort along dim.  Ties keep their order regardless of `stable`; nan is the largest"""
    dim = dim_of(dim, input.ndim, "argsort")
    if input.ndim == 0:
        return beside(input, np.zeros((), np.int64))
    return Tensor._wrap(kernels.argsort(input._data, dim, descending))


@operation(example("tinygen.sort(x)", x=distinct(2, 3)), dim=INT)
def sort(input, dim=-1, descending=False, stable=False):
    """(values, indices) sorted along dim.  Ties keep their order regardless of `stable`; nan is the largest"""
    dim = dim_of(dim, input.ndim, "sort")
    indices = argsort(input, dim, descending)
    return ValuesIndices((gather(input, dim, indices), indices))


@operation(example("tinygen.topk(x, 2)", x=distinct(2, 3)), dim=INT)
def topk(input, k, dim=-1, largest=True, sorted=True):
    """(values, indices) of the k largest (or smallest) along dim, sorted regardless of `sorted`"""
    if input.dtype == np.bool_:
        raise refusal("topk", DtypeError, "found dtype bool, expected numbers")
    dim = dim_of(dim, input.ndim, "topk")
    size = input.shape[dim] if input.ndim else 1
    if not 0 <= k <= size:
        raise refusal(
            "topk",
            RuntimeError,
            f"found k {k}, expected 0 to {size}, the size of dimension {dim}; x {input.shape}",
        )
    if input.ndim == 0:
        return ValuesIndices((clone(input), argsort(input)))
    indices = Tensor._wrap(kernels.topk(input._data, k, dim, largest))
    return ValuesIndices((gather(input, dim, indices), indices))


@operation(example("tinygen.unique(x)", x=distinct(2, 3)))
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements, sorted regardless of `sorted`, or the distinct slices along dim; no gradient

    return_inverse   also return the position of each element of input among them
    return_counts    also return how often each occurs
    """
    if dim is not None:
        dim = dim_of(dim, input.ndim, "unique")
    xp = kernels.array_module(input._data)
    values, inverse, counts = xp.unique(
        input._data, return_inverse=True, return_counts=True, axis=dim, equal_nan=False
    )
    inverse = inverse.reshape(input.shape if dim is None else -1)
    given = [(values, True), (inverse, return_inverse), (counts, return_counts)]
    results = tuple(Tensor._wrap(xp.asarray(array)) for array, wanted in given if wanted)
    return results if len(results) > 1 else results[0]


@operation(example("tinygen.bincount(x)", x=whole(5)))
def bincount(input, weights=None, minlength=0):
    """How often 0, 1, 2 … occur among integers, or the sums of their weights; no gradient.  (N,) -> (max + 1,)"""
    x = input._data
    if x.dtype.kind not in "iu":
        raise refusal("bincount", DtypeError, f"found dtype {x.dtype}, expected an integer dtype")
    if x.ndim != 1 or (x.size and x.min() < 0):
        raise refusal(
            "bincount", ShapeError, f"found x {x.shape}, expected one dimension and no numbers below 0"
        )
    if minlength < 0:
        raise refusal("bincount", RuntimeError, f"found minlength {minlength}, expected no negative numbers")
    xp = kernels.array_module(x)
    if weights is None or not x.size:
        return Tensor._wrap(xp.bincount(x, minlength=minlength).astype(np.int64, copy=False))
    if weights.is_cuda != input.is_cuda:
        places = f"input on {input.device}, weights on {weights.device}"
        raise refusal("bincount", DeviceError, f"found {places}, expected one device; use x.to(device)")
    if weights.shape != input.shape:
        raise refusal("bincount", ShapeError, f"found weights {weights.shape}, expected {input.shape}")
    dtype = weights.dtype if weights.dtype == dtypes.float32 else dtypes.float64
    if weights.is_cuda:  # cupy's bincount would add in any order
        count = max(int(x.max()) + 1, minlength)
        return Tensor._wrap(kernels.put(weights._data.astype(dtype), (x,), (count,)))
    return Tensor._wrap(xp.bincount(x, weights._data, minlength).astype(dtype, copy=False))
