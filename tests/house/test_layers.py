"""Imports only go down: no cycle of files, no arrow up between rooms, nobody else's private names."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import tinygen

PACKAGE = Path(tinygen.__file__).resolve().parent
OPTIONAL = {"numba", "cupy", "matplotlib", "torch"}

# The rooms from the bottom up.  A room may import itself and the rooms on the lines above its own.
ROOMS = """
    kernels
    engine
    random
    ops
    nn
    optim
    run
    data
    metrics
    autograd
    face
    profile
    cuda
    accelerator
    tinygen
    explain
    models
    benchmarks
    doctor
    cli
"""
LEVEL = {room: level for level, line in enumerate(ROOMS.split("\n")) for room in line.split()}
TOP = {"cli", "models", "benchmarks", "doctor", "explain", "face"}
CALL_KERNELS = {
    "engine",
    "ops",
    "optim",
    "random",
    "tinygen",
    "cli",
    "doctor",
    "explain",
    "benchmarks",
    "run",
    "data",  # runtime.uploads: how a batch gets to a GPU
    "face",
}

# Lazy imports that would close a cycle, each with its reason; at most three.
CLOSES_A_CYCLE = {}


class Import(NamedTuple):
    """`from target import name` in the file of a module; name is None for `import target`."""

    module: str
    path: Path
    line: int
    target: str
    name: str | None
    lazy: bool


def _modules() -> dict[str, Path]:
    """Every module that is installed as tinygen, by its dotted name."""
    found = {}
    for folder in (PACKAGE, *((PACKAGE / name).resolve() for name in ("kernels", "models", "benchmarks"))):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if folder != PACKAGE:
                parts = (folder.name, *parts)
            elif parts[0] in ("kernels", "models", "benchmarks"):
                continue
            found[".".join(("tinygen", *parts)).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(module: str, path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for target, name in names:
            yield Import(module, path, node.lineno, target, name, id(node) in lazy)


IMPORTS = [found for module, path in MODULES.items() for found in _imports(module, path)]


def _file_of(found: Import) -> str | None:
    """The module of tinygen that an import reaches: the sub-module where the name is one."""
    whole = f"{found.target}.{found.name}"
    return whole if whole in MODULES else found.target if found.target in MODULES else None


def _room(module: str) -> str:
    parts = module.split(".")
    if module in (
        "tinygen.__main__",
        "tinygen.face.stubs",
    ):  # the second reads the whole package and writes .pyi files
        return "cli"
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "tinygen"


def _strongly_connected(graph: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected components with more than one member  (Kosaraju's two passes, without recursion)."""
    order, seen = [], set()
    for root in graph:
        stack = [(root, iter(graph[root]))] if root not in seen else []
        seen.add(root)
        while stack:
            node, targets = stack[-1]
            target = next((t for t in targets if t not in seen), None)
            if target is None:
                order.append(stack.pop()[0])
            else:
                seen.add(target)
                stack.append((target, iter(graph[target])))
    backward = {node: {a for a in graph if node in graph[a]} for node in graph}
    components, placed = [], set()
    for root in reversed(order):
        component, stack = set(), [root] if root not in placed else []
        while stack:
            node = stack.pop()
            if node not in placed:
                placed.add(node)
                component.add(node)
                stack.extend(backward[node])
        if len(component) > 1:
            components.append(component)
    return components


def test_the_finder_of_cycles_finds_them():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"f"}, "f": {"e", "d"}}
    assert sorted(map(sorted, _strongly_connected(graph))) == [["a", "b", "c"], ["e", "f"]]
    assert _strongly_connected({"a": {"b"}, "b": set()}) == []


def test_no_cycle_of_files():
    """Over all imports, lazy ones included."""
    graph = {module: set() for module in MODULES}
    for found in IMPORTS:
        target = _file_of(found)
        if target and target != found.module and (found.module, target) not in CLOSES_A_CYCLE:
            graph[found.module].add(target)
    assert _strongly_connected(graph) == []


