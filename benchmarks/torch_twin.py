"""Networks run with PyTorch: the same source, with imports from tinygen answered by PyTorch where it has the name.

The two sides of a benchmark then compute the same network by construction, without a second copy of it.
"""

from __future__ import annotations

import builtins
import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def torch_twin(model: str, torch) -> ModuleType:
    """The module tinygen.models.MODEL with PyTorch's tensors, layers and optimizers, and so the models it imports."""
    return twin_of(f"tinygen.models.{model}", torch)


@functools.cache
def twin_of(module: str, torch) -> ModuleType:
    """A module of tinygen's with PyTorch's tensors, layers and optimizers, and so the models it imports.

    What PyTorch lacks (data, run folder, tinygen's random streams) remains tinygen's.
    """
    spec = importlib.util.find_spec(module)
    twin = ModuleType(f"{module.removeprefix('tinygen.models.')}_by_torch")
    sys.modules[twin.__name__] = twin  # dataclasses look up their module
    twin.__builtins__ = {**vars(builtins), "__import__": _importer(torch)}
    exec(compile(Path(spec.origin).read_text(encoding="utf-8"), spec.origin, "exec"), vars(twin))
    return twin


def _importer(torch):
    def imported(name, globals=None, locals=None, fromlist=(), level=0):
        first, _, rest = name.partition(".")
        if first != "tinygen":
            return __import__(name, globals, locals, fromlist, level)
        if rest.startswith("models."):
            return _with_files(rest.removeprefix("models."), fromlist or (), torch)
        ours = __import__(name, globals, locals, fromlist, level)
        theirs = _find(torch, rest)
        if theirs is None or rest == "random":  # PyTorch's has no such streams
            return ours
        if not fromlist:  # `import tinygen.nn` binds tinygen
            return torch
        mixed = ModuleType(name)
        for wanted in fromlist:
            has = hasattr(theirs, wanted) and wanted != "random"
            found = getattr(theirs if has else ours, wanted)
            setattr(mixed, wanted, _functional(found) if wanted == "functional" else found)
        return mixed

    return imported


def _with_files(model: str, names, torch) -> ModuleType:
    """The twin of a model file, or of a folder with those of its files that are among `names`"""
    twin = torch_twin(model, torch)
    for name in names:
        if not hasattr(twin, name) and importlib.util.find_spec(f"tinygen.models.{model}.{name}"):
            setattr(twin, name, torch_twin(f"{model}.{name}", torch))
    return twin


def _functional(F) -> ModuleType:
    """torch.nn.functional, with what only tinygen's has composed of PyTorch's functions"""
    more = ModuleType(F.__name__)
    vars(more).update(vars(F))
    more.group_norm_silu = lambda *arguments, **named: F.silu(F.group_norm(*arguments, **named))
    return more


def _find(module, path: str):
    """module.a.b for "a.b", or None."""
    for name in path.split(".") if path else ():
        module = getattr(module, name, None)
    return module
