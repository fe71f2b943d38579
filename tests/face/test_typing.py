"""What static tools see: the .pyi files are up to date and correct, and a typed program runs."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.wrong_calls import recorded

import tinygen
from tinygen.engine.tensor import Tensor
from tinygen.face import stubs
from tinygen.nn import functional
from tinygen.ops.reduce import ValuesIndices

PROGRAM = Path(__file__).parent / "typed" / "program.py"
CHECKS = {
    "Tensor": lambda x: isinstance(x, Tensor),
    "ValuesIndices": lambda x: isinstance(x, ValuesIndices),
    "_bool": lambda x: isinstance(x, bool),
    "_tuple[Tensor, ...]": lambda x: isinstance(x, tuple) and all(isinstance(y, Tensor) for y in x),
    "_tuple[Tensor, Tensor]": lambda x: isinstance(x, tuple) and len(x) == 2,
    "Any": lambda x: True,
}


@pytest.mark.parametrize("path", stubs.stubs(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_stubs_are_current(path):
    assert path.read_text(encoding="utf-8") == stubs.stubs()[path], "run python -m tinygen.face.stubs"
    assert (Path(tinygen.__file__).parent / "py.typed").exists()


def test_every_method_and_function_is_declared():
    tensor, package = (Path(tinygen.__file__).parent / name for name in ("engine/tensor.pyi", "__init__.pyi"))
    for name in tinygen.ops.METHODS:
        assert f"    def {name}(self" in tensor.read_text(), name
    text = package.read_text()
    for name, value in vars(tinygen).items():
        if name[0] != "_" and not inspect.ismodule(value):  # modules are there because somebody imported them
            assert any(f in text for f in (f"def {name}(", f" as {name}\n", f"\n{name}: ")), name


def made(value):
    if isinstance(value, np.ndarray):
        return Tensor._wrap(value.copy())
    return type(value)(map(made, value)) if type(value) in (list, tuple) else value


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_returned_is_what_is_declared():
    """For every call of the case table."""
    found = 0
    for call in recorded():
        prefix, _, name = call.name.rpartition(".")
        function = getattr({"": tinygen, "F": functional, "Tensor": Tensor}[prefix], name, None)
        own = getattr(function, "name", getattr(function, "__name__", None))
        if function is None or own in stubs.OVERLOADS:
            continue
        found += 1
        declared = stubs.returned(own, inspect.signature(function))
        args, kwargs = made(call.args), {k: made(v) for k, v in call.kwargs.items()}
        assert CHECKS[declared](function(*args, **kwargs)), (call, declared)
    assert found > 300


def test_the_typed_program_runs(tmp_path):
    done = subprocess.run([sys.executable, PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "(2, 3) 10 (2,)" in done.stdout, done.stderr
