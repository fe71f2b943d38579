"""Writes the .pyi files, which tell editors and type checkers what is only put together when the package is imported.

    python -m tinygen.face.stubs        update them after adding an operation or an argument

Methods of Tensor and functions are attached at import, `tinygen/ops/__init__.py`.  Here they are written out with
types: an annotation where the source has one, else what the argument may be (`argument_types.py`).
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

from tinygen import autograd
from tinygen.engine.primitive import Primitive
from tinygen.engine.tensor import Tensor
from tinygen.face.argument_types import kind_of
from tinygen.nn import functional
from tinygen.ops.arguments import (
    BOOL,
    INT,
    INT_OR_TENSOR,
    INTS,
    INTS_OR_BOOL,
    INTS_OR_DTYPE,
    INTS_OR_WORD,
    NUMBER,
    NUMBER_OR_WORD,
    NUMBERS,
    OPERAND,
    OPTIONAL_TENSOR,
    TENSOR,
    TENSOR_OR_TENSORS,
    TENSORS,
    WORD,
)

PACKAGE = sys.modules["tinygen"]  # loaded before anything inside of it
HEAD = '''"""Written by `python -m tinygen.face.stubs`: change the source and run it again."""

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
'''
ALIASES = """
_F = TypeVar("_F")
_Number: TypeAlias = _int | _float | _bool | np.number[Any] | np.bool_
_Operand: TypeAlias = Tensor | _Number
_Ints: TypeAlias = _int | Sequence[_int]
_DType: TypeAlias = np.dtype[Any] | _type | _str
"""
TYPES = {
    TENSOR: "Tensor", OPTIONAL_TENSOR: "Tensor | None", OPERAND: "_Operand", INT: "_int", INTS: "_Ints",
    NUMBER: "_Number | Tensor", BOOL: "_bool", TENSORS: "Sequence[Tensor]", INT_OR_TENSOR: "_int | Tensor",
    INTS_OR_WORD: "_Ints | _str", INTS_OR_DTYPE: "_Ints | _DType", INTS_OR_BOOL: "_Ints | _bool",
    NUMBERS: "_Number | Sequence[_Number]", TENSOR_OR_TENSORS: "Tensor | Sequence[Tensor]",
    NUMBER_OR_WORD: "_Number | _str", WORD: "_str",
}  # fmt: skip
BY_NAME = {
    "dtype": "_DType", "device": "_str | _device | _int", "reduction": "_str", "low": "_int", "high": "_int",
    "size_average": "_bool", "requires_grad": "_bool", "inplace": "_bool", "correction": "_Number",
}  # fmt: skip
PAIR, PIECES = "ValuesIndices", "_tuple[Tensor, ...]"
RETURNS = {
    **dict.fromkeys("split chunk unbind meshgrid".split(), PIECES),
    **dict.fromkeys("sort topk".split(), PAIR),
    **dict.fromkeys("var_mean std_mean".split(), "_tuple[Tensor, Tensor]"),
    **dict.fromkeys("allclose equal is_tensor is_grad_enabled".split(), "_bool"),
    **dict.fromkeys("nonzero unique item load max_pool1d max_pool2d __dlpack__".split(), "Any"),
    **dict.fromkeys("save set_default_dtype manual_seed set_printoptions set_num_threads".split(), "None"),
    "inference_mode": "SetRecording", "tolist": "Any", "get_default_dtype": "np.dtype[Any]", "get_num_threads": "_int",
    "get_printoptions": "_dict[_str, Any]",
}  # fmt: skip
# what signatures cannot say: a number or a Tensor as argument, a pair as result if a dimension is given
OVERLOADS = (
    {
        name: [
            (f"def {name}({{self}}) -> Tensor: ..."),
            (f"def {name}({{self}}, other: Tensor) -> Tensor: ..."),
            (f"def {name}({{self}}, dim: _int, keepdim: _bool = ...) -> ValuesIndices: ..."),
        ]
        for name in ("max", "min")
    }
    | {
        name: [
            f"def {name}(function: None = ...) -> SetRecording: ...",
            f"def {name}(function: _F) -> _F: ...",
        ]
        for name in ("no_grad", "enable_grad")
    }
    | {
        "size": ["def size({self}) -> Size: ...", "def size({self}, dim: _int) -> _int: ..."],
        "stride": [
            "def stride({self}) -> _tuple[_int, ...]: ...",
            "def stride({self}, dim: _int) -> _int: ...",
        ],
    }
)
COMPARISONS = "eq ne lt le gt ge"
BINARY = f"add sub mul truediv floordiv mod pow matmul and or xor {COMPARISONS}"
REFLECTED = "add sub mul truediv floordiv mod pow matmul and or xor"
IN_PLACE = "iadd isub imul itruediv ipow"


def stubs() -> dict[Path, str]:
    """The text of every .pyi file of the package."""
    package = Path(PACKAGE.__file__).parent
    return {
        package / "engine" / "tensor.pyi": tensor_stub(),
        package / "__init__.pyi": package_stub(),
        package / "autograd.pyi": module_stub(autograd),
        package / "nn" / "functional.pyi": module_stub(functional),
        **{package / name / "__init__.pyi": reexports(package / name / "__init__.py") for name in REEXPORTS},
    }


REEXPORTS = ("nn", "nn/utils", "optim", "optim/lr_scheduler", "data", "metrics")


def reexports(source: Path) -> str:
    """The imports of a package's __init__.py as `import x as x`, which tells type checkers that it re-exports them."""
    lines = [HEAD.splitlines()[0], ""]
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            names = [(a.name, a.asname or a.name) for a in node.names]
            lines += [f"from {node.module} import {name} as {own}" for name, own in names if own[0] != "_"]
    return "\n".join([*lines, ""])


