"""The `tinygen` command: train, sample and evaluate models, and say what is here.

    tinygen train vae --steps 1000;  tinygen sample runs/vae-glyphs-001;  tinygen eval runs/vae-glyphs-001

A bad flag, file or folder is one line on stderr and exit code 2; TINYGEN_DEBUG=1 shows where it was noticed.
"""

import argparse
import ast
import dataclasses
import importlib
import importlib.util
import json
import math
import os
import pkgutil
import sys
from pathlib import Path

from tinygen.run.flags import FlagError, add_flags, flags_of, flags_of_function, make_config, unknown
from tinygen.run.terminal import finish_streams, prepare_streams, say, visible

COMMANDS = {
    "train": "train a model in a fresh run folder:  tinygen train MODEL [flags]",
    "sample": "draw pictures from a trained run:  tinygen sample RUN [-n 64] [-o grid.png]",
    "eval": "measure a trained run, as one JSON object:  tinygen eval RUN",
    "bench": "time kernels and training steps beside PyTorch:  tinygen bench [NAME ...] [--json FILE]",
    "explain": "an operation from its formula to its kernels, checked:  tinygen explain OP; or a program's graph",
    "list": "models, datasets and kernels",
    "doctor": "what this machine has, and what each missing piece would enable",
}
EXPLORING = {  # flags of `sample` that draw rows instead of a grid, and what a model without them lacks
    "walk": "space of z to walk in",
    "attribute": "space of z to add it in",
    "strip": "steps to show",
    "inpaint": "way to fill images in",
}
FUNCTIONS = {"sample": "sample", "eval": "evaluate"}  # of a model's file
ABSENT = {"label": "labels"} | EXPLORING
BROKEN_PIPE = 128 + 13


def main(argv: list[str] | None = None) -> int:
    """Run one command.  Returns the exit code: 0, 1 failed, 2 bad input, 128 + signal."""
    prepare_streams()
    try:
        code = _dispatch(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return 130
    except (Exception, SystemExit) as e:
        if isinstance(e, SystemExit) and isinstance(e.code, int | None):
            return e.code or 0  # --help, or a run stopped by a signal
        if os.environ.get("TINYGEN_DEBUG"):
            raise
        say(f"tinygen: error: {_one_line(e)}")
        return 2 if isinstance(e, ValueError | OSError | NotImplementedError) else 1
    finally:
        finish_streams()


def _one_line(e):
    text = " ".join(str(e).split())
    if isinstance(e, OSError) and e.strerror:
        return f"{e.filename}: {e.strerror}" if e.filename else f"{e.strerror} (TINYGEN_DEBUG=1 shows where)"
    from tinygen.engine.devices import CudaError, DeviceError
    from tinygen.kernels.runtime.cuda_device import told

    if isinstance(e, MemoryError):
        return told(e) or f"out of memory {text}".strip()
    if isinstance(e, ValueError | ArithmeticError | NotImplementedError | CudaError | DeviceError) and text:
        return text
    return f"{type(e).__name__}: {text} (TINYGEN_DEBUG=1 shows where)"


class Parser(argparse.ArgumentParser):
    """argparse with errors as exceptions, and a suggestion for an unknown flag."""

    def __init__(self, prog: str, **options) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, prog=visible(prog), **options)

    def error(self, message):
        raise FlagError(message)

    def parse(self, argv) -> dict:
        """The flags that were given, by name."""
        args, rest = self.parse_known_args(argv)
        if rest:
            known = [s for action in self._actions for s in action.option_strings if s.startswith("--")]
            flag = next((word for word in rest if word.startswith("-")), None)
            raise FlagError(
                unknown("flag", flag.split("=")[0], known) if flag else f"unexpected argument {rest[0]!r}"
            )
        return vars(args)


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog):
        super().__init__(prog, max_help_position=34)


def _dispatch(argv) -> int:
    from tinygen import __version__

    parser = Parser(prog="tinygen", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"tinygen {__version__}")
    commands = parser.add_argument_group("commands")
    for name, what in COMMANDS.items():
        commands.add_argument(name, nargs="?", help=what, default=argparse.SUPPRESS)
    parser.usage = "tinygen COMMAND ..., and tinygen COMMAND --help"
    if not argv or argv[0].startswith("-"):
        parser.parse(argv)
        parser.print_help()
        return 2
    command, *rest = argv
    if command not in COMMANDS:
        raise FlagError(unknown("command", command, COMMANDS))
    return globals()[f"_{command}"](rest)


