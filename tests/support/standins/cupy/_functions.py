"""cupy's functions with cupy's signatures, from device arrays to device arrays."""

import numpy as np

from cupy._array import SCALARS, ndarray, quietly, unwrapped, wrapped
from cupy._counters import LAUNCH, TO_DEVICE, clocked, counters, launching, pinned_or_staged, waiting

_HOST_DATA = (np.ndarray, list, tuple, range)


def _created(host) -> ndarray:
    return ndarray._of(np.asarray(host))


# new arrays


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if subok:
        raise NotImplementedError
    if isinstance(obj, ndarray):
        same = not copy and (dtype is None or obj.dtype == dtype)
        counters.note(LAUNCH, "copy", not same)
        return obj if same else _created(np.array(obj._host, dtype, order=order, ndmin=ndmin))
    if hasattr(obj, "__cuda_array_interface__"):
        shared = _created(np.asarray(_Described(obj)))
        return shared if not copy and dtype in (None, shared.dtype) else array(shared, dtype)
    host = np.array(_plain(obj), dtype, ndmin=ndmin)
    if not host.ndim:
        counters.note(LAUNCH, "fill")  # a number is an argument of a kernel
    elif isinstance(obj, (list, tuple)) and _holds_arrays(obj):
        counters.note(LAUNCH, "concatenate")
    else:
        counters.note(TO_DEVICE, pinned_or_staged(obj), 1, host.nbytes)
    if blocking:
        waiting("array(blocking=True)", 0)
    return _created(host)


def _holds_arrays(obj) -> bool:
    return any(_holds_arrays(x) if isinstance(x, (list, tuple)) else isinstance(x, ndarray) for x in obj)


class _Described:
    """Another library's array for NumPy to read; it lives as long as the memory."""

    def __init__(self, array) -> None:
        interface = array.__cuda_array_interface__
        self.array = array
        self.__array_interface__ = {k: v for k, v in interface.items() if k != "stream"} | {"version": 3}


def _plain(obj):
    """Nested lists may hold device arrays."""
    if isinstance(obj, (list, tuple)):
        return [_plain(x) for x in obj]
    return obj._host if isinstance(obj, ndarray) else obj


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    return array(a, dtype, copy=bool(copy), order=order or "K")


def ascontiguousarray(a, dtype=None):
    if isinstance(a, ndarray):
        host = np.ascontiguousarray(a._host, dtype)
        counters.note(LAUNCH, "copy", host is not a._host)
        return wrapped(host.reshape(a.shape), a) if host is not a._host else a
    return array(a, dtype)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def empty(shape, dtype=float, order="C"):
    return _created(np.empty(shape, dtype, order))


def zeros(shape, dtype=float, order="C"):
    return _created(np.zeros(shape, dtype, order))


def ones(shape, dtype=float, order="C"):
    return _created(np.ones(shape, dtype, order))


def full(shape, fill_value, dtype=None, order="C"):
    return _created(np.full(shape, unwrapped(fill_value), dtype, order))


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return _created(np.empty_like(unwrapped(prototype), dtype, order, shape=shape))


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return _created(np.zeros_like(unwrapped(a), dtype, order, shape=shape))


def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    return _created(np.ones_like(unwrapped(a), dtype, order, shape=shape))


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    return _created(np.full_like(unwrapped(a), fill_value, dtype, order, shape=shape))


def arange(start, stop=None, step=1, dtype=None):
    return _created(np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype))


def eye(N, M=None, k=0, dtype=float, order="C"):
    return _created(np.eye(N, M, k, dtype, order))


def indices(dimensions, dtype=int):
    return _created(np.indices(dimensions, dtype))


def from_dlpack(array, *, device=None, copy=None):
    kind, _ = array.__dlpack_device__()
    if kind == 1:
        raise TypeError("CPU arrays cannot be directly imported to CuPy.")
    return _created(np.from_dlpack(_OnHost(array)))


