"""The files that a C++ source includes with quotes: what a cached compilation depends on besides the source."""

from __future__ import annotations

import re
from pathlib import Path

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)


def included(source: Path) -> dict[str, str]:
    """Every header that a source includes, directly or through another: the name it goes by -> text, sorted.

    A header is looked for beside the file that names it.  One that is not there is the compiler's to find or miss.
    """
    found: dict[str, str] = {}
    waiting = [source]
    while waiting:
        file = waiting.pop()
        for name in _INCLUDE.findall(file.read_text(encoding="utf-8")):
            header = file.parent / name
            if name not in found and header.exists():
                found[name] = header.read_text(encoding="utf-8")
                waiting.append(header)
    return dict(sorted(found.items()))
