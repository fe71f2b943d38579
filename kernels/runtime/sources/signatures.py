"""What a kernel takes: its declaration in a .cu file, and the check of arguments against it.

    signatures(text) -> [Signature("matmul_naive", (Parameter a: const float32 *, …), launch_bound "0"), …]

One parameter accepts: for a pointer an array of its type, or None; for a number any Python or NumPy number that it can
hold.  An integer is never made from a float, and never cut off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

NUMBERS = {  # C++ name: kind and bytes, as in NumPy
    "float": "f4",
    "double": "f8",
    "half": "f2",
    "__half": "f2",
    "bool": "b1",
    "char": "i1",
    "short": "i2",
    "int": "i4",
    "long": "i8",
    "long long": "i8",
    **{f"int{8 * n}_t": f"i{n}" for n in (1, 2, 4, 8)},
    **{f"uint{8 * n}_t": f"u{n}" for n in (1, 2, 4, 8)},
    "longlong": "i8",
    "size_t": "u8",
    "__nv_bfloat16": "B2",
}
VECTOR = re.compile(r"(u?)(char|short|int|longlong|long|float|double)([1-4])")
QUALIFIERS = {"const", "volatile", "__restrict__", "__restrict", "__grid_constant__", "struct"}


class Parameter:
    """One parameter of a kernel: its C type, and how an argument is passed for it.

    kind: of NumPy's dtypes "f", "i", "u", "b"; "B" bfloat16; "V" a struct or void.  `size` bytes in `lanes` numbers.
    """

    def __init__(self, name: str, kind: str, lanes: int, size: int, pointer: bool, is_const: bool) -> None:
        self.name, self.kind, self.lanes, self.size = name, kind, lanes, size
        self.pointer, self.is_const = pointer, is_const
        item = size // lanes if lanes != 3 or size % 3 == 0 else size // 4
        self.dtype = None if kind in "VB" else np.dtype(bool if kind == "b" else f"{kind}{item}")
        self.limits = np.iinfo(self.dtype) if kind in "iu" else None
        base = {"V": "struct or void", "B": "__nv_bfloat16"}.get(kind) or str(self.dtype)
        self.text = f"{'const ' if is_const else ''}{base}{'' if lanes == 1 else f' x {lanes}'}"
        self.text += " *" if pointer else ""

    def __repr__(self) -> str:
        return f"<{self.text} {self.name}>"

    @classmethod
    def declared(cls, declaration: str) -> Parameter:
        """`const float *x` as a Parameter; a type that is not in NUMBERS is taken for a struct."""
        declaration, brackets = re.fullmatch(
            r"(.*?)((?:\[[^\]]*\]\s*)*)", declaration.strip(), re.DOTALL
        ).groups()
        before, name = re.fullmatch(r"(.*?)(\w+)\s*", declaration, re.DOTALL).groups()
        target, star, behind = before.rpartition("*")
        stars = before.count("*") + brackets.count("[")
        words = re.findall(r"[\w:<>,]+", target if star else behind)
        kind, lanes, size = _number([w for w in words if w not in QUALIFIERS])
        if stars > 1:
            kind, lanes, size = "V", 1, 8
        return cls(name, kind, lanes, size, stars > 0, stars == 1 and "const" in words)

    def accepts(self, dtype: np.dtype) -> bool:
        """Whether a pointer parameter takes arrays of `dtype`."""
        if self.kind == "V":
            return True
        if self.kind == "B":  # numpy has no bfloat16: its bits, or the type that ml_dtypes adds
            return dtype == np.uint16 or dtype.name == "bfloat16"
        return dtype == self.dtype

    def takes(self, kind: type) -> bool:
        """Whether a number of this Python or NumPy type can be passed: any real number as float, integers as int."""
        if self.lanes > 1 or self.kind in "VB":
            return False
        if issubclass(kind, (bool, np.bool_)):
            return self.kind in "biu"
        if issubclass(kind, (int, np.integer)):
            return self.kind in "iuf"
        return self.kind == "f" and issubclass(kind, (float, np.floating))

    def number(self, value) -> np.ndarray:
        """A Python or NumPy number as an array of the parameter's type.  TypeError, OverflowError"""
        if not self.takes(type(value)):
            raise TypeError(f"is {described(value)}: expected {self.text}")
        if self.limits and not self.limits.min <= value <= self.limits.max:
            raise OverflowError(f"is {value}, which does not fit {self.text}")
        with np.errstate(over="ignore"):
            converted = np.array(value, self.dtype)
        if self.kind == "f" and np.isinf(converted) and not np.isinf(value):
            raise OverflowError(f"is {value}, which does not fit {self.text}")
        return converted


def described(value) -> str:
    """What was found instead, for a message."""
    kind = type(value).__name__
    if isinstance(value, np.generic):
        return kind
    if hasattr(value, "dtype"):
        return f"an array of {value.dtype}"
    return f"a Python {kind}" if kind in ("bool", "int", "float") else kind


def _number(words: list[str]) -> tuple[str, int, int]:
    """kind, lanes and bytes of a type given as words: [unsigned, long, long] -> u, 1, 8"""
    unsigned = "unsigned" in words
    words = [w for w in words if w not in ("unsigned", "signed")]
    if len(words) > 1 and "int" in words:
        words.remove("int")
    name = " ".join(words) or "int"
    vector = VECTOR.fullmatch(name)
    if vector:
        unsigned, name = bool(vector[1]), vector[2]
    if name not in NUMBERS:
        return "V", 1, 1 if name == "void" else 0
    kind, size = NUMBERS[name][0], int(NUMBERS[name][1])
    lanes = int(vector[3]) if vector else 1
    return "u" if unsigned else kind, lanes, size * lanes


@dataclass(frozen=True)
class Signature:
    """A kernel as the source declares it."""

    name: str
    declarations: tuple[str, ...]  # `const float *x`
    launch_bound: str  # an expression, "0" for none

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters' names."""
        return tuple(re.search(r"(\w+)\s*(\[[^\]]*\]\s*)*$", p)[1] for p in self.declarations)


def signatures(text: str) -> list[Signature]:
    """Every kernel of a preprocessed text, without templates: only their instances can be launched."""
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    found = {}
    for match in re.finditer(r"\b__global__\b", text):
        before = text[max(text.rfind(c, 0, match.start()) for c in ";}{") + 1 : match.start()]
        if "template" in before:
            continue
        bound, at = "0", match.end()
        while True:
            opening = text.index("(", at)
            name = re.search(r"(\w+)\s*$", text[at:opening])[1]
            end = closing(text, opening)
            if name != "__launch_bounds__":
                break
            bound, at = split(text[opening + 1 : end])[0], end + 1
        bounds_before = re.search(r"__launch_bounds__\s*\((.*)\)", before, re.DOTALL)
        if bounds_before:
            bound = split(bounds_before[1])[0]
        inside = tuple(" ".join(p.split()) for p in split(text[opening + 1 : end]) if p != "void")
        found[name] = Signature(name, inside, bound)
    return list(found.values())


def closing(text: str, opening: int) -> int:
    """The index of the bracket that closes the one at `opening`."""
    depth = 0
    for index in range(opening, len(text)):
        depth += (text[index] in "([{") - (text[index] in ")]}")
        if depth == 0:
            return index
    raise ValueError("a bracket is never closed")


def split(text: str) -> list[str]:
    """Split at the commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "([{<") - (character in ")]}>")
        if character == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]