def tensor_stub() -> str:
    """tinygen/engine/tensor.pyi: the class with every method, and the functions beside it."""
    functions = [
        declared(name, value)
        for name, value in vars(sys.modules["tinygen.engine.tensor"]).items()
        if inspect.isfunction(value)
        and value.__module__ in ("tinygen", "tinygen.engine.tensor")
        and name[0] != "_"
    ]
    body = "\n".join(f"    {line}" for line in class_body())
    return "\n".join([HEAD, "class Tensor:", body, ALIASES, *functions, ""])


def class_body():
    yield "grad: Tensor | None"
    yield "data: Tensor"
    yield "requires_grad: _bool"
    yield "def __init__(self, *data: Any) -> None: ..."
    for name, value in sorted(vars(Tensor).items()):
        if name in ("grad", "data", "requires_grad") or (name[0] == "_" and name not in PYTHONS):
            continue
        if isinstance(value, property):
            returned = PROPERTIES.get(name) or annotation(inspect.signature(value.fget).return_annotation)
            yield "@property"
            yield f"def {name}(self) -> {returned}: ..."
        elif inspect.isfunction(value) or isinstance(value, Primitive):
            yield from declared(name, value, method=True).splitlines()
    for name in BINARY.split():
        ignored = "  # type: ignore[override]" if name in ("eq", "ne") else ""
        yield f"def __{name}__(self, other: _Operand | np.ndarray[Any, Any]) -> Tensor: ...{ignored}"
    for name in REFLECTED.split():
        yield f"def __r{name}__(self, other: _Number | np.ndarray[Any, Any]) -> Tensor: ..."
    for name in IN_PLACE.split():
        yield f"def __{name}__(self, other: _Operand) -> Tensor: ..."
    for name in ("neg", "pos", "abs", "invert"):
        yield f"def __{name}__(self) -> Tensor: ..."
    yield "def __hash__(self) -> _int: ..."
    yield "def __iter__(self) -> Iterator[Tensor]: ..."
    yield "def __getitem__(self, index: Any) -> Tensor: ..."
    yield "def __setitem__(self, index: Any, value: Any) -> None: ..."


PYTHONS = {
    "__len__",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
    "__contains__",
    "__array__",
    "__dlpack__",
}
PROPERTIES = {"grad_fn": "Any", "dtype": "np.dtype[Any]", "device": "_device"}


