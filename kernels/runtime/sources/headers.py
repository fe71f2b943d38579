"""The headers that a C++ source includes with quotes: a cached compilation depends on them too."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "include"
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)


def included(source: Path) -> dict[str, str]:
    """Every header that a source includes, directly or through another: name -> text, sorted.

    A header is searched beside the file that includes it, then in `include/`.  One that is in neither is left to the
    compiler.
    """
    found: dict[str, str] = {}
    waiting = [source]
    while waiting:
        file = waiting.pop()
        for name in _INCLUDE.findall(file.read_text(encoding="utf-8")):
            header = next((h for h in (file.parent / name, FOLDER / name) if h.exists()), None)
            if name not in found and header is not None:
                found[name] = header.read_text(encoding="utf-8")
                waiting.append(header)
    return dict(sorted(found.items()))
