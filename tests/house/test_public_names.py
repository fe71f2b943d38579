"""The public names and what they take, compared with a list made before the house was rebuilt (commit 6ba2ddb).

    python tests/house/test_public_names.py > tests/house/public_names.json      writes the list anew

Listed are names, parameters and defaults.  Where a name is defined, its annotations and its documentation are not: they
may change.  A name that is missing, or takes something else, fails; a new one does not, and `pytest -s` shows it.
"""

import argparse
import contextlib
import dataclasses
import enum
import importlib
import inspect
import io
import json
import re
import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

LIST = Path(__file__).with_name("public_names.json")
ROOMS = """tinygen tinygen.nn tinygen.nn.functional tinygen.nn.init tinygen.nn.utils tinygen.nn.utils.parametrize
    tinygen.nn.utils.parametrizations tinygen.optim tinygen.optim.lr_scheduler tinygen.autograd tinygen.random
    tinygen.cuda tinygen.accelerator tinygen.data tinygen.metrics tinygen.ops tinygen.kernels""".split()
PAPERS = "vae gan dcgan cgan wgan wgan_gp pacgan ddpm classifier".split()
# what the command line and callers look for in a paper, also where it is another paper's or a shared one
CONTRACT = """Config train sample evaluate latent_space explored animation labels_drawn
    resumable_changes""".split()
COMMANDS = "bench explain list doctor".split()
OWN_USE = {  # what these files import or keep for themselves
    "tinygen.nn.init": "Tensor move refuse_elsewhere",
    "tinygen.nn.utils.parametrize": "Module ModuleDict ModuleList Parameter ShapeError Tensor no_grad",
    "tinygen.nn.utils.parametrizations": """Module Tensor as_matrix is_transposed no_grad norm_except normalized
        over_sigma register_parametrization with_length""",
    "tinygen.optim.lr_scheduler": "Counter Optimizer",
    "tinygen.autograd": "Guard Node RemovableHandle Saved ShapeError Tensor alias register_hook shares",
    "tinygen.accelerator": "device",
    "tinygen.ops": """ALIASES EXPORTS FUNCTIONS METHODS NOT_METHODS ONLY_METHODS Tensor public public_methods""",
    "tinygen.kernels": "LONG RUN add_reference add_threads multiply_reference multiply_threads whole",
}


def public_names(listed: dict) -> dict[str, dict[str, str]]:
    """Every public name of the version that is installed, by room: what it takes, or what it is.

    Names of papers that are `listed` count also where the paper has them from another file now.
    """
    found = {room: names_of(importlib.import_module(room), OWN_USE.get(room, "").split()) for room in ROOMS}
    tinygen = importlib.import_module("tinygen")
    found["tinygen.Tensor"] = members(tinygen.Tensor) | operators(tinygen.Tensor)
    found["tinygen.nn.Module"] = members(tinygen.nn.Module)
    for paper in PAPERS:
        name = f"tinygen.models.{paper}"
        found[name] = names_of_paper(importlib.import_module(name), [*CONTRACT, *listed.get(name, ())])
    data = importlib.import_module("tinygen.data")
    found["data sets"] = dict.fromkeys(data.DATASETS | data.TOYS, "data set")
    found |= {"what tinygen list prints": listing()} | flags()
    return {room: dict(sorted(names.items())) for room, names in found.items()}


def names_of(module, own_use=()) -> dict[str, str]:
    """The public names of a module, and of the classes in it their members"""
    found = {}
    for name, value in vars(module).items():
        if name.startswith("_") or name in own_use or inspect.ismodule(value) or name == "annotations":
            continue
        found[name] = described(value)
        if inspect.isclass(value) and name not in ("Tensor", "Module"):  # these have rooms of their own
            own = {n: text for n, text in members(value).items() if is_own(value, n)}
            found |= {f"{name}.{member}": text for member, text in own.items()}
    return found


def names_of_paper(module, also) -> dict[str, str]:
    """The functions and classes that a paper defines, `also` others that it has, and its Config's fields"""
    found = {}
    for name, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__ and callable(value)
        if not name.startswith("_") and (own or name in also):
            found[name] = described(value)
    for field in dataclasses.fields(module.Config):
        default = "no default" if field.default is dataclasses.MISSING else repr(field.default)
        found[f"Config.{field.name}"] = f"{field.type} = {default}"
    return found


def members(cls) -> dict[str, str]:
    """The public methods and attributes of a class; of a Module or Tensor those that not every one has"""
    import tinygen

    common = {base: set(dir(base)) - {"forward"} for base in (tinygen.nn.Module, tinygen.Tensor)}
    inherited = set().union(
        *(names for base, names in common.items() if cls is not base and issubclass(cls, base))
    )
    found = {}
    for owner in reversed(cls.__mro__):
        if owner.__module__.partition(".")[0] == "tinygen":
            names = (name for name in vars(owner) if not name.startswith("_") and name not in inherited)
            found |= {name: described(vars(owner)[name]) for name in names}
    return found


def is_own(cls, name: str) -> bool:
    """Whether it is a property or a method: a class keeps constants and functions for its own use, too"""
    value = inspect.getattr_static(cls, name)
    value = getattr(value, "__func__", value)
    return inspect.isdatadescriptor(value) or getattr(value, "__name__", None) == name


