"""The models: one paper per file, and folders for what several papers share."""

import ast
import importlib
import importlib.util
import pkgutil
from pathlib import Path

from tinygen.run.folder import RunError, read_config
from tinygen.run.training import Run


def papers() -> dict[str, str]:
    """The models by their names on the command line, with the first line of their docstrings.

    A model is a module with a Config and a train function.  Reads the files, imports none of them.
    """
    found = {}
    for module in pkgutil.iter_modules(__path__):
        spec = importlib.util.find_spec(f"{__name__}.{module.name}")
        if module.ispkg or not spec or not spec.origin:
            continue
        tree = ast.parse(Path(spec.origin).read_bytes())
        names = {getattr(node, "name", None) for node in tree.body}
        if {"Config", "train"} <= names:
            doc = ast.get_docstring(tree) or ""
            found[module.name.replace("_", "-")] = doc.split("\n")[0]
    return found


def open_run(folder) -> Run:
    """Open a run folder, finished or still training; the name of its model tells which Config it has."""
    model = read_config(folder)["model"]
    known = {module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg}
    name = str(model).replace("-", "_")
    Config = getattr(importlib.import_module(f"{__name__}.{name}"), "Config", None) if name in known else None
    if Config is None:
        raise RunError(f"{folder}: made by {model!r}, which is not among the models of this version")
    return Run.open(folder, Config)
