"""One paper, one file."""

import importlib
import pkgutil

from tinygen.run.folder import RunError, read_config
from tinygen.run.training import Run


def open_run(folder) -> Run:
    """Open the run in a folder to look at, finished or running; its model's Config is found by the model's name."""
    model = read_config(folder)["model"]
    known = {module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg}
    name = str(model).replace("-", "_")
    Config = getattr(importlib.import_module(f"{__name__}.{name}"), "Config", None) if name in known else None
    if Config is None:
        raise RunError(f"{folder}: made by {model!r}, which is no model of this tinygen")
    return Run.open(folder, Config)
