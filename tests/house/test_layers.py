"""Imports only go down: models and the command line, the package, operations, the tape, kernels."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinygen

PACKAGE = Path(tinygen.__file__).resolve().parent
KERNELS = Path(tinygen.kernels.__file__).resolve().parent

# which rooms of tinygen each room may import
ENGINE = {"kernels", "engine", "face", "ops", "random"}
BELOW = {
    "kernels": {"kernels"},
    "engine": ENGINE,
    "face": ENGINE | {"autograd", "nn", "optim"},
    "random": ENGINE,
    "ops": ENGINE,
    "nn": ENGINE - {"kernels"} | {"nn"},
    "optim": ENGINE | {"optim", "nn"},
    "profile": {"engine", "nn", "optim", "profile", "run"},
}
TOP = {"cli", "models", "benchmarks", "doctor", "explain", "__main__"}
OPTIONAL = {"numba", "cupy", "matplotlib", "torch"}


def sources():
    """(part of tinygen, file) for everything that is installed as tinygen."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        if parts[0] not in ("kernels", "models", "benchmarks"):
            yield parts[0].removesuffix(".py"), path
    for path in sorted(KERNELS.rglob("*.py")):
        yield "kernels", path
    for name in ("models", "benchmarks"):
        for path in sorted((PACKAGE / name).resolve().rglob("*.py")):
            yield name, path


SOURCES = [pytest.param(part, path, id=f"{part}/{path.name}") for part, path in sources()]


def imports(path):
    """(module, line, whether it is inside a function) for every import; `from a import b` counts as a and as a.b."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inside.update(id(n) for n in ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno, id(node) in inside) for name in names)


def test_sources_are_found():
    assert {"kernels", "engine", "ops", "nn", "models"} <= {p.values[0] for p in SOURCES}


@pytest.mark.parametrize("part, path", SOURCES)
def test_imports_go_down(part, path):
    for module, line, _ in imports(path):
        if not module.startswith("tinygen."):
            continue
        target = module.split(".")[1]
        if part in BELOW and (PACKAGE / f"{target}.py").exists() | (PACKAGE / target).is_dir():
            assert target in BELOW[part], f"{path}:{line}: {part} imports {module}"
        if target in ("models", "benchmarks", "cli"):
            assert part in TOP, f"{path}:{line}: {part} imports {module}, which is above it"
        if target == "kernels":
            allowed = {
                *("__init__", "engine", "kernels", "ops", "optim", "random", "run"),
                *("cli", "doctor", "explain", "benchmarks"),
            }
            assert part in allowed, f"{path}:{line}: {part} imports kernels"


@pytest.mark.parametrize("part, path", SOURCES)
def test_names_of_the_installed_packages(part, path):
    """`kernels` and `models` alone are other people's packages; torch belongs to tests and benchmarks."""
    for module, line, inside in imports(path):
        first = module.split(".")[0]
        assert first not in ("kernels", "models", "benchmarks", "tests"), f"{path}:{line}: import {module}"
        if first == "torch":
            assert part == "benchmarks" and inside, f"{path}:{line}: the package never imports torch"


def only_on_first_use(path) -> bool:
    """Files that are compiled loops may import numba at their top: they are themselves imported on first use."""
    return path.stem.endswith("loops") or path.stem == "with_numba"


@pytest.mark.parametrize("part, path", SOURCES)
def test_heavy_packages_are_imported_on_first_use(part, path):
    for module, line, inside in imports(path):
        if module.split(".")[0] in OPTIONAL and not only_on_first_use(path):
            assert inside, f"{path}:{line}: {module} at the top of a module"
        if module.endswith(("loops", "with_numba")) and not only_on_first_use(path):
            assert inside, f"{path}:{line}: {module}, which imports numba, at the top of a module"


def test_import_loads_nothing_heavy():
    code = (
        "import sys, tinygen; "
        "print(*[m for m in ('numba', 'cupy', 'matplotlib', 'torch', 'llvmlite', 'PIL', 'tqdm') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == ""
    )
