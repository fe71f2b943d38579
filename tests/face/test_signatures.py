"""Parameters have PyTorch's names, positions and defaults, as read from torch's signatures and docstrings."""

import inspect
import re

import pytest

import tinygen
from tinygen import nn, ops, optim
from tinygen.engine.primitive import Primitive
from tinygen.engine.tensor import Tensor
from tinygen.face.keywords import ELSEWHERE, SYNONYMS
from tinygen.nn import functional, init, utils
from tinygen.optim import lr_scheduler

torch = pytest.importorskip("torch")
REQUIRED = inspect.Parameter.empty

# names in docstrings that PyTorch's own parser does not take (`torch.mul(x, value=2)` is a TypeError)
ONLY_DOCUMENTED = """Tensor.bmm:batch2 Tensor.broadcast_to:shape broadcast_to:shape Tensor.cumprod:dtype
    Tensor.cumsum:dtype
    Tensor.div:value Tensor.divide:value Tensor.dot:other dot:tensor Tensor.floor_divide:value Tensor.fmod:divisor
    Tensor.index_copy:tensor2 Tensor.matmul:tensor2 Tensor.mul:value Tensor.multiply:value Tensor.narrow:dimension
    Tensor.prod:dtype Tensor.remainder:divisor Tensor.sum:dtype Tensor.to:other Tensor.true_divide:value
    Tensor.type_as:tensor true_divide:dividend true_divide:divisor F.one_hot:tensor F.gelu:approximate
    from_numpy:ndarray set_num_threads:int""".split()
# function and parameter: why it differs
DIFFERENT = {
    **dict.fromkeys(
        ("std:correction", "var:correction", "std_mean:correction", "var_mean:correction", "Tensor.std:correction",
         "Tensor.var:correction"), "None is 1, unless the older `unbiased` says otherwise"),
    **dict.fromkeys(("topk:dim", "Tensor.topk:dim"), "-1 is the last, which PyTorch's None is"),
    **dict.fromkeys(("autograd.grad:allow_unused",), "False is what None means without materialize_grads"),
    **dict.fromkeys(("max:other", "min:other"), "the second argument is dim or other, as it is a number or a Tensor"),
    **dict.fromkeys(("autograd.enable_grad:orig_func", "enable_grad:orig_func"), "a private argument of the decorator"),
    **dict.fromkeys(("save:_use_new_zipfile_serialization", "save:_disable_byteorder_record", "nn.Embedding:_weight",
                     "nn.Embedding:_freeze"), "private"),
    **dict.fromkeys(("nn.Embedding:device", "nn.Embedding:dtype"), "behind the private ones in PyTorch"),
    **dict.fromkeys(("save:pickle_module", "load:pickle_module"), "pickles are neither written nor read"),
    "Tensor.scatter_:value": "src takes numbers as well",
    "Tensor.split:split_size": "split_size_or_sections, as the function; PyTorch's method has the shorter name",
    "meshgrid:indexing": "'ij' is what None means",
    "nn.ModuleList:modules": "() is what None means",
    "nn.Parameter:data": "a parameter of nothing has no use",
    "norm:dtype": "behind out in PyTorch",
    "pow:self": "the overload of a number to the power of a Tensor; positional",
    "repeat_interleave:repeats": "the overload of repeats alone; positional",
}  # fmt: skip


def _value(text: str):
    """A default as it stands in a docstring."""
    text = text.strip().removesuffix(".")
    try:
        return eval(text, {"torch": torch, "inf": float("inf")})
    except (NameError, SyntaxError, AttributeError):
        return text


def _split(text: str) -> list[str]:
    """Split at commas outside brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([") - (c in ")]")
        if c == "," and not depth:
            parts.append("")
        else:
            parts[-1] += c
    return [p.strip() for p in parts if p.strip()]


def parse(text: str) -> list[tuple]:
    """(name, whether by keyword only, default) of `f(a, b=1, *, c=None) -> Tensor`."""
    depth, start = 0, text.index("(")
    end = start
    while depth or end == start:
        depth += (text[end] == "(") - (text[end] == ")")
        end += 1
    parameters, keyword_only = [], False
    for part in _split(text[start + 1 : end - 1].replace("\\", "")):
        if part == "*":
            keyword_only = True
        elif part.startswith("*"):
            parameters.append((part, False, REQUIRED))
        elif part != "/":
            name, _, default = part.partition("=")
            name = name.split(":")[0].strip()
            parameters.append((name, keyword_only, _value(default) if default else REQUIRED))
    return parameters


def _documented(function) -> list[list]:
    doc = (getattr(function, "__doc__", None) or "").strip()
    name = getattr(function, "__name__", "?").strip("_").replace("log_sigmoid", "logsigmoid")
    lines = [line.strip() for line in doc.split("\n")]
    found = [line for line in lines[:1] if re.match(rf"{name}\(", line)]
    found += [line.split("::", 1)[1].strip() for line in lines if re.match(r"\.\. (function|method)::", line)]
    return [parse(line) for line in found if "(" in line and ")" in line and "..." not in line]


def _inspected(function) -> list[list]:
    kinds = inspect.Parameter
    prefix = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}
    return [
        [
            (prefix.get(p.kind, "") + p.name, p.kind == p.KEYWORD_ONLY, p.default)
            for p in inspect.signature(function).parameters.values()
            if p.name != "self"
        ]
    ]


def signatures(function) -> list[list]:
    """PyTorch's signatures of a function: of Python code by inspection, else from the docstring."""
    function = getattr(function, "_dispatched", function)  # max_pool2d with and without indices
    if inspect.isclass(function) or inspect.isfunction(function):
        try:
            found = _inspected(function)
        except ValueError:  # a class written in C
            found = _documented(function)
        if found != [[("*args", False, REQUIRED), ("**kwargs", False, REQUIRED)]]:
            return found
    return _documented(function)