def models() -> dict[str, str]:
    """The modules of tinygen.models that define Config and train, and their first docstring lines.

    Reads the files, imports none of them.
    """
    import tinygen.models

    found = {}
    for module in pkgutil.iter_modules(tinygen.models.__path__):
        spec = importlib.util.find_spec(f"tinygen.models.{module.name}")
        if module.ispkg or not spec or not spec.origin:
            continue
        tree = ast.parse(Path(spec.origin).read_bytes())
        names = {getattr(node, "name", None) for node in tree.body}
        if {"Config", "train"} <= names:
            doc = ast.get_docstring(tree) or ""
            found[module.name.replace("_", "-")] = doc.split("\n")[0]
    return found


def _module(model):
    """The module of a model's name."""
    known = models()
    if model not in known:
        raise FlagError(unknown("model", model, known))
    return importlib.import_module(f"tinygen.models.{model.replace('-', '_')}")


def _subject(command, what, known, argv):
    """The first word after the command: flags depend on it."""
    if argv and not argv[0].startswith("-"):
        return argv[0]
    usage = f"usage: tinygen {command} {what} [flags]; {known}"
    if argv and argv[0] in ("-h", "--help"):
        print(f"{usage}\ntinygen {command} {what} --help lists the flags that one takes.")
        raise SystemExit(0)
    raise FlagError(f"{command}: name the {what} first; {usage}")


def _train(argv) -> int:
    from tinygen.run.training import Run, newest, read_config

    name = _subject("train", "MODEL", f"models: {', '.join(models()) or 'none'}", argv)
    module = _module(name)
    parser = Parser(prog=f"tinygen train {name}", description=(module.__doc__ or "").split("\n")[0])
    parser.add_argument("--out", help="the run folder (default a fresh runs/MODEL-DATA-001)")
    parser.add_argument("--resume", action="store_true", help="go on with --out, or with the newest run")
    _add_device(parser)
    add_flags(parser, flags_of(module.Config))
    given = parser.parse(argv[1:])
    out, resume = given.pop("out"), given.pop("resume")
    device = _device(given.pop("device"))
    if resume and out is None:
        out = newest(name, given.get("data"))
    if resume and os.path.lexists(Path(out, "config.json")):
        read_config(out, name)  # first: another model's fields would be unknown ones
        # what is not given stays; Run.create refuses what changed
        config = dataclasses.replace(Run.open(out, module.Config).config, **given)
    else:
        config = make_config(module.Config, given)
    free = getattr(module, "resumable_changes", lambda config: set())(config)
    run = Run.create(name, config, out, resume=resume, free=free, device=device)
    try:
        module.train(config, run)
    except BaseException:
        run.discard()  # data that is not there must not leave a run behind
        raise
    print(visible(run.folder))
    return 0


def _sample(argv) -> int:
    from tinygen.run import pictures
    from tinygen.run.files import replace_file

    run, module = _open("sample", argv)
    explored = _explored(module)
    flags = _flags_of("sample", module)
    parser = _parser("sample", argv[0], f"Draw pictures from a run of {run.model}.")
    add_flags(parser, flags)
    for name in ABSENT.keys() - {flag.name for flag in flags}:
        parser.add_argument(f"--{name}", nargs="?", help=argparse.SUPPRESS, default=argparse.SUPPRESS)
    given = parser.parse(argv[1:])
    n, out = given.pop("n"), given.pop("o")
    run.device = _device(given.pop("device"))
    for name in given.keys() - {flag.name for flag in flags}:
        raise FlagError(f"--{name}: {run.model} has no {ABSENT[name]}")
    exploring = given.keys() & EXPLORING.keys()
    moving = out is not None and Path(out).suffix.lower() == ".gif" and hasattr(module, "animation")
    if n is None:
        n = 8 if exploring or moving else 64
    if n < 1:
        raise FlagError(f"-n: found {n}, expected 1 or more")
    if out is not None:
        _check_picture_path(Path(out), moving)
    if moving:
        for name in exploring:
            raise FlagError(f"--{name}: not in {out}; choose a name that ends in .png")
        replace_file(out, [pictures.gif(module.animation(run, n, **given))])
        print(visible(out))
        return 0
    drawn = explored(run, n, **given) if exploring else module.sample(run, n, **given)
    if not exploring and drawn.ndim > 2:
        labels = getattr(module, "labels_drawn", lambda run, n: None)
        drawn = pictures.by_class(drawn, labels(run, n, **{k: given[k] for k in given.keys() & {"label"}}))
    png = pictures.png(drawn.drawn()) if isinstance(drawn, pictures.Sheet) else pictures.points(drawn)
    if out is None:
        kind = next((f"{name}-{given.pop(name)}" for name in exploring), "sample").removesuffix("-True")
        name = _named(kind, given | {"n": n, "seed": given.get("seed", 0)}, run.done)
        out = run.write_new(f"samples/{name}.png", png)
    else:
        replace_file(out, [png])
    print(visible(out))
    return 0


