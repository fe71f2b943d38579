"""Tensor: an array, its gradient, and where it stands in the graph.  Names and meaning are PyTorch's.

Python's operators, the methods that are operations (`x.sum(dim)`, `x.to(device)`) and `backward` are defined in files
that import this one; those files attach them (`attach`).
"""

from __future__ import annotations

import inspect
import weakref

import numpy as np

from tinygen.engine import devices, dtypes
from tinygen.engine.devices import CPU, CUDA, HOST, device
from tinygen.engine.dtypes import DtypeError
from tinygen.engine.errors import refusal
from tinygen.engine.memory import Family, Guard, alias


class Tensor:
    """A multi-dimensional array that records what is done with it.

    data           the array, as a Tensor outside the graph that shares its memory
    grad           the accumulated gradient (a Tensor), or None
    requires_grad  whether backward should reach it

    Tensors are hashed by identity, although `==` is elementwise: they may be keys of a dictionary.

    _data            the array, of NumPy or cupy
    _edge            the Node that it came from (node.py), None for a leaf; of a leaf restored for backward, that leaf
                     itself, so that rows recorded with it lead back there
    _hooks           functions that see a leaf's gradient (face/gradient_hooks.py); the slot is empty until there is one
    _guard, _family  who else sees its memory (memory.py), created when first needed
    """

    __slots__ = ("__weakref__", "_data", "_edge", "_family", "_guard", "_hooks", "_requires_grad", "grad")
    __module__ = "tinygen"  # where callers and pickles find it
    __array_priority__ = 1000  # numpy_array * tensor comes to Tensor.__rmul__

    @classmethod
    def _wrap(cls, array) -> Tensor:
        """A Tensor around an array that no code outside writes to."""
        tensor = _new(Tensor)
        tensor._data = array
        tensor._edge = tensor._family = tensor._guard = tensor.grad = None
        tensor._requires_grad = False
        return tensor

    @classmethod
    def _from_outside(cls, array: np.ndarray) -> Tensor:
        """A Tensor that shares the memory of an array that code outside holds."""
        dtypes.category(array.dtype)
        tensor = cls._wrap(array)
        tensor._guard = Guard(from_outside=True)
        return tensor

    # what it is

    @property
    def shape(self) -> tuple:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    def numel(self) -> int:
        return self._data.size

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    def is_floating_point(self) -> bool:
        return self._data.dtype.kind == "f"

    @property
    def device(self) -> device:
        return CPU if isinstance(self._data, HOST) else CUDA

    @property
    def is_cuda(self) -> bool:
        return not isinstance(self._data, HOST)

    # the graph

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        if self._edge is not None and not requires_grad:
            raise refusal(
                "requires_grad_",
                RuntimeError,
                "only leaf Tensors can be taken out of the graph; use detach()",
            )
        if requires_grad and self._data.dtype.kind != "f":
            raise refusal(
                "requires_grad_", RuntimeError, f"found dtype {self.dtype}, expected a floating dtype"
            )
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        return self._edge is None

    @property
    def grad_fn(self):
        """The recorded operation this Tensor came from, or None for a leaf."""
        return self._edge

    def retain_grad(self) -> None:
        """Let every later backward fill in `.grad` of this intermediate result."""
        if self._edge is not None:
            self._edge.retained = weakref.ref(self)

    def detach(self) -> Tensor:
        """The same memory outside the graph.  A write to either shows in both, and backward notices it."""
        tensor = Tensor._wrap(self._data)
        alias(tensor, self)
        return tensor

    # the memory

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value) -> None:
        """Use other memory.  A recorded graph is not affected: it keeps the array it saved."""
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
        if devices.of(array) != self.device:
            raise refusal(
                "data",
                RuntimeError,
                f"found a Tensor on {devices.of(array)}, expected {self.device}; use y.to(x.device)",
            )
        if array.dtype != self._data.dtype:
            raise refusal("data", DtypeError, f"found {array.dtype}, expected {self._data.dtype}")
        self._point_at(array)
        if isinstance(value, Tensor):
            alias(self, value)
        else:
            self._guard = Guard(from_outside=True)

    def _point_at(self, array) -> None:
        """Use other memory, which no other Tensor sees."""
        self._data, self._guard, self._family = array, None, None

    def _write(self, array) -> Tensor:
        """Overwrite the values in place, for every Tensor over this memory; backward refuses if it had saved them."""
        self._touch()
        self._data[...] = array
        return self

    def _touch(self) -> None:
        """Note a write to this memory that is about to happen; an error if it is read-only."""
        try:
            writeable = self._data.flags.writeable
        except AttributeError:  # cupy's arrays have no such flag
            writeable = devices.writeable(self._data)
        if not writeable:
            raise RuntimeError(
                f"cannot write to x {self.shape}: its memory is read-only (an expanded Tensor, or one made from a "
                "read-only array); use x.clone()"
            )
        if self._guard is not None:
            self._guard.version += 1

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array sharing this memory: read-only while a recorded graph still needs them.

        force: also of a Tensor that requires a gradient or is on a GPU, as x.detach().cpu().numpy()
        """
        if force and (self.requires_grad or self.is_cuda):
            return self.detach().cpu().numpy()
        self._readable_by_numpy()
        if self._guard is None:
            self._guard = Guard()
        # A view of a NumPy view refers to the owner of the memory, not to the view.  as_strided's result is an
        # exception: it lives as long as any view of it, and as long as it lives the guard counts as exposed.
        view = np.lib.stride_tricks.as_strided(self._data)
        if self._guard.saves:
            view.flags.writeable = False
        elif view.flags.writeable:
            self._guard.expose(view)
        return view

    def _readable_by_numpy(self) -> None:
        if self.is_cuda:
            raise refusal(
                "numpy",
                TypeError,
                f"found a Tensor on {self.device}, expected one on the CPU; use x.cpu() before",
            )
        if self.requires_grad:
            raise refusal("numpy", RuntimeError, "this Tensor requires a gradient; use x.detach().numpy()")

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        self._readable_by_numpy()
        array = self._data.view()
        array.flags.writeable = False
        if dtype is not None and dtype != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        return f"tensor({devices.on_host(self._data)}, dtype={self.dtype})"  # face prints as PyTorch does

    def __getstate__(self):
        """The state for `copy` and `pickle`: without the graph, and with the guard only if the memory is shared."""
        if self._edge is not None:
            raise RuntimeError(
                "only leaf Tensors can be copied or pickled, not results of recorded operations; use x.detach() "
                "(to plot it, too), or x.clone()"
            )
        guard = self._guard if self._guard is not None and self._guard.others(self) else None
        return self._data, self._requires_grad, None if self.grad is None else self.grad.detach(), guard

    def __setstate__(self, state) -> None:
        self._data, self._requires_grad, self.grad, self._guard = state
        self._edge = self._family = None
        if self._guard is not None:
            self._guard.hold(self, Family())

    def __copy__(self):
        copy = _new(type(self))
        copy.__setstate__(self.__getstate__())
        alias(copy, self)
        return copy


_new = object.__new__


def attach(methods: type) -> type:
    """Give Tensor the methods and properties of a class defined in a file that imports this one."""
    for name, value in vars(methods).items():
        if inspect.isfunction(value):
            value.__qualname__ = f"Tensor.{name}"
        elif not isinstance(value, property):
            continue
        setattr(Tensor, name, value)
    return methods