class _OnHost:
    """The memory of another of this module's arrays."""

    def __init__(self, array) -> None:
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(stream=1, max_version=options.get("max_version"))

    def __dlpack_device__(self):
        return (1, 0)


# which module, which dtype


def get_array_module(*args):
    import cupy

    return cupy if any(isinstance(x, ndarray) for x in args) else np


def may_share_memory(a, b, max_work=None):
    return np.may_share_memory(unwrapped(a), unwrapped(b))


# choosing


@quietly
def where(condition, x=None, y=None):
    if x is None and y is None:
        return condition.nonzero()
    counters.note(LAUNCH, "where")
    return wrapped(np.where(unwrapped(condition.astype("?", copy=False)), unwrapped(x), unwrapped(y)))


@quietly
def clip(a, a_min, a_max, out=None):
    if a_min is None and a_max is None:
        raise ValueError("array_clip: must set either max or min")
    return wrapped(np.clip(unwrapped(a), unwrapped(a_min), unwrapped(a_max)))


def copyto(dst, src, casting="same_kind", where=None):
    if isinstance(src, np.ndarray) and src.size != 1:
        raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
    src = src._host if isinstance(src, ndarray) else src
    counters.note(LAUNCH, "copyto")
    np.copyto(unwrapped(dst), src, casting, True if where is None else unwrapped(where))


def take(a, indices, axis=None, out=None):
    return a.take(indices, axis, out)


def take_along_axis(a, indices, axis):
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    return wrapped(np.take_along_axis(unwrapped(a), unwrapped(indices), axis))


def put_along_axis(arr, indices, values, axis):
    np.put_along_axis(unwrapped(arr), unwrapped(indices), unwrapped(values), axis)


def flatnonzero(a):
    return a.ravel().nonzero()[0]


def nonzero(a):
    return a.nonzero()


def repeat(a, repeats, axis=None):
    return a.repeat(repeats, axis)


def isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    return wrapped(np.isclose(unwrapped(a), unwrapped(b), rtol, atol, equal_nan))


def array_equal(a1, a2, equal_nan=False):
    return wrapped(np.asarray(np.array_equal(unwrapped(a1), unwrapped(a2), equal_nan)))


def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    return wrapped(np.nan_to_num(unwrapped(x), copy, nan, posinf, neginf))


# shapes


