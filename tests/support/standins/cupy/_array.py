"""The array: NumPy's memory with cupy's interface."""

from __future__ import annotations

import functools
import operator
import types

import numpy as np

from cupy._counters import (
    ALLOCATION,
    LAUNCH,
    STAGED,
    TO_DEVICE,
    clocked,
    counters,
    launching,
    pinned_or_staged,
    waiting,
)

SCALARS = (bool, int, float, np.generic)


def root(host: np.ndarray) -> np.ndarray:
    """The NumPy array that owns the memory."""
    while host.base is not None:
        host = getattr(host.base, "base", None) if not isinstance(host.base, np.ndarray) else host.base
        if host is None:
            break
    return host


def unwrapped(x):
    """The NumPy array of an operand; NumPy arrays are rejected, as that would be an implicit copy."""
    if isinstance(x, ndarray):
        return x._host
    if x is None or isinstance(x, SCALARS):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def wrapped(result, *sources):
    """NumPy's results as device arrays: no NumPy scalars, and a view refers to the array that owns its memory."""
    if isinstance(result, (tuple, list)):
        return type(result)(wrapped(r, *sources) for r in result)
    if isinstance(result, np.generic):
        return ndarray._of(np.asarray(result))
    if not isinstance(result, np.ndarray):
        return result
    for source in sources:
        if isinstance(source, ndarray):
            if result is source._host:
                return source
            if result.base is not None and root(result) is root(source._host):
                return ndarray._of(result, source if source.base is None else source.base)
    return ndarray._of(result)


