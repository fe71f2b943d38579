"""What a reader passes through who follows `y = torch.tanh(x); y.sum().backward()`: files, functions, jumps.

    python tests/house/trace_example.py      of the version that is installed

`trace()` follows the second call, on a Tensor that has no gradient yet: what happens once (arguments of a new type are
checked) is not part of it.  Only Python functions of tinygen count; of two calls or returns that follow each other and
stand in different files the second is a jump; lines are all lines of the files.

Before the move (6ba2ddb): 15 files (4,070 lines), 75 functions, 107 jumps.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tinygen


def leaf():
    """The x of the example"""
    return tinygen.tensor(np.full((2, 3), 0.5, np.float32), requires_grad=True)


def example(x) -> None:
    y = tinygen.tanh(x)
    y.sum().backward()


INNER = {"<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>"}


@dataclass(frozen=True)
class Journey:
    files: dict[
        str, list[str]
    ]  # "tinygen/ops/elementwise/activation.py" -> its functions that were called, in order
    steps: list[tuple[str, str]]  # (file, function) of every call, in order
    jumps: int

    @property
    def functions(self) -> list[tuple[str, str]]:
        return [(file, name) for file, names in self.files.items() for name in names]

    @property
    def lines(self) -> int:
        return sum(len(_path(file).read_text(encoding="utf-8").splitlines()) for file in self.files)

    def __str__(self) -> str:
        head = f"{len(self.files)} files ({self.lines:,} lines), {len(self.functions)} functions, {self.jumps} jumps"
        return "\n".join([head, *(f"  {file}: {', '.join(names)}" for file, names in self.files.items())])


def roots() -> dict[str, Path]:
    """The folders whose code is tinygen's: "tinygen" and, linked into it, "tinygen/kernels" and the others"""
    package = Path(tinygen.__file__).resolve().parent
    parts = ("kernels", "models", "benchmarks")
    return {"tinygen": package} | {f"tinygen/{part}": (package / part).resolve() for part in parts}


def _path(name: str) -> Path:
    return next(
        folder / name[len(root) + 1 :] for root, folder in _longest_first() if name.startswith(root + "/")
    )


def _longest_first():
    return sorted(roots().items(), key=lambda item: -len(item[0]))


def trace(example: Callable = example, argument: Callable = leaf) -> Journey:
    """Run `example(argument())` twice and follow the second run.

    Generator expressions and comprehensions are no functions of their own: Python 3.12 has no frames for some of them.
    """
    places = [(f"{folder}/", f"{root}/") for root, folder in _longest_first()]
    names: dict = {}  # code -> its file, its function

    def place(code) -> tuple[str, str] | None:
        if code not in names:
            file = str(Path(code.co_filename).resolve())
            found = next(
                (root + file[len(folder) :] for folder, root in places if file.startswith(folder)), None
            )
            names[code] = found and (found, _qualified(code))
        return names[code]

    steps: list[tuple[str, str]] = []
    visited: list[str] = []

    def follow(frame, event, _) -> None:
        if event in ("call", "return") and (here := place(frame.f_code)):
            visited.append(here[0])
            if event == "call" and frame.f_code.co_name not in INNER:
                steps.append(here)

    example(argument())
    x, before = argument(), sys.getprofile()
    sys.setprofile(follow)
    try:
        example(x)
    finally:
        sys.setprofile(before)
    files: dict[str, list[str]] = {}
    for file, function in dict.fromkeys(steps):
        files.setdefault(file, []).append(function)
    return Journey(files, steps, sum(a != b for a, b in itertools.pairwise(visited)))


def _qualified(code) -> str:
    return getattr(code, "co_qualname", code.co_name).replace("<locals>.", "")


if __name__ == "__main__":
    print(trace())
