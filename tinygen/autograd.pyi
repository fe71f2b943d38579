"""Written by `python -m tinygen.face.stubs`: change the source and run it again."""

from builtins import bool as _bool, dict as _dict, float as _float, int as _int, list as _list, str as _str
from builtins import tuple as _tuple, type as _type
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np

from tinygen.engine.devices import device as _device
from tinygen.engine.grad_mode import SetRecording
from tinygen.nn.forward_hooks import RemovableHandle
from tinygen.ops.reduce import ValuesIndices
from tinygen.face.size import Size as Size

from tinygen.engine.tensor import Tensor
from tinygen.face.gradcheck import GradcheckError as GradcheckError
from tinygen.face.legacy import Variable as Variable
from tinygen.face.recording import set_grad_enabled as set_grad_enabled

_F = TypeVar("_F")
_Number: TypeAlias = _int | _float | _bool | np.number[Any] | np.bool_
_Operand: TypeAlias = Tensor | _Number
_Ints: TypeAlias = _int | Sequence[_int]
_DType: TypeAlias = np.dtype[Any] | _type | _str

def backward(tensors: Tensor | Sequence[Tensor], grad_tensors: Any = ..., retain_graph: Any = ..., create_graph: _bool = ..., grad_variables: Any = ..., inputs: Any = ...) -> None: ...
@overload
def enable_grad(function: None = ...) -> SetRecording: ...
@overload
def enable_grad(function: _F) -> _F: ...
def grad(outputs: Any, inputs: Any, grad_outputs: Any = ..., retain_graph: Any = ..., create_graph: _bool = ..., only_inputs: _bool = ..., allow_unused: _bool = ...) -> _tuple: ...
def gradcheck(func: Any, inputs: Any, eps: _float = ..., atol: _float = ..., rtol: _float = ..., raise_exception: _bool = ...) -> _bool: ...
def gradgradcheck(func: Any, inputs: Any, grad_outputs: Any = ..., eps: _float = ..., atol: _float = ..., rtol: _float = ..., raise_exception: _bool = ...) -> _bool: ...
def inference_mode(mode: Any = ...) -> SetRecording: ...
def is_grad_enabled() -> _bool: ...
@overload
def no_grad(function: None = ...) -> SetRecording: ...
@overload
def no_grad(function: _F) -> _F: ...
