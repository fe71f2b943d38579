"""Write the table of kernels and their variants into kernels/README.md, between its two markers.

python -m tinygen.kernels.runtime.ladders
"""

from __future__ import annotations

import sys
from pathlib import Path

from tinygen.kernels.runtime.dispatch import kernel_of_name, registry

PAGE = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- ladders: written by python -m tinygen.kernels.runtime.ladders -->\n"
END = "<!-- /ladders -->"


def table() -> str:
    """The kernels as a Markdown table: folder, kernel, and its variants beside the reference, slow to fast."""
    rows = []
    for name, ladders in registry().items():
        to_read = ladders.get("simulator", [])
        to_run = [variant for variant in ladders["cuda"][1:] if variant not in to_read]
        cells = (", ".join(f"`{v}`" for v in variants) for variants in (ladders["cpu"][1:], to_read, to_run))
        rows.append((folder(name), name, *cells))
    head = ["| folder | kernel | CPU | GPU, to read (numba.cuda) | GPU, to run |", "|---|---|---|---|---|"]
    lines = ["|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|" for row in sorted(rows)]
    return "\n".join([*head, *lines]) + "\n"


def folder(kernel: str) -> str:
    """The folder in which a kernel's reference stands"""
    _, reference, _ = kernel_of_name(kernel).ladder["cpu"][0]
    return reference.__module__.split(".")[2]


def written(page: str) -> str:
    """The text of the page with the table as it is now.  ValueError without the markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name}: expected the markers {BEGIN.strip()} and {END}")
    return before + begin + table() + end + after


def main() -> int:
    try:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"ladders: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
