"""The shape of a Tensor."""

from __future__ import annotations

import math
from typing import SupportsIndex, overload


class Size(tuple[int, ...]):
    """A tuple of sizes that knows its product: `x.shape.numel()`, `x.shape[1:].numel()`."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a Tensor of that shape"""
        return math.prod(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __getitem__(self, index):
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other) -> Size:
        joined = tuple.__add__(self, other)
        return joined if joined is NotImplemented else Size(joined)