def quietly(function):
    """A GPU gives no warnings."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return call


class Flags:
    def __init__(self, array) -> None:
        flags = array._host.flags
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = array.base is None

    def __getitem__(self, name):
        known = {"C_CONTIGUOUS": "c_contiguous", "F_CONTIGUOUS": "f_contiguous", "OWNDATA": "owndata"}
        if name not in known:
            raise KeyError(f"{name} is not defined for cupy.ndarray.flags")
        return getattr(self, known[name])


def _kind(kind):
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")


class ndarray:
    """The methods and attributes of `cupy.ndarray` that tinygen may use."""

    __slots__ = ("__weakref__", "_host", "base")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C") -> None:
        self._host, self.base = np.empty(shape, dtype, order), None
        _supported(self._host.dtype)
        counters.note(ALLOCATION, "ndarray", 1, self._host.nbytes)

    @classmethod
    def _of(cls, host: np.ndarray, base=None) -> ndarray:
        _supported(host.dtype)
        array = object.__new__(cls)
        array._host, array.base = host, base
        if base is None:
            counters.note(ALLOCATION, "ndarray", 1, host.nbytes)
        return array

    # attributes

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(Flags)
    T = property(lambda self: self.transpose())

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self._host.ctypes.data)

    @property
    def device(self):
        from cupy import cuda

        return cuda.Device(0)

    @property
    def __cuda_array_interface__(self):
        interface = self._host.__array_interface__
        strides = None if self._host.flags.c_contiguous else self.strides
        data = (interface["data"][0] if self.size else 0, False)
        known = {key: interface[key] for key in ("shape", "typestr", "descr")}
        return {**known, "strides": strides, "data": data, "version": 3, "stream": 1}

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        return self._host.__dlpack__(**({} if max_version is None else {"max_version": max_version}))

    def __dlpack_device__(self):
        return (2, 0)  # kDLCUDA

    # to the host

    def get(self, stream=None, order="C", out=None, blocking=True):
        waiting("get", self.nbytes)
        return np.array(self._host, order=order)

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError("Shape or dtype mismatch")
        from cupy import cuda

        kind = pinned_or_staged(arr)
        counters.note(TO_DEVICE, kind, 1, arr.nbytes)
        if kind == STAGED:  # the driver has its own copy when this returns
            arr = arr.copy()
        (stream or cuda.get_current_stream())._do(lambda: np.copyto(self._host, arr))

    def item(self):
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        waiting("item", self.nbytes)
        return self._host.item()

    def tolist(self):
        waiting("tolist", self.nbytes)
        return self._host.tolist()

    def __array__(self, dtype=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __bool__(self):
        waiting("__bool__", self.nbytes)
        return bool(self._host)

    def __int__(self):
        waiting("__int__", self.nbytes)
        return int(self._host)

    def __float__(self):
        waiting("__float__", self.nbytes)
        return float(self._host)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        waiting("__repr__", self.nbytes)
        return repr(self._host)

    def __reduce__(self):
        from cupy import array

        return array, (self.get(),)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    # NumPy's functions dispatch to ours

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        import cupy

        function = getattr(cupy, ufunc.__name__, None)
        if method != "__call__":
            function = getattr(function, method, None)
        if function is None:
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        if ufunc.__name__ in _COMPARISONS:
            inputs = [x.item() if isinstance(x, np.ndarray) and not x.ndim else x for x in inputs]
        return function(*inputs, **kwargs)

    def __array_function__(self, function, types, args, kwargs):
        import cupy

        module = cupy
        for part in function.__module__.split(".")[1:]:
            module = getattr(module, part, None)
        ours = getattr(module, function.__name__, None)
        if ours is None or not all(issubclass(t, (ndarray, np.ndarray)) for t in types):
            return NotImplemented
        return ours(*args, **kwargs)

    # indexing

    @quietly
    def __getitem__(self, slices):
        index = _index(slices, self.shape)
        _note_read(index)
        return wrapped(self._host[index], self)

    @quietly
    def __setitem__(self, slices, value):
        counters.note(LAUNCH, "setitem")
        if isinstance(value, ndarray):
            value = value._host
        elif np.ndim(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host[_index(slices, self.shape)] = value

    def _scatter_op(self, slices, value, op):
        if op != "add":
            raise NotImplementedError(op)
        if self.dtype.name not in "int32 float16 float32 float64 uint32 uint64".split():
            raise TypeError(f"cupyx.scatter_add: {self.dtype} is not supported")
        counters.note(LAUNCH, "scatter_add")
        np.add.at(self._host, _index(slices, self.shape), unwrapped(value))

    def fill(self, value):
        if np.ndim(unwrapped(value)):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host.fill(unwrapped(value))

    def take(self, indices, axis=None, out=None):
        assert out is None
        indices = _index_on_device(indices)
        # wrapped here: NumPy's mode="wrap" subtracts the length again and again, for hours if memory was never written
        length = self.size if axis is None else self.shape[axis]
        return wrapped(self._host.take(indices % length if length else indices, axis))

    def nonzero(self):
        if not self.ndim:
            raise ValueError("Calling nonzero on 0d arrays is not allowed.")
        waiting("nonzero", 8)  # how many there are
        return wrapped(self._host.nonzero())

    # shapes

    def reshape(self, *shape, order="C", copy=None):
        return wrapped(self._host.reshape(*shape, order=order), self)

    def transpose(self, *axes):
        return wrapped(self._host.transpose(*axes), self)

    def swapaxes(self, axis1, axis2):
        return wrapped(self._host.swapaxes(axis1, axis2), self)

    def squeeze(self, axis=None):
        return wrapped(self._host.squeeze(axis), self)

    def ravel(self, order="C"):
        return wrapped(self._host.ravel(order), self)

    def flatten(self, order="C"):
        return wrapped(self._host.flatten(order))

    def diagonal(self, offset=0, axis1=0, axis2=1):
        view = self._host.diagonal(offset, axis1, axis2)
        view.flags.writeable = True  # NumPy's is read-only, cupy's is not
        return wrapped(view, self)

    def repeat(self, repeats, axis=None):
        if not isinstance(repeats, (int, list, tuple)):
            raise TypeError("repeats must be int or sequence of ints")
        return wrapped(self._host.repeat(repeats, axis))

    # copies

    @quietly
    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        return wrapped(self._host.astype(dtype, order, copy=copy), self)

    def copy(self, order="C"):
        return wrapped(self._host.copy(order))

    def view(self, dtype=None, array_class=None):
        return wrapped(self._host.view() if dtype is None else self._host.view(dtype), self)

    # reductions

    @quietly
    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return _reduced(np.sum, self, axis, out, keepdims, dtype)

    @quietly
    def prod(self, axis=None, dtype=None, out=None, keepdims=False):
        return _reduced(np.prod, self, axis, out, keepdims, dtype)

    @quietly
    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        return _reduced(np.mean, self, axis, out, keepdims, dtype)

    def max(self, axis=None, out=None, keepdims=False):
        return _reduced(np.max, self, axis, out, keepdims)

    def min(self, axis=None, out=None, keepdims=False):
        return _reduced(np.min, self, axis, out, keepdims)

    def all(self, axis=None, out=None, keepdims=False):
        return _reduced(np.all, self, axis, out, keepdims)

    def any(self, axis=None, out=None, keepdims=False):
        return _reduced(np.any, self, axis, out, keepdims)

    def argmax(self, axis=None, out=None, dtype=None, keepdims=False):
        return _reduced(np.argmax, self, axis, out, keepdims)

    def argmin(self, axis=None, out=None, dtype=None, keepdims=False):
        return _reduced(np.argmin, self, axis, out, keepdims)

    @quietly
    def cumsum(self, axis=None, dtype=None, out=None):
        return wrapped(self._host.cumsum(axis, dtype))

    @quietly
    def cumprod(self, axis=None, dtype=None, out=None):
        return wrapped(self._host.cumprod(axis, dtype))

    # order

    def argsort(self, axis=-1, kind=None):
        _kind(kind)
        return wrapped(self._host.argsort(axis, kind="stable"))

    def sort(self, axis=-1, kind=None):
        _kind(kind)
        self._host.sort(axis, kind="stable")

    def argpartition(self, kth, axis=-1):
        return wrapped(self._host.argpartition(kth, axis))


_COMPARISONS = "greater greater_equal less less_equal equal not_equal".split()


def _supported(dtype) -> None:
    if dtype.kind not in "?biufc":
        raise ValueError(f"Unsupported dtype {dtype}")


def _reduced(function, array, axis, out, keepdims, dtype=None):
    kept = {} if dtype is None else {"dtype": dtype}
    result = function(
        array._host, axis=axis, out=None if out is None else out._host, keepdims=keepdims, **kept
    )
    return out if out is not None else wrapped(result)


def _index_on_device(indices) -> np.ndarray:
    """An array of indices; those of the host are copied to the device first."""
    if isinstance(indices, ndarray):
        return indices._host
    indices = np.asarray(indices)
    if indices.ndim:
        counters.note(TO_DEVICE, pinned_or_staged(indices), 1, indices.nbytes)
    return indices


def _note_read(index: tuple) -> None:
    """Slices make a view; arrays of indices take a launch, and of a mask the host must know how many it chooses."""
    arrays = [item for item in index if isinstance(item, np.ndarray)]
    counters.note(LAUNCH, "getitem", bool(arrays))
    if any(item.dtype.kind == "b" for item in arrays):
        counters.note(LAUNCH, "nonzero", LAUNCHES["nonzero"])
        waiting("getitem of a mask", 8)


def _index(slices, shape):
    """The index for NumPy: cupy accepts NumPy integer arrays, wraps indices around, and accepts at most one mask."""
    items = list(slices) if isinstance(slices, tuple) else [slices]
    masks = 0
    for n, item in enumerate(items):
        if isinstance(item, (list, tuple, bool, np.bool_)):
            item = np.asarray(item, None if np.size(item) else np.int32)
        if isinstance(item, (ndarray, np.ndarray)):
            item = _index_on_device(item)
        if isinstance(item, np.ndarray):
            if item.dtype.kind not in "biu":
                raise IndexError("arrays used as indices must be of integer or boolean type")
            masks += item.dtype.kind == "b"
        items[n] = item
    if masks > 1:
        raise ValueError("Currently, CuPy only supports one boolean array as an index")
    axis = 0
    for n, item in enumerate(items):
        if item is Ellipsis:
            used = sum(1 if not isinstance(i, np.ndarray) or i.dtype.kind != "b" else i.ndim
                       for i in items if i is not None and i is not Ellipsis)  # fmt: skip
            axis += len(shape) - used
        elif item is not None:
            if isinstance(item, np.ndarray) and item.dtype.kind in "iu" and axis < len(shape) and shape[axis]:
                items[n] = item % shape[axis]  # indices out of bounds are not detected
            axis += item.ndim if isinstance(item, np.ndarray) and item.dtype.kind == "b" else 1
    return tuple(items)


def _operator(name: str):
    def binary(self, other):
        import cupy

        if isinstance(other, ndarray):
            return getattr(cupy, name)(self, other)
        if getattr(other, "__array_ufunc__", 0) is None:
            return NotImplemented
        if not hasattr(other, "__array_ufunc__") and getattr(other, "__array_priority__", 0) > 100:
            return NotImplemented
        return getattr(np, name)(self, other)

    return clocked(binary)


def _reflected(name: str):
    def binary(self, other):
        return getattr(np, name)(other, self)

    return clocked(binary)


def _in_place(name: str):
    def update(self, other):
        import cupy

        return getattr(cupy, name)(self, other, out=self)

    return clocked(update)


def _unary(name: str):
    return clocked(lambda self: getattr(__import__("cupy"), name)(self))


for _sign, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}.items():  # fmt: skip
    setattr(ndarray, f"__{_sign}__", _operator(_name))
    setattr(ndarray, f"__r{_sign}__", _reflected(_name))
    if _sign != "matmul":
        setattr(ndarray, f"__i{_sign}__", _in_place(_name))
for _sign, _name in {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}.items():  # fmt: skip
    setattr(ndarray, f"__{_sign}__", _operator(_name))
for _sign, _name in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_sign}__", _unary(_name))
operator  # noqa: B018

# Launches of each method; those that return a view where they can copy where they cannot
LAUNCHES = dict.fromkeys(
    "take fill flatten copy repeat sum prod mean max min all any argmax argmin".split(), 1
)
LAUNCHES |= {"nonzero": 3, "cumsum": 2, "cumprod": 2, "argsort": 3, "sort": 3, "argpartition": 3}
VIEWS = "reshape ravel astype".split()


def _copying(name: str, method):
    """A method that costs a launch unless it returns a view, or the array itself"""

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        result = method(self, *args, **kwargs)
        counters.note(LAUNCH, name, result is not self and not np.may_share_memory(result._host, self._host))
        return result

    return call


for _name, _number in LAUNCHES.items():
    setattr(ndarray, _name, launching(_name, _number)(vars(ndarray)[_name]))
for _name in VIEWS:
    setattr(ndarray, _name, _copying(_name, vars(ndarray)[_name]))
_CLOCKED = """__bool__ __int__ __float__ __repr__ __getitem__ __setitem__ __init__ _scatter_op
    transpose swapaxes squeeze diagonal view get set item tolist""".split()
for _name in {*_CLOCKED, *LAUNCHES, *VIEWS}:
    setattr(ndarray, _name, clocked(vars(ndarray)[_name]))
