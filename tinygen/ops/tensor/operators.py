"""Python's operators: `x + y` is `add(x, y)`, `2 - x` is `sub(2, x)`, `x += y` is `x.add_(y)`."""

from __future__ import annotations

import numpy as np

from tinygen.engine import dtypes, sweep_ops
from tinygen.engine.tensor import Tensor
from tinygen.ops.elementwise import arithmetic, compare
from tinygen.ops.products.matmul import matmul
from tinygen.ops.tensor import inplace

_OPERANDS = (Tensor, int, float, bool, np.ndarray, np.generic)


def _operand(x):
    """Operators accept NumPy arrays, as a Tensor that shares their memory.  As in PyTorch, functions do not."""
    return Tensor._from_outside(x) if isinstance(x, np.ndarray) else x


def _left(operation):
    """self + other; NotImplemented for foreign types, so that Python tries their own operator"""

    def operator(self, other):
        if isinstance(other, Tensor):
            return operation(self, other)
        return operation(self, _operand(other)) if isinstance(other, _OPERANDS) else NotImplemented

    return operator


def _right(operation):
    """other + self, where other is not a Tensor"""

    def operator(self, other):
        if isinstance(other, (float, int)):
            return operation(other, self)
        return operation(_operand(other), self) if isinstance(other, _OPERANDS) else NotImplemented

    return operator


def _invert(self):
    """~x: logical not for bools, every bit flipped for integers"""
    return compare.logical_not(self) if self.dtype == dtypes.bool_ else compare.bitwise_not(self)


_ARITHMETIC = {
    "add": sweep_ops.add,
    "sub": arithmetic.minus,
    "mul": arithmetic.mul,
    "truediv": arithmetic.divided,
    "floordiv": arithmetic.floor_divide,
    "mod": arithmetic.remainder,
    "pow": arithmetic.pow,
    "matmul": matmul,
}
_BITWISE = {
    "and": compare.bitwise_and,
    "or": compare.bitwise_or,
    "xor": compare.bitwise_xor,
}  # 5 & x is x & 5
_COMPARISONS = {name: getattr(compare, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
_IN_PLACE = {
    "iadd": inplace.add_, "isub": inplace.sub_, "imul": inplace.mul_, "itruediv": inplace.div_, "ipow": inplace.pow_,
}  # fmt: skip

OPERATORS = {
    **{
        f"__{name}__": _left(operation) for name, operation in (_ARITHMETIC | _BITWISE | _COMPARISONS).items()
    },
    **{f"__r{name}__": _right(operation) for name, operation in _ARITHMETIC.items()},
    **{f"__r{name}__": _left(operation) for name, operation in _BITWISE.items()},
    **{f"__{name}__": method for name, method in _IN_PLACE.items()},
    "__neg__": arithmetic.neg,
    "__abs__": arithmetic.abs,
    "__invert__": _invert,
}
