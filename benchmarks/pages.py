"""The pages with tables: each table is between a pair of markers that name the file that writes it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README, SPEED, GALLERY = ROOT / "README.md", ROOT / "benchmarks" / "README.md", ROOT / "models" / "README.md"


def markers(key: str, writer: str) -> tuple[str, str]:
    return f"<!-- {key}: written by {writer} -->", f"<!-- /{key} -->"


def replaced(page: str, key: str, writer: str, text: str) -> str:
    """A page with `text` between the markers of `key`."""
    begin, end = markers(key, writer)
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"a page without {begin} … {end}, between which a table is written")
    return f"{before}{begin}\n{text}\n{end}{after}"
