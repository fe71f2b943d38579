"""The macros of a .cu file, as far as the declarations of kernels need them: a preprocessor without conditions.

hostcuda asks g++ for the preprocessed text.  A GPU machine may have no g++, and NVRTC does not hand the text out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
_DEFINE = re.compile(r"\s*#\s*define\s+(\w+)(?:\(([^)]*)\))?(.*)")
_NAME = re.compile(r"\b[A-Za-z_]\w*")
_PASTE = re.compile(r"(\w+)\s*##\s*(\w+)")


class Macro(NamedTuple):
    parameters: list[str] | None  # None: it takes no brackets
    body: str


def expanded(source: str, headers=()) -> str:
    """The text of a source with the macros replaced that it or one of its headers (texts) defines.

    Comments and directives are gone; both branches of a condition stay.
    """
    macros: dict[str, Macro] = {}
    for header in headers:
        _without_directives(header, macros)
    return _replaced(_without_directives(source, macros), macros, frozenset())


def _without_directives(text: str, macros: dict[str, Macro]) -> str:
    """The lines that are not directives.  Those that define a macro go into `macros`."""
    text = _COMMENT_OR_STRING.sub(lambda m: m[0] if m[0][0] == '"' else " ", text.replace("\\\n", " "))
    kept = []
    for line in text.split("\n"):
        if define := _DEFINE.match(line):
            name, parameters, body = define.groups()
            names = None if parameters is None else [p.strip() for p in parameters.split(",") if p.strip()]
            macros[name] = Macro(names, body.strip())
        elif not line.lstrip().startswith("#"):
            kept.append(line)
    return "\n".join(kept)


def _replaced(text: str, macros: dict[str, Macro], inside: frozenset) -> str:
    """`text` with its macros replaced; those in `inside` are being replaced and stay, as in C."""
    parts, at = [], 0
    while name := _NAME.search(text, at):
        macro, end = macros.get(name[0]), name.end()
        parts.append(text[at : name.start()])
        at = end
        opening = len(text) - len(text[end:].lstrip())
        if (
            macro is None
            or name[0] in inside
            or (macro.parameters is not None and text[opening : opening + 1] != "(")
        ):
            parts.append(name[0])
            continue
        body = macro.body
        if macro.parameters is not None:
            arguments, at = _arguments(text, opening)
            given = dict(zip(macro.parameters, arguments))
            body = _PASTE.sub(lambda m: "".join(given.get(word, word) for word in m.groups()), body)
            whole = {p: _replaced(a, macros, inside) for p, a in given.items()}
            body = _NAME.sub(lambda m: whole.get(m[0], m[0]), body)
        parts.append(_replaced(body, macros, inside | {name[0]}))
    return "".join([*parts, text[at:]])


def _arguments(text: str, opening: int) -> tuple[list[str], int]:
    """The arguments in the brackets that open at `opening`, and the index after the closing one."""
    depth, start, found = 0, opening + 1, []
    for index in range(opening, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0 or (depth == 1 and text[index] == ","):
            found.append(text[start:index].strip())
            start = index + 1
        if depth == 0:
            return found, index + 1
    raise ValueError(f"a macro's brackets are never closed: {text[opening : opening + 40]}")