def package_stub() -> str:
    """tinygen/__init__.pyi: everything the package exports."""
    imports, lines = [], []
    for name, value in sorted(vars(PACKAGE).items()):
        if name[0] == "_" or name in ("annotations",):
            continue
        if isinstance(value, ModuleType):
            if value.__name__ in EXPORTED_MODULES:
                imports.append(f"from tinygen import {value.__name__.rpartition('.')[2]} as {name}")
        elif inspect.isclass(value):
            imports.append(imported(value, name))
        elif inspect.isfunction(inspect.unwrap(value)) if callable(value) else False:
            lines.append(declared(name, value))
        elif isinstance(value, float):
            lines.append(f"{name}: _float")
        else:
            lines.append(f"{name}: np.dtype[Any]")
    return "\n".join([HEAD, *imports, ALIASES, "__version__: _str", *lines, ""])


EXPORTED_MODULES = {f"tinygen.{name}" for name in "accelerator autograd cuda nn optim random".split()}


def imported(cls: type, name: str) -> str:
    """The import of a class from where it is defined; Tensor's `__module__` is the package."""
    module = "tinygen.engine.tensor" if cls is Tensor else cls.__module__
    return f"from {module} import {cls.__name__} as {name}"


def module_stub(module: ModuleType) -> str:
    """The functions and classes that a module offers."""
    names = sorted(name for name in vars(module) if name[0] != "_" and callable(getattr(module, name)))
    values = {name: getattr(module, name) for name in names}
    classes = [imported(value, name) for name, value in values.items() if inspect.isclass(value)]
    lines = [declared(name, value) for name, value in values.items() if not inspect.isclass(value)]
    return "\n".join([HEAD, "from tinygen.engine.tensor import Tensor", *classes, ALIASES, *lines, ""])


def declared(name: str, function, method: bool = False) -> str:
    """`def name(...) -> ...: ...` with types."""
    own = getattr(function, "name", function.__name__)  # an alias has the types of its original
    if own in OVERLOADS:
        first = "self" if method else "input: Tensor"
        return "\n".join(
            f"@overload\n{text.format(self=first).replace(f'def {own}(', f'def {name}(')}"
            for text in OVERLOADS[own]
        )
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if method:
        parameters = parameters[1:]
    shown, keyword_only = ["self"] if method else [], False
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            shown.append(f"*{p.name}: {typed(function, p)}")
            keyword_only = True
            continue
        if p.kind is p.VAR_KEYWORD:
            shown.append(f"**{p.name}: Any")
            continue
        if p.kind is p.KEYWORD_ONLY and not keyword_only and not method_takes_position(function):
            shown.append("*")
            keyword_only = True
        default = "" if p.default is p.empty else " = ..."
        shown.append(f"{p.name}: {typed(function, p)}{default}")
    return f"def {name}({', '.join(shown)}) -> {returned(own, signature)}: ..."


def method_takes_position(function) -> bool:
    """A Primitive also accepts its plain values by position."""
    return isinstance(function, Primitive) and function.variadic is None


def returned(own: str, signature) -> str:
    if own in RETURNS:
        return RETURNS[own]
    if signature.return_annotation is not signature.empty:
        return annotation(signature.return_annotation)
    return "Tensor"


def typed(function, p: inspect.Parameter) -> str:
    """The type of a parameter."""
    if p.annotation is not p.empty:
        text = annotation(p.annotation)
    elif p.name in BY_NAME:
        text = BY_NAME[p.name]
    else:
        kind = kind_of(function, p.name)
        text = "Any" if kind is None else TYPES[kind]
    if p.kind is p.VAR_POSITIONAL and p.name in ("size", "sizes", "order"):
        text = "_Ints"
    return f"{text} | None" if p.default is None and "None" not in text and text != "Any" else text


def annotation(value) -> str:
    """An annotation of the source, with builtins renamed, as methods and dtypes of the package hide them."""
    text = value if isinstance(value, str) else getattr(value, "__name__", str(value))
    text = re.sub(r"\b(bool|dict|float|int|list|str|tuple|type)\b", r"_\1", text)
    text = re.sub(r"\bnp\.dtype\b(?!\[)", "np.dtype[Any]", text)
    text = re.sub(r"\bnp\.ndarray\b(?!\[)", "np.ndarray[Any, Any]", text)
    return re.sub(r"(?<![_.])\bdevice\b", "_device", text)


def main() -> None:
    for path, text in stubs().items():
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