def _named(kind, given, step):
    """A file's name that tells what was asked: KIND-label7-eta0.5-n16-seed0-000020"""
    last = [name for name in ("n", "seed") if name in given]
    words = [kind]
    for name in [*sorted(given.keys() - {*last, "data_dir"}), *last]:
        option, value = name.replace("_", "-"), given[name]
        if isinstance(value, bool):
            words.append(option if value else f"no-{option}")
        else:
            words.append(f"{option}-{value}" if isinstance(value, str) else f"{option}{value:g}")
    return "-".join([*words, f"{step:06d}"])


def _explored(module):
    """How a model's `sample --walk` and the like are drawn: (run, n, **flags) -> pictures.Sheet."""
    if hasattr(module, "explored") or not hasattr(module, "latent_space"):
        return getattr(module, "explored", None)
    from tinygen.models.latent import walks

    def explored(run, n, **given):
        fixed = {"label": given.pop("label")} if "label" in given else {}
        return walks.explored(module.latent_space(run, **fixed), n, **given)

    return explored


def _eval(argv) -> int:
    from tinygen.run.training import as_json

    run, module = _open("eval", argv)
    parser = _parser("eval", argv[0], f"Measure a run of {run.model}.")
    add_flags(parser, _flags_of("eval", module))
    given = parser.parse(argv[1:])
    run.device = _device(given.pop("device"))
    kind = "eval"
    if "attribute" in given:
        from tinygen.models.latent import walks

        kind = f"eval-{given['attribute']}"
        for name in given.keys() - {"attribute", "samples"}:
            raise FlagError(f"--{name.replace('_', '-')}: not with --attribute")
        measures = _plain(walks.attribute_measures(module.latent_space(run), **given))
    else:
        measures = _plain(module.evaluate(run, **given))
    if missing := [name for name, value in measures.items() if value is None]:
        say(f"{run.folder}: {', '.join(missing)}: not a finite number, null in JSON")
    about = {"model": run.model, "data": getattr(run.config, "data", None)} | measures | {"step": run.step}
    first = [name for name in ("model", "data", "split", "images", "step") if about.get(name) is not None]
    result = {name: about[name] for name in first} | measures
    asked = {name: value for name, value in given.items() if name != "attribute"}
    try:
        run.write_json(f"{kind}.json", result)  # the last answer, and beside it every one
        run.write_new(f"{_named(kind, asked, run.step)}.json", as_json(result))
    finally:
        print(
            json.dumps(result)
        )  # after: nobody may read it; but always: a full disk must not cost the numbers
    return 0


def _flags_of(command, module):
    """The flags that `sample` or `eval` takes of a model's runs."""
    functions = [module.sample if command == "sample" else module.evaluate]
    if hasattr(module, "latent_space"):
        from tinygen.models.latent import walks

        functions.append(walks.explored if command == "sample" else walks.attribute_measures)
    if command == "sample" and hasattr(module, "explored"):
        functions.append(module.explored)
    found: dict = {}
    for flag in [flag for function in functions for flag in flags_of_function(function)]:
        found.setdefault(flag.name, flag)
    return list(found.values())


def _parser(command, run, what):
    """The parser of `sample` or `eval`, with the flags that all models have."""
    parser = Parser(prog=f"tinygen {command} {run}", description=what)
    if command == "sample":
        parser.add_argument("-n", type=int, help="how many (default 64, or 8 rows of a walk or an attribute)")
        parser.add_argument("-o", metavar="FILE.png", help="where to (default a new name in RUN/samples)")
    _add_device(parser)
    return parser


def _help_of_all(command):
    """What `tinygen sample --help` and `eval --help` say before a run is named: every flag and whose it is."""
    parser = _parser(command, "RUN", COMMANDS[command].split(":")[0])
    whose: dict = {}
    for model in models():
        module = _module(model)
        for flag in _flags_of(command, module) if hasattr(module, FUNCTIONS[command]) else []:
            whose.setdefault(flag.name, (flag, []))[1].append(model)
    most = max((len(names) for _, names in whose.values()), default=0)
    for flag, names in whose.values():
        of = "" if len(names) == most else f" ({', '.join(names)})"
        kind = "|".join(map(str, flag.choices)) or flag.kind.__name__.upper()
        option = {"action": argparse.BooleanOptionalAction} if flag.kind is bool else {"metavar": kind}
        parser.add_argument(flag.option, help=f"{flag.help}{of}".replace("%", "%%"), **option)
    parser.usage = f"tinygen {command} RUN [flags]; RUN is the folder that tinygen train made"
    parser.epilog = f"tinygen {command} RUN --help: those of its model alone, with their defaults."
    parser.print_help()
    raise SystemExit(0)


