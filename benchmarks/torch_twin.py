"""A model file run by PyTorch: its own source, with the imports that PyTorch has too answered by PyTorch.

So the two sides of a benchmark compute the same network by construction, and no second copy of it has to be kept.
"""

from __future__ import annotations

import builtins
import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


@functools.cache
def torch_twin(model: str, torch) -> ModuleType:
    """The module tinygen.models.MODEL with PyTorch's tensors, layers and optimisers; so are the models it imports.

    What PyTorch lacks (data, run folder, our random streams) stays tinygen's.
    """
    spec = importlib.util.find_spec(f"tinygen.models.{model}")
    twin = ModuleType(f"{model}_by_torch")
    sys.modules[twin.__name__] = twin  # dataclasses look their module up
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
        if theirs is None or rest == "random":  # theirs has other streams
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
    """The twin of a model's file, or of a folder and those of its files that are among `names`"""
    twin = torch_twin(model, torch)
    for name in names:
        if not hasattr(twin, name) and importlib.util.find_spec(f"tinygen.models.{model}.{name}"):
            setattr(twin, name, torch_twin(f"{model}.{name}", torch))
    return twin


def _functional(F) -> ModuleType:
    """torch.nn.functional, and what tinygen's has beside it as PyTorch would compose it"""
    more = ModuleType(F.__name__)
    vars(more).update(vars(F))
    more.group_norm_silu = lambda *arguments, **named: F.silu(F.group_norm(*arguments, **named))
    return more


def _find(module, path: str):
    """module.a.b for "a.b"; None where there is none."""
    for name in path.split(".") if path else ():
        module = getattr(module, name, None)
    return module