def test_exceptions_are_few_and_needed():
    assert len(CLOSES_A_CYCLE) <= 3
    lazy = {(found.module, _file_of(found)) for found in IMPORTS if found.lazy}
    assert set(CLOSES_A_CYCLE) <= lazy


def test_every_module_has_its_room():
    assert {_room(module) for module in MODULES} == set(LEVEL)
    alone = {module for module in MODULES if _room(module) == "tinygen"}
    assert alone == {"tinygen"}, "name the room of the others in ROOMS"


def test_no_arrow_up():
    for found in IMPORTS:
        target = _file_of(found)
        if target is None or target == "tinygen":
            continue
        here, there = _room(found.module), _room(target)
        where = f"{found.path}:{found.line}: {found.module} imports {target}"
        assert here == there or LEVEL[there] < LEVEL[here], f"{where}, which is above it"
        if there == "kernels" and here != "kernels":
            assert here in CALL_KERNELS, f"{where}: a room that calls no kernels"
    for found in IMPORTS:
        if _file_of(found) == "tinygen" and _room(found.module) != "tinygen" and found.name != "__version__":
            where = f"{found.path}:{found.line}: {found.module} imports tinygen itself"
            assert LEVEL[_room(found.module)] > LEVEL["tinygen"], f"{where}, which is above it"


def test_the_engine_stands_alone():
    for found in IMPORTS:
        if _room(found.module) == "engine" and _file_of(found):
            assert _room(_file_of(found)) in ("engine", "kernels"), f"{found.path}:{found.line}"


def test_private_names_stay_in_their_folder():
    for found in IMPORTS:
        if (
            found.name
            and found.name.startswith("_")
            and not found.name.endswith("__")
            and found.target in MODULES
        ):
            same = MODULES[found.target].parent == found.path.parent
            assert same, f"{found.path}:{found.line}: imports {found.name} of {found.target}"


@pytest.mark.parametrize("module", MODULES)
def test_names_of_the_installed_packages(module):
    """`kernels` and `models` alone are other people's packages; torch belongs to tests and benchmarks."""
    for found in (f for f in IMPORTS if f.module == module):
        first, where = found.target.split(".")[0], f"{found.path}:{found.line}"
        assert first not in ("kernels", "models", "benchmarks", "tests"), f"{where}: import {found.target}"
        if first == "torch":
            assert _room(module) == "benchmarks" and found.lazy, f"{where}: the package never imports torch"


def _imported_on_first_use(module: str) -> bool:
    """Files of compiled loops may import numba at their top: they are themselves imported on first use."""
    return module.endswith(("loops", ".with_numba"))


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_on_first_use(module):
    if _imported_on_first_use(module):
        return
    for found in (f for f in IMPORTS if f.module == module):
        where = f"{found.path}:{found.line}"
        if found.target.split(".")[0] in OPTIONAL:
            assert found.lazy, f"{where}: {found.target} at the top of a module"
        if _imported_on_first_use(_file_of(found) or ""):
            assert found.lazy, f"{where}: {_file_of(found)}, which imports numba, at the top of a module"


def test_import_loads_nothing_heavy():
    code = (
        "import sys, tinygen; "
        "print(*[m for m in ('numba', 'cupy', 'matplotlib', 'torch', 'llvmlite', 'PIL', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_folders_are_short():
    """No folder lists more than 24 entries; the goal is 20."""
    root = PACKAGE.parent
    for folder in ("tinygen", "kernels", "models", "benchmarks", "tests"):
        for path in (root / folder).rglob("*"):
            if not path.is_dir() or path.is_symlink() or path.name.startswith(("__pycache__", ".")):
                continue
            if path.name in (
                "results",
                "ported",
                "cases",
                "weights",
            ):  # data, and a file for each kind of case
                continue
            entries = [p for p in path.iterdir() if not p.name.startswith(("__pycache__", "."))]
            assert len(entries) <= 24, f"{path}: {len(entries)} entries"
