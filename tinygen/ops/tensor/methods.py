"""Methods of Tensor that are written with operations."""

from __future__ import annotations

import numpy as np

from tinygen.engine import devices, dtypes
from tinygen.engine.devices import CPU, CUDA
from tinygen.engine.errors import refusal
from tinygen.engine.sweep_ops import cast
from tinygen.engine.tensor import Tensor, attach
from tinygen.ops.elementwise.choice import where
from tinygen.ops.index.getitem import assign, getitem
from tinygen.ops.shape.reshape import permute, transpose
from tinygen.ops.tensor import overwrite
from tinygen.ops.tensor.device import to_device


@attach
class Methods:
    """They become methods of Tensor."""

    @property
    def T(self) -> Tensor:
        return permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        return transpose(self, -2, -1)

    def to(self, *targets, dtype=None, device=None, non_blocking: bool = False, copy: bool = False) -> Tensor:
        """Convert to another dtype or device, given by keyword or position, or to those of another Tensor

        non_blocking is accepted and has no effect.
        """
        for target in targets:
            if isinstance(target, Tensor):
                dtype, device = target.dtype, target.device
            elif isinstance(target, (str, int)):
                device = target
            else:
                dtype = target
        result = self if dtype is None or np.dtype(dtype) == self.dtype else cast(self, dtype=np.dtype(dtype))
        result = result if device is None else to_device(result, device)
        return result.clone() if copy and result is self else result

    def half(self) -> Tensor:
        return self.to(dtypes.float16)

    def float(self) -> Tensor:
        return self.to(dtypes.float32)

    def double(self) -> Tensor:
        return self.to(dtypes.float64)

    def int(self) -> Tensor:
        return self.to(dtypes.int32)

    def long(self) -> Tensor:
        return self.to(dtypes.int64)

    def bool(self) -> Tensor:
        return self.to(dtypes.bool_)

    def cpu(self) -> Tensor:
        """Move to the CPU; returns the Tensor itself if it is there"""
        return to_device(self, CPU)

    def cuda(self, device=None, non_blocking: bool = False) -> Tensor:
        """Move to the GPU; returns the Tensor itself if it is there.  non_blocking is accepted and has no effect."""
        return to_device(self, CUDA if device is None else device)

    def where(self, condition, y) -> Tensor:
        """self where the condition is true, else y: where(condition, self, y)"""
        return where(condition, self, y)

    def __getitem__(self, places):
        return getitem(self, places)

    def __setitem__(self, places, value) -> None:
        """Overwrite elements; recorded if a gradient depends on it, as in PyTorch."""
        if overwrite.is_recorded("x[...] = value", self, value):
            overwrite.set_item(self, places, value)
            return
        self._touch()
        if isinstance(value, Tensor):
            value = devices.move(value._data, self.device)
        assign(self._data, places, value)

    # Python's protocols

    def item(self):
        """The only element as a Python number."""
        if self._data.size != 1:
            raise refusal("item", RuntimeError, f"found shape {self.shape}, expected one element")
        return self._data.item()

    def tolist(self):
        return self._data.tolist()

    def is_contiguous(self) -> bool:
        return self._data.flags.c_contiguous

    def __pos__(self):
        return self

    def __len__(self) -> int:
        if not self.ndim:
            raise refusal("len", TypeError, "found a 0-d Tensor, expected at least one dimension")
        return len(self._data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __contains__(self, value) -> bool:
        return bool((self._data == (value._data if isinstance(value, Tensor) else value)).any())

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise refusal(
                "bool", RuntimeError, f"found shape {self.shape}, expected one element; use .any() or .all()"
            )
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iub":
            raise refusal("index", TypeError, f"found dtype {self.dtype}, expected an integer dtype")
        return int(self.item())