def _open(command, argv):
    """The run named by the first word, and its model's module."""
    from tinygen.run.training import Run, read_config

    if argv and argv[0] in ("-h", "--help"):
        _help_of_all(command)
    folder = _subject(command, "RUN", "RUN is the folder that tinygen train made", argv)
    model = read_config(folder)["model"]
    if model not in models():
        raise FlagError(f"{folder}/config.json: {unknown('model', model, models())}")
    module = _module(model)
    if not hasattr(module, FUNCTIONS[command]):
        raise FlagError(f"{model} has no {command}")
    return Run.open(folder, module.Config), module


def _explain(argv) -> int:
    parser = Parser(prog="tinygen explain", description=COMMANDS["explain"])
    parser.add_argument(
        "what", nargs="?", metavar="OP or GRAPH.py", help="softmax, F.gelu, nn.Conv2d, @, or a file"
    )
    parser.add_argument("--seed", type=int, help="of the example's inputs (default 0)")
    parser.add_argument(
        "--of", metavar="NAME", help="GRAPH.py: the variable whose graph it is (default loss, y, …)"
    )
    parser.add_argument(
        "-o", metavar="FILE", help="GRAPH.py: a name in .dot, .png or .svg (default DOT on stdout)"
    )
    parser.add_argument("--traceback", action="store_true", help="GRAPH.py: show all of an error in it")
    given = parser.parse(argv)
    from tinygen.explain.command import explain_graph, explain_named, list_names

    what = given["what"] or ""
    of_graph = {"--of": given["of"], "-o": given["o"], "--traceback": given["traceback"] or None}
    other = of_graph if not what.endswith(".py") else {"--seed": given["seed"]}
    for flag, value in other.items():
        if value is not None:
            raise FlagError(f"{flag}: {'only for a GRAPH.py' if flag != '--seed' else 'not for a GRAPH.py'}")
    if what.endswith(".py"):
        return explain_graph(what, given["of"], given["o"], given["traceback"])
    return explain_named(what, given["seed"] or 0) if what else list_names()


def _bench(argv) -> int:
    from tinygen.benchmarks import command

    parser = Parser(prog="tinygen bench", description=COMMANDS["bench"])
    command.add_arguments(parser)
    given = parser.parse(argv)
    given["device"] = _device(given["device"]).type
    return command.bench(argv, **given)


def _list(argv) -> int:
    Parser(prog="tinygen list", description=COMMANDS["list"]).parse(argv)
    from tinygen.data import DATASETS, TOYS
    from tinygen.kernels.runtime.dispatch import registry
    from tinygen.metrics.evaluator import judged

    kernels = {name: _rungs(**ladders) for name, ladders in registry().items()}
    sections = {
        "models": models(),
        f"data: eval judges images of {', '.join(judged())}": DATASETS | TOYS,
        "kernels: from slow to fast; what host and simulator have is the GPU's, and runs without one": kernels,
    }
    for title, entries in sections.items():
        print(title)
        width = max(map(len, entries), default=0)
        for name, what in entries.items():
            print(f"  {name:<{width}}  {what}")
    return 0


def _rungs(cpu, cuda, host=(), simulator=()) -> str:
    """A kernel's variants by where they run"""
    places = {"cpu": cpu, "cuda": [rung for rung in cuda if rung not in (*host, *simulator)]}
    places |= {"cuda, host": host, "cuda, simulator": simulator}
    return "; ".join(f"{place}: {', '.join(rungs)}" for place, rungs in places.items() if rungs)


def _doctor(argv) -> int:
    Parser(prog="tinygen doctor", description=COMMANDS["doctor"]).parse(argv)
    from tinygen.doctor import report

    for line in report():
        print(visible(line))
    return 0


def _add_device(parser):
    parser.add_argument("--device", default="cpu", metavar="cpu|cuda", help="where to compute (default cpu)")


def _device(name):
    """The device of that name, once it is known that it can be used."""
    from tinygen.engine.devices import CudaError, checked

    if name not in ("cpu", "cuda", "cuda:0"):
        raise FlagError(f"--device: {unknown('device', name, ('cpu', 'cuda'))}")
    try:
        return checked(name)
    except CudaError as e:
        raise FlagError(f"--device: {e}") from None


def _check_picture_path(path, moving):
    """Refuse before the work what would fail after it."""
    if path.suffix.lower() != ".png" and not moving:
        raise FlagError(f"-o: found {path}, expected a name that ends in .png")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise FlagError(f"-o: {path} cannot be written")


def _plain(value):
    """Measures as JSON: numpy scalars as numbers, inf and nan, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
