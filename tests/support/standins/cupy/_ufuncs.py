"""cupy's ufuncs, which take device arrays and numbers, `out`, `dtype` and `casting`, and little else."""

import numpy as np

from cupy._array import ndarray, quietly, unwrapped, wrapped
from cupy._counters import LAUNCH, clocked, counters

NAMES = """abs absolute add arccos arcsin arctan arctan2 bitwise_and bitwise_or bitwise_xor ceil cos cosh divide equal
    exp exp2 expm1 floor floor_divide fmod greater greater_equal invert isfinite isinf isnan left_shift less less_equal
    log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor maximum minimum multiply negative
    not_equal power reciprocal remainder right_shift rint sign sin sinh sqrt square subtract tan tanh true_divide
    trunc""".split()
__all__ = NAMES


class ufunc:
    def __init__(self, name: str) -> None:
        self.host, self.__name__ = getattr(np, name), name
        self.nin, self.nout = self.host.nin, self.host.nout

    @clocked
    @quietly
    def __call__(self, *args, out=None, dtype=None, casting="same_kind", _where=None):
        if not self.nin <= len(args) <= self.nin + self.nout:
            raise TypeError(f"Wrong number of arguments for {self.__name__!r}")
        inputs, out = args[: self.nin], args[self.nin] if len(args) > self.nin else out
        out = out[0] if isinstance(out, tuple) else out
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"Unsupported type {type(out)}")
        given = [unwrapped(x) for x in inputs]
        counters.note(LAUNCH, self.__name__)
        where = {} if _where is None else {"where": unwrapped(_where)}
        if dtype is not None:  # cupy casts to it regardless of `casting`
            given = [np.asarray(x).astype(dtype) for x in given]
        result = self.host(*given, out=None if out is None else out._host, casting=casting, **where)
        return out if out is not None else wrapped(result)

    def at(self, a, indices, b=None):
        if self.__name__ != "add":
            raise NotImplementedError(f"`{self.__name__}.at` is not supported yet")
        a._scatter_op(indices, b, "add")

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"`{self.__name__}.reduce` is not supported yet")
        return (array.sum if self.__name__ == "add" else array.prod)(axis, dtype, out, keepdims)

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        if self.__name__ != "add":
            raise NotImplementedError(f"`{self.__name__}.reduceat` is not supported yet")
        counters.note(LAUNCH, "reduceat")
        return wrapped(np.add.reduceat(array._host, indices._host, axis, dtype))


globals().update({name: ufunc(name) for name in NAMES})
