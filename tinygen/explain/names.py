"""What can be explained, and under which names: `softmax`, `F.gelu`, `Tensor.view`, `nn.BatchNorm2d`, `@`."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from typing import NamedTuple

from tinygen import nn, ops
from tinygen.explain.source import plain, same
from tinygen.nn import functional as F
from tinygen.run.flags import FlagError

OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floor_divide", "%": "remainder", "**": "pow",
    "@": "matmul", "&": "bitwise_and", "|": "bitwise_or", "^": "bitwise_xor", "~": "bitwise_not", "==": "eq",
    "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "x[i]": "Tensor.__getitem__",
}  # fmt: skip
SPELLINGS = {
    "[]": "x[i]", "x[...]": "x[i]", "getitem": "x[i]", "T": "permute", "mT": "transpose", "cast": "to", "type": "to",
    "half": "to", "float": "to", "double": "to", "int": "to", "long": "to", "bool": "to", "__add__": "+",
    "__sub__": "-", "__mul__": "*", "__truediv__": "/", "__floordiv__": "//", "__mod__": "%", "__pow__": "**",
    "__matmul__": "@", "__and__": "&", "__or__": "|", "__xor__": "^", "__invert__": "~", "__neg__": "neg",
    "__abs__": "abs", "__eq__": "==", "__ne__": "!=", "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">=",
}  # fmt: skip
CONTAINERS = {
    "Module",
    "ModuleList",
    "ModuleDict",
    "Sequential",
    "Parameter",
    "ParameterList",
    "ParameterDict",
}
PREFIXES = ("tinygen.", "torch.", "nn.functional.", "functional.", "Tensor.", "F.", "nn.", "ops.")


class Entry(NamedTuple):
    """Something to explain: its canonical name, the function or layer class, and the kind it is listed under."""

    name: str
    target: object
    kind: str

    @property
    def is_layer(self) -> bool:
        return isinstance(self.target, type)


def entries() -> dict[str, Entry]:
    """All entries by canonical name: functions of the package, those only of Tensor or nn.functional, layers.

    Aliases (`multiply`) and in-place forms (`add_`) are other spellings of these, see `find`.
    """
    found: dict[str, Entry] = {}
    for name, function in ops.FUNCTIONS.items():
        if name not in ops.ALIASES:
            found[name] = Entry(name, function, plain(function).__module__.split(".")[-1])
    others = {name: f for name, f in ops.METHODS.items() if name not in found and name not in ops.ALIASES}
    others |= {"__getitem__": ops.getitem, "to": ops.cast}
    for name, function in others.items():
        if not hasattr(plain(function), "of"):
            found[f"Tensor.{name}"] = Entry(f"Tensor.{name}", function, "Tensor")
    known = {plain(entry.target) for entry in found.values()}
    for name, value in vars(F).items():
        ours = callable(value) and getattr(value, "__module__", "").startswith("tinygen.")
        if ours and not name.startswith("_") and plain(value) not in known:
            found[f"F.{name}"] = Entry(f"F.{name}", value, "nn.functional")
    for name, value in vars(nn).items():
        if isinstance(value, type) and issubclass(value, nn.Module) and name not in CONTAINERS:
            found[f"nn.{name}"] = Entry(f"nn.{name}", value, "nn")
    return found


def every_name() -> dict[str, list[str]]:
    """The canonical names by kind, then the operators, in the order of their definition."""
    kinds: dict[str, list[str]] = {}
    for entry in entries().values():
        kinds.setdefault(entry.kind, []).append(entry.name)
    return kinds | {"operators": list(OPERATORS)}


def find(name: str) -> Entry:
    """The entry that a name means, in any spelling.

    Raises FlagError, one line with the closest names, if there is none.
    """
    known, spellings, bare = entries(), OPERATORS | SPELLINGS | ops.ALIASES, name.strip()
    while bare not in known:
        prefix = next((p for p in PREFIXES if bare.startswith(p)), None)
        inside = next((f"{p}{bare}" for p in ("F.", "Tensor.", "nn.") if f"{p}{bare}" in known), None)
        if bare in spellings:
            bare = spellings[bare]
        elif inside is not None:
            bare = inside
        elif prefix is not None:
            bare = bare.removeprefix(prefix)
        elif bare.endswith("_"):  # add_ is add, in place
            bare = bare[:-1]
        else:
            raise FlagError(closest(name, known))
    return known[bare]


def closest(name: str, known) -> str:
    """One line about an unknown name, with the closest known ones."""
    short, wanted = {}, _plainly(name)
    for entry in known:
        short.setdefault(_plainly(entry), entry)
    close = [s for s in short if s == wanted] + [
        s for s in short if len(wanted) > 2 and wanted in s and s != wanted
    ]
    close = (close or difflib.get_close_matches(wanted, short, 3, 0.5))[:3]
    hint = f"did you mean {' or '.join(short[c] for c in close)}? " if close else ""
    return f"explain: unknown operation {name!r}; {hint}`tinygen explain` lists them all"


def _plainly(name: str) -> str:
    """A name as others may write it: batchnorm for batch_norm."""
    return name.split(".")[-1].lower().replace("_", "")


def entry_of(function, known: dict):
    """The first entry of a function, or None."""
    return next((entry for entry in known.values() if same(entry.target, function)), None)


def is_public(function) -> bool:
    """Whether it is a function of the package or a method of Tensor."""
    return any(same(function, offered) for offered in (*ops.FUNCTIONS.values(), *ops.METHODS.values()))


def function_of(layer: type, known: dict):
    """The entry of the operation that a layer applies, or None if it is composed of several.

    The layer was made from that function, or its forward calls F.name, or is just `return x.name(…)`.
    """
    if getattr(layer, "function", None) is not None:
        return entry_of(layer.function, known)
    forward = ast.parse(textwrap.dedent(inspect.getsource(layer.forward))).body[0]
    calls = [n for n in ast.walk(forward) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    called = next((n.attr for n in calls if n.value.id == "F"), None)
    if called is not None:
        return entry_of(getattr(F, called), known)
    method = next((n.attr for n in calls if n.value.id != "self" and n.attr in ops.METHODS), None)
    return find(method) if method and len(forward.body) == 1 else None