def pairs():
    """(id, ours, theirs, whether the first parameter of ours is the Tensor whose method it is)."""
    for name in ops.FUNCTIONS:
        if hasattr(torch, name):
            yield f"{name}", getattr(tinygen, name), getattr(torch, name), False
    for name in dir(Tensor):
        function = getattr(Tensor, name)
        if not name.startswith("_") and callable(function) and hasattr(torch.Tensor, name):
            yield f"Tensor.{name}", function, getattr(torch.Tensor, name), True
    modules = [
        ("F", functional, torch.nn.functional), ("nn", nn, torch.nn), ("init", init, torch.nn.init),
        ("utils", utils, torch.nn.utils), ("optim", optim, torch.optim),
        ("lr_scheduler", lr_scheduler, torch.optim.lr_scheduler), ("autograd", tinygen.autograd, torch.autograd),
        ("", tinygen, torch),
    ]  # fmt: skip
    for prefix, ours, theirs in modules:
        for name, value in vars(ours).items():
            if name.startswith("_") or not callable(value) or (not prefix and name in ops.FUNCTIONS):
                continue
            if (
                value is not tinygen.device
                and getattr(value, "__module__", "").startswith("tinygen.")
                and callable(getattr(theirs, name, None))
            ):
                yield f"{prefix}.{name}".lstrip("."), value, getattr(theirs, name), False


PAIRS = {name: rest for name, *rest in pairs()}


def _own(function, method: bool):
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    return parameters[1:] if method and "self" not in inspect.signature(function).parameters else parameters


def _same(ours, theirs) -> bool:
    if isinstance(theirs, (torch.dtype, torch.layout, torch.memory_format)):
        return ours is None or str(theirs).endswith(str(ours))
    if isinstance(ours, (tuple, list)) and isinstance(theirs, (tuple, list)):
        return tuple(ours) == tuple(theirs)
    return ours == theirs


def mismatches(what: str, ours, theirs, method: bool):
    own = _own(ours, method)
    by_name = {p.name: p for p in own}
    rest = any(p.kind == p.VAR_POSITIONAL for p in own)
    told = isinstance(ours, Primitive) or hasattr(
        ours, "__wrapped__"
    )  # wrappers and Primitives handle ELSEWHERE
    for signature in signatures(theirs):
        position = 0
        for name, keyword_only, default in signature:
            position += not keyword_only
            if f"{what}:{name}" in (*ONLY_DOCUMENTED, *DIFFERENT) or name.startswith("*"):
                continue
            p = by_name.get(name)
            if p is None or p.kind == p.VAR_POSITIONAL:
                handled = name in ELSEWHERE and told
                handled |= SYNONYMS.get(name) in by_name and told
                if not handled and not (rest and not keyword_only and p is not None):
                    yield f"{name}: PyTorch has it, ours is {what}{inspect.signature(ours)}"
                continue
            if not keyword_only and p.kind != p.KEYWORD_ONLY and own.index(p) != position - 1 and not rest:
                yield f"{name}: is number {own.index(p) + 1}, PyTorch's is number {position}"
            if not keyword_only and p.kind == p.KEYWORD_ONLY and not rest:
                yield f"{name}: is keyword-only, PyTorch's is number {position}"
            if default is not REQUIRED and p.default is REQUIRED and len(signatures(theirs)) == 1:
                yield f"{name}: is required, PyTorch's default is {default!r}"
            if default is not REQUIRED and p.default is not REQUIRED and not _same(p.default, default):
                yield f"{name}: the default is {p.default!r}, PyTorch's is {default!r}"


@pytest.mark.parametrize("what", sorted(PAIRS))
def test_parameters_are_pytorchs(what):
    ours, theirs, method = PAIRS[what]
    found = list(mismatches(what, ours, theirs, method))
    assert not found, "\n".join(found)
