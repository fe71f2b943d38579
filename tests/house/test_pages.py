"""The pages: links lead somewhere, the README is short, its programs run and its commands are there."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import tinygen
from tinygen import cli

ROOT = Path(tinygen.__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(p for top in ("tinygen", "kernels", "models", "benchmarks") for p in (ROOT / top).rglob("*.md")),
    ]
    if not path.is_symlink()
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|^\[\w+\]: (\S+)$", re.MULTILINE)
MODULE = re.compile(r"python -m (tinygen(?:\.\w+)*)")
FILE = re.compile(r"`((?:tinygen|kernels|models|benchmarks|tests)/[\w./]+\.\w+)`")

if not (ROOT / "README.md").exists():
    pytest.skip("the pages are in a checkout, not in the wheel", allow_module_level=True)


def page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_room_has_its_page():
    pages = {str(path.relative_to(ROOT)) for path in PAGES}
    assert pages >= {
        "README.md",
        "CONTRIBUTING.md",
        *(f"{room}/README.md" for room in ("kernels", "models", "benchmarks")),
    }
    assert len(tinygen.engine.__doc__) > 1000


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    text = page(path)
    for inline, reference in LINK.findall(text):
        target, _, anchor = (inline or reference).partition("#")
        if target.startswith(("http://", "https://")):
            continue
        file = path.parent / target if target else path
        assert file.exists(), f"{path}: {target}"
        if anchor:
            assert anchor in anchors(page(file)), f"{path}: {target}#{anchor}"
    for name in FILE.findall(text):
        if "NAME" in name:  # stands for any
            continue
        assert (ROOT / name).exists(), f"{path}: {name}"
    for name in MODULE.findall(text):
        parts = name.split(".")[1:]
        top = ROOT if parts and parts[0] in ("kernels", "models", "benchmarks") else ROOT / "tinygen"
        file = top.joinpath(*parts)
        assert file.with_suffix(".py").exists() or (file / "__main__.py").exists(), (
            f"{path}: python -m {name}"
        )


def test_the_readme_is_read_in_three_minutes():
    lines = page(ROOT / "README.md").splitlines()
    assert len(lines) < 150
    assert max(map(len, lines)) <= 160


def test_the_first_program_prints_what_the_readme_says():
    text = page(ROOT / "README.md")
    program = text.partition("## A first program")[2].partition("```python\n")[2].partition("```")[0]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(program, {})
    promised = re.search(r"It prints `(\D+)([\d.e+-]+)`", text)
    words, number = said.getvalue().strip().rsplit(" ", 1)
    assert words == promised[1].strip()
    assert float(number) == pytest.approx(float(promised[2]), rel=0.5)  # rounding differs between machines


def test_the_readme_names_every_command():
    text = page(ROOT / "README.md")
    assert all(f"tinygen {command}" in text for command in cli.COMMANDS)


def test_the_gallery_names_every_model():
    text = page(ROOT / "models" / "README.md")
    assert all(f"({name.replace('-', '_')}.py)" in text for name in cli.models())