def concatenate(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    return wrapped(np.concatenate([_array(x) for x in tup], axis, dtype=dtype, casting=casting))


def stack(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    return wrapped(np.stack([_array(x) for x in tup], axis, dtype=dtype, casting=casting))


def _array(x):
    if not isinstance(x, ndarray):
        raise TypeError("Only cupy arrays can be concatenated")
    return x._host


def split(ary, indices_or_sections, axis=0):
    return wrapped(np.split(unwrapped(ary), indices_or_sections, axis), ary)


def pad(array, pad_width, mode="constant", **kwargs):
    if mode != "constant" or kwargs.keys() - {"constant_values"}:
        raise NotImplementedError(f"stand-in: pad of mode {mode}")
    return wrapped(np.pad(unwrapped(array), pad_width, mode, **kwargs))


def broadcast_to(array, shape):
    view = np.broadcast_to(array._host, shape)  # NumPy's is read-only, cupy's is not
    return wrapped(np.lib.stride_tricks.as_strided(array._host, view.shape, view.strides), array)


def broadcast_shapes(*args):
    return np.broadcast_shapes(*args)


def moveaxis(a, source, destination):
    return wrapped(np.moveaxis(unwrapped(a), source, destination), a)


def swapaxes(a, axis1, axis2):
    return a.swapaxes(axis1, axis2)


def transpose(a, axes=None):
    return a.transpose(axes) if axes is not None else a.transpose()


def reshape(a, newshape, order="C", *, copy=None):
    return a.reshape(newshape, order=order)


def expand_dims(a, axis):
    return wrapped(np.expand_dims(unwrapped(a), axis), a)


def squeeze(a, axis=None):
    return a.squeeze(axis)


def flip(a, axis=None):
    return wrapped(np.flip(unwrapped(a), axis), a)


def roll(a, shift, axis=None):
    return wrapped(np.roll(unwrapped(a), shift, axis))


def tril(m, k=0):
    return wrapped(np.tril(unwrapped(m), k))


def triu(m, k=0):
    return wrapped(np.triu(unwrapped(m), k))


def diagonal(a, offset=0, axis1=0, axis2=1):
    return a.diagonal(offset, axis1, axis2)


def atleast_2d(*arys):
    (only,) = arys
    return wrapped(np.atleast_2d(unwrapped(only)), only)


# orders and counts


def argsort(a, axis=-1, kind=None):
    return a.argsort(axis, kind)


def sort(a, axis=-1, kind=None):
    copy = a.copy()
    copy.sort(axis, kind)
    return copy


def argpartition(a, kth, axis=-1):
    return a.argpartition(kth, axis)


def searchsorted(a, v, side="left", sorter=None):
    return wrapped(np.searchsorted(unwrapped(a), unwrapped(v), side))


def unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, equal_nan=True):
    options = {"equal_nan": equal_nan, "axis": axis}
    waiting("unique", 8)  # how many there are
    return wrapped(np.unique(unwrapped(ar), return_index, return_inverse, return_counts, **options))


def bincount(x, weights=None, minlength=None):
    if minlength is not None and minlength < 0:
        raise ValueError("minlength must be non-negative")
    waiting("bincount", 16)  # whether one is negative, and the largest
    return wrapped(np.bincount(unwrapped(x), unwrapped(weights), minlength or 0))


def argmax(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.argmax(axis, out, dtype, keepdims)


def argmin(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.argmin(axis, out, dtype, keepdims)


def cumsum(a, axis=None, dtype=None, out=None):
    return a.cumsum(axis, dtype, out)


# products


@quietly
def _matmul(
    *args,
    axes=None,
    axis=None,
    keepdims=False,
    casting="same_kind",
    dtype=None,
    signature=None,
    order="K",
    out=None,
):
    a, b = (unwrapped(x) for x in args)
    if any(isinstance(x, SCALARS) for x in (a, b)):
        raise TypeError("matmul of a number")
    counters.note(LAUNCH, "matmul")
    return wrapped(np.matmul(a, b, out=None if out is None else out._host))


matmul = _matmul


@quietly
def dot(a, b, out=None):
    return wrapped(np.dot(unwrapped(a), unwrapped(b)))


@quietly
def outer(a, b, out=None):
    return wrapped(np.outer(unwrapped(a), unwrapped(b)))


@quietly
def tensordot(a, b, axes=2):
    return wrapped(np.tensordot(unwrapped(a), unwrapped(b), axes))


def einsum(*operands, **kwargs):
    formula, *arrays = operands
    return wrapped(np.einsum(formula, *(unwrapped(x) for x in arrays), **kwargs))


# Launches of the functions that note none themselves and call no method or ufunc that does
LAUNCHES = dict.fromkeys(
    "zeros ones full zeros_like ones_like full_like arange clip isclose nan_to_num".split(), 1
)
LAUNCHES |= dict.fromkeys("concatenate stack searchsorted dot outer tril triu".split(), 1)
LAUNCHES |= {
    "eye": 2,
    "indices": 3,
    "take_along_axis": 2,
    "put_along_axis": 2,
    "array_equal": 2,
    "pad": 2,
    "roll": 2,
}
LAUNCHES |= {"unique": 8, "bincount": 4, "tensordot": 2, "einsum": 2}
for _name, _number in LAUNCHES.items():
    globals()[_name] = launching(_name, _number)(globals()[_name])

__all__ = [
    name for name, value in globals().items() if callable(value) and name[0] != "_" and value is not ndarray
]
_HELPERS = "quietly unwrapped wrapped clocked launching pinned_or_staged waiting".split()
__all__ = [name for name in __all__ if name not in _HELPERS]
for _name in __all__:
    globals()[_name] = clocked(globals()[_name])