def operators(cls) -> dict[str, str]:
    """x + y and the like"""
    housekeeping = {"__module__", "__doc__", "__slots__", "__dict__", "__weakref__", "__init__", "__new__"}
    return dict.fromkeys((n for n in vars(cls) if n.startswith("__") and n not in housekeeping), "operator")


def described(value) -> str:
    """What a callable takes, without annotations; of anything else what it is"""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if inspect.isclass(value) and issubclass(value, Exception):
        return "is a " + ", ".join(b.__name__ for b in value.__mro__[1:] if issubclass(b, Exception))
    if getattr(value, "__module__", "").partition(".")[0] == "numpy" or isinstance(value, np.ufunc):
        return "NumPy's"  # whose signature is another one in another version
    if isinstance(value, bool | int | float | str | tuple | np.dtype) or value is None:
        return _plain(value)
    if inspect.isdatadescriptor(value):
        return "attribute"
    if not callable(value):
        return type(value).__name__
    try:
        signature = inspect.signature(value)
    except ValueError:
        return type(value).__name__
    empty = inspect.Parameter.empty
    parameters = [
        p.replace(annotation=empty, default=p.default if p.default is empty else _Text(p.default))
        for p in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=empty))


class _Text:
    """A default, shown the same wherever what it names is defined and stored"""

    def __init__(self, value) -> None:
        self.value = value

    def __repr__(self) -> str:
        return _plain(self.value)


def _plain(value) -> str:
    if isinstance(value, enum.Enum):
        return str(value)
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", repr(value))
    return re.sub(r"<(\w+) .* at 0x[0-9a-f]+>", r"<\1>", text)


# The command line


def listing() -> dict[str, str]:
    """What `tinygen list` names; a kernel with its variants"""
    found, section = {}, ""
    for line in said("list").splitlines():
        if not line.startswith(" "):
            section = line.split(":")[0]
        else:
            name, _, what = line.strip().partition(" ")
            found[f"{section} {name}"] = what.strip() if section == "kernels" else section
    return found


def flags() -> dict[str, dict[str, str]]:
    """The flags of every command: of `train` for every model, of `sample` and `eval` for a run of every model"""
    found = {f"tinygen {command}": flags_of(command) for command in COMMANDS}
    found["tinygen COMMAND"] = dict.fromkeys(commands(), "command")
    for command in ("sample", "eval"):
        found[f"tinygen {command} RUN"] = flags_of(command)
    with tempfile.TemporaryDirectory() as folder:
        for paper in PAPERS:
            name = paper.replace("_", "-")
            found[f"tinygen train {name}"] = flags_of("train", name)
            run = Path(folder, name)
            run.mkdir()
            run.joinpath("config.json").write_text(json.dumps({"model": name, "config": {}}))
            for command, function in {"sample": "sample", "eval": "evaluate"}.items():
                if hasattr(importlib.import_module(f"tinygen.models.{paper}"), function):
                    found[f"tinygen {command} {name.upper()}-RUN"] = flags_of(command, str(run))
    return {command: found[command] for command in sorted(found)}


def flags_of(*words: str) -> dict[str, str]:
    """The flags and arguments that `tinygen WORDS --help` lists, with what they take and their defaults"""
    actions = []
    shown = argparse.ArgumentParser.print_help

    def print_help(parser, *args):
        actions.extend(parser._actions)
        shown(parser, *args)

    argparse.ArgumentParser.print_help = print_help
    try:
        said(*words, "--help")
    finally:
        argparse.ArgumentParser.print_help = shown
    found = {}
    for action in actions:
        if action.help is not argparse.SUPPRESS:
            default = re.search(r"\((default [^\s()]+|no default)\)$", action.help or "")
            takes = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
            name = ", ".join(action.option_strings) or f"argument {takes}"
            found[name] = f"{takes} {default[1].replace('%%', '%') if default else ''}".strip()
    return found


def commands() -> list[str]:
    """The commands that `tinygen --help` lists"""
    return re.findall(r"^  ([a-z]+) ", said("--help"), re.MULTILINE)


def said(*words: str) -> str:
    """What `tinygen WORDS` prints"""
    before, out = sys.argv, io.StringIO()
    sys.argv = ["tinygen", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            runpy.run_module("tinygen", run_name="__main__")
    finally:
        sys.argv = before
    return out.getvalue()


# The test


BEFORE = json.loads(LIST.read_text(encoding="utf-8")) if LIST.exists() and LIST.stat().st_size else {}


@pytest.fixture(scope="module")
def now():
    return public_names(BEFORE)


@pytest.mark.parametrize("room", BEFORE)
def test_public_names_are_unchanged(room, now):
    assert room in now, f"{room} is not there any more"
    before, found = BEFORE[room], now[room]
    new = sorted(found.keys() - before.keys())
    if new:
        print(f"\nnew in {room}: {', '.join(new)}")
    wrong = [f"{name} is missing" for name in before if name not in found]
    for name in before.keys() & found.keys():
        if found[name] != before[name]:
            wrong.append(f"{name}: was {before[name]}, is {found[name]}")
    if wrong:
        pytest.fail("\n".join([f"{room}:", *sorted(wrong)]), pytrace=False)


def test_the_list_is_there():
    assert set(ROOMS) <= BEFORE.keys() and len(BEFORE["tinygen"]) > 200


if __name__ == "__main__":
    print(json.dumps(public_names({}), indent=1, ensure_ascii=False))
