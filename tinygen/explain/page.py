"""A page of plain text in 100 columns: headings, prose, source, small tables, values of Tensors."""

from __future__ import annotations

import textwrap

import numpy as np

WIDTH = 100


class Page:
    """Lines of text; a heading is bold on a terminal."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bool]] = []

    def text(self, bold: bool = False) -> str:
        return (
            "\n".join(f"\033[1m{line}\033[0m" if bold and strong else line for line, strong in self.lines)
            + "\n"
        )

    def is_empty(self) -> bool:
        """Whether there is nothing below the last heading."""
        return not self.lines or self.lines[-1][1]

    def _add(self, line: str = "", strong: bool = False) -> None:
        self.lines.append((line.rstrip(), strong))

    def blank(self) -> None:
        if self.lines and self.lines[-1][0]:
            self._add()

    def heading(self, text: str, where: str = "") -> None:
        """A heading, with a source location at the right margin."""
        self.blank()
        *lines, last = textwrap.wrap(text, WIDTH, subsequent_indent="    ") or [""]
        for line in lines:
            self._add(line, True)
        if len(last) + len(where) + 2 > WIDTH:
            self._add(last, True)
            self._add(where.rjust(WIDTH))
        else:
            self._add(last + where.rjust(WIDTH - len(last)), True)

    def section(self, title: str) -> None:
        self.blank()
        self._add(title, True)

    def prose(self, text: str, indent: int = 2) -> None:
        pad = " " * indent
        for line in textwrap.wrap(
            text, WIDTH, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False
        ):
            self._add(line)

    def doc(self, text: str | None) -> None:
        """A docstring; paragraphs with lines that are too long are wrapped again."""
        for paragraph in (text or "").split("\n\n"):
            lines = paragraph.split("\n")
            if max(map(len, lines)) > WIDTH and not any(line.startswith(" ") for line in lines):
                lines = textwrap.wrap(" ".join(lines), WIDTH, break_on_hyphens=False)
            for line in lines:
                for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False):
                    self._add(part)
            self._add()

    def listing(self, listing, indent: int = 4) -> None:
        """Source text below its location, in a paragraph of its own."""
        self.blank()
        self._add(" " * (indent - 2) + listing.where)
        self.code(listing.text, indent)

    def code(self, text: str, indent: int = 4) -> None:
        inside = False  # a docstring
        for line in text.split("\n"):
            quotes = line.count('"""')
            for part in _fold(line, WIDTH - indent, inside or quotes > 0):
                self._add(" " * indent + part)
            inside ^= quotes % 2 == 1

    def entry(self, name: str, what: str = "", where: str = "", indent: int = 4) -> None:
        """name, what and, at the right margin, where: on one line if they fit, else `what` below."""
        line = " " * indent + (f"{name}  {what}" if what else name)
        if len(line) + 2 + len(where) <= WIDTH:
            self._add(line + where.rjust(WIDTH - len(line)))
            return
        if indent + len(name) + 2 + len(where) <= WIDTH:
            self._add(" " * indent + name + where.rjust(WIDTH - indent - len(name)))
        else:
            self.prose(name, indent)
            self._add(where.rjust(WIDTH))
        self.prose(what, indent + 4)

    def table(self, rows, indent: int = 4) -> None:
        """(name, what) in two columns."""
        rows = list(rows)
        width = max(len(name) for name, _ in rows) + 2
        for name, what in rows:
            first, *rest = textwrap.wrap(what, WIDTH - indent - width, break_on_hyphens=False) or [""]
            self._add(" " * indent + name.ljust(width) + first)
            for line in rest:
                self._add(" " * (indent + width) + line)

    def value(self, name: str, tensor, indent: int = 4) -> None:
        """A Tensor's shape and numbers: `x (2, 3) = [[…]]`."""
        start = f"{name} {tensor.shape} = " if tensor.shape else f"{name} = "
        first, *rest = numbers(tensor, WIDTH - indent - len(start)).split("\n")
        self._add(" " * indent + start + first)
        for line in rest:
            self._add(" " * (indent + len(start)) + line)


def numbers(tensor, width: int) -> str:
    """The values of a Tensor with at most three decimals, abridged if there are many."""
    return np.array2string(
        tensor._data, precision=3, suppress_small=True, threshold=40, edgeitems=3, max_line_width=width
    )


def _fold(line: str, width: int, words: bool) -> list[str]:
    """Break a line of code into pieces that fit.  Docstrings continue at the same indent, code eight columns further; a
    comment that does not fit moves above its line."""
    pieces, indent = [], len(line) - len(line.lstrip())
    code, mark, comment = line.partition("  # ")
    if not words and mark and len(line) > width:
        return [*_fold(" " * indent + "# " + comment, width, True), *_fold(code, width, False)]
    is_comment = line.lstrip().startswith("#")
    deeper = " " * indent + ("# " if is_comment else "" if words else " " * 8)
    while len(line) > width:
        at = _break(line, len(deeper), width, words or is_comment)
        if at < 0:
            break
        pieces.append(line[:at])
        line = deeper + line[at + 1 :]
    return [*pieces, line]


def _break(line: str, start: int, width: int, words: bool) -> int:
    """The space to break at: the last that fits; in code the one with the fewest open brackets, outside strings and in
    the right half."""
    blanks = [i for i in range(start + 1, width + 1) if line[i] == " "]
    if words:
        return max(blanks, default=-1)
    outside = [i for i in blanks if line[:i].count('"') % 2 == 0 and line[:i].count("'") % 2 == 0]
    far = [i for i in outside if i > (start + width) // 2] or outside or blanks
    return min(far, key=lambda i: (_depth(line[:i]), -i), default=-1)


def _depth(text: str) -> int:
    return sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))
