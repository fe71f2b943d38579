"""The `tinygen` command: train, sample and evaluate models, and show what is available.

    tinygen train vae --steps 1000;  tinygen sample runs/vae-glyphs-001;  tinygen eval runs/vae-glyphs-001

A bad flag, file or folder gives one line on stderr and exit code 2; TINYGEN_DEBUG=1 shows the traceback.
This is the top of the package: it alone imports models and benchmarks, and nothing imports it.
"""

import argparse
import dataclasses
import importlib
import json
import os
import sys
from pathlib import Path

from tinygen.run.flags import (
    FlagError,
    Parser,
    add_flags,
    check_output,
    flags_of,
    flags_of_function,
    make_config,
    named,
    unknown,
)
from tinygen.run.terminal import finish_streams, prepare_streams, say, visible

COMMANDS = {
    "train": "train a model in a new run folder:  tinygen train MODEL [flags]",
    "sample": "draw samples from a trained run:  tinygen sample RUN [-n 64] [-o grid.png]",
    "eval": "evaluate a trained run and print one JSON object:  tinygen eval RUN",
    "bench": "time kernels and training steps, next to PyTorch:  tinygen bench [NAME ...] [--json FILE]",
    "explain": "show an operation from its formula to its kernels, and check it:  tinygen explain OP; or draw a graph",
    "list": "list models, datasets and kernels",
    "doctor": "show what this machine has, and what each missing piece would enable",
}
EXPLORING = {  # flags of `sample` that draw rows instead of a grid, and what a model without them lacks
    "walk": "latent space to walk in",
    "attribute": "latent space to add it in",
    "strip": "steps to show",
    "inpaint": "way to fill images in",
}
FUNCTIONS = {"sample": "sample", "eval": "evaluate"}  # what a command calls in a model's file
ABSENT = {"label": "labels"} | EXPLORING
CAPTURE = "replay each step as one CUDA graph, with --device cuda: a GPU does not wait for Python (the same numbers)"
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
    """The models by name, with the first line of their docstrings."""
    from tinygen.models import papers

    return papers()


def _module(model):
    """The module of a model by its name."""
    known = models()
    if model not in known:
        raise FlagError(unknown("model", model, known))
    return importlib.import_module(f"tinygen.models.{model.replace('-', '_')}")


def _subject(command, what, known, argv):
    """The first word after the command, which the flags depend on."""
    if argv and not argv[0].startswith("-"):
        return argv[0]
    usage = f"usage: tinygen {command} {what} [flags]; {known}"
    if argv and argv[0] in ("-h", "--help"):
        print(f"{usage}\ntinygen {command} {what} --help lists its flags.")
        raise SystemExit(0)
    raise FlagError(f"{command}: name the {what} first; {usage}")


def _train(argv) -> int:
    from tinygen.run.folder import newest, read_config
    from tinygen.run.training import Run

    name = _subject("train", "MODEL", f"models: {', '.join(models()) or 'none'}", argv)
    module = _module(name)
    parser = Parser(prog=f"tinygen train {name}", description=(module.__doc__ or "").split("\n")[0])
    parser.add_argument("--out", help="the run folder (default a new runs/MODEL-DATA-001)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out, or the newest run")
    _add_device(parser)
    parser.add_argument("--capture", action="store_true", help=CAPTURE)
    add_flags(parser, flags_of(module.Config))
    given = parser.parse(argv[1:])
    out, resume, capture = given.pop("out"), given.pop("resume"), given.pop("capture")
    device = _device(given.pop("device"))
    if capture and device.type == "cpu":
        say("--capture does nothing on the CPU; it needs --device cuda")
    if resume and out is None:
        out = newest(name, given.get("data"))
    if resume and os.path.lexists(Path(out, "config.json")):
        read_config(out, name)  # first: the fields of another model would be unknown
        # flags that are not given stay as they were; Run.create refuses changes
        config = dataclasses.replace(Run.open(out, module.Config).config, **given)
    else:
        config = make_config(module.Config, given)
    free = getattr(module, "resumable_changes", lambda config: set())(config)
    run = Run.create(name, config, out, resume=resume, free=free, device=device, capture=capture)
    try:
        module.train(config, run)
    except BaseException:
        run.discard()  # missing data, for example, must not leave a run behind
        raise
    print(visible(run.folder))
    return 0


def _sample(argv) -> int:
    from tinygen.run import pictures
    from tinygen.run.files import replace_file

    run, module, given = _asked_to_sample(argv)
    n, out = given.pop("n"), given.pop("o")
    exploring = given.keys() & EXPLORING.keys()
    moving = out is not None and Path(out).suffix.lower() == ".gif" and hasattr(module, "animation")
    if n is None:
        n = 8 if exploring or moving else 64
    if n < 1:
        raise FlagError(f"-n: found {n}, expected 1 or more")
    if out is not None:
        check_output(out, ".gif" if moving else ".png")
    if moving:
        for name in exploring:
            raise FlagError(f"--{name}: not in {out}; choose a name that ends in .png")
        replace_file(out, [pictures.gif(module.animation(run, n, **given))])
    else:
        png = _picture(run, module, n, given, exploring)
        if out is None:
            kind = next((f"{name}-{given.pop(name)}" for name in exploring), "sample").removesuffix("-True")
            name = named(kind, given | {"n": n, "seed": given.get("seed", 0)}, run.done)
            out = run.write_new(f"samples/{name}.png", png)
        else:
            replace_file(out, [png])
    print(visible(out))
    return 0


def _asked_to_sample(argv):
    """-> the run, its model's module, the flags that were given"""
    run, module = _open("sample", argv)
    flags = _flags_of("sample", module)
    parser = _parser("sample", argv[0], f"Draw samples from a run of {run.model}.")
    add_flags(parser, flags)
    for name in ABSENT.keys() - {flag.name for flag in flags}:
        parser.add_argument(f"--{name}", nargs="?", help=argparse.SUPPRESS, default=argparse.SUPPRESS)
    given = parser.parse(argv[1:])
    run.device = _device(given.pop("device"))
    for name in given.keys() - {flag.name for flag in flags} - {"n", "o"}:
        raise FlagError(f"--{name}: {run.model} has no {ABSENT[name]}")
    return run, module, given


def _picture(run, module, n, given, exploring) -> bytes:
    """The PNG of a grid of samples, of the rows of a walk and the like, or of points in the plane."""
    from tinygen.run import pictures

    drawn = _explored(module)(run, n, **given) if exploring else module.sample(run, n, **given)
    if not exploring and drawn.ndim > 2:
        labels = getattr(module, "labels_drawn", lambda run, n: None)
        drawn = pictures.by_class(drawn, labels(run, n, **{k: given[k] for k in given.keys() & {"label"}}))
    return pictures.png(drawn.drawn()) if isinstance(drawn, pictures.Sheet) else pictures.points(drawn)


def _explored(module):
    """The function that draws `sample --walk` and the like for a model: (run, n, **flags) -> pictures.Sheet."""
    if hasattr(module, "explored") or not hasattr(module, "latent_space"):
        return getattr(module, "explored", None)
    from tinygen.models.latent import explore

    def explored(run, n, **given):
        fixed = {"label": given.pop("label")} if "label" in given else {}
        return explore.explored(module.latent_space(run, **fixed), n, **given)

    return explored


def _eval(argv) -> int:
    from tinygen.run.folder import as_json, json_value

    run, module = _open("eval", argv)
    parser = _parser("eval", argv[0], f"Evaluate a run of {run.model}.")
    add_flags(parser, _flags_of("eval", module))
    given = parser.parse(argv[1:])
    run.device = _device(given.pop("device"))
    kind = "eval"
    if "attribute" in given:
        from tinygen.models.latent import attributes

        kind = f"eval-{given['attribute']}"
        for name in given.keys() - {"attribute", "samples"}:
            raise FlagError(f"--{name.replace('_', '-')}: cannot be combined with --attribute")
        measures = json_value(attributes.attribute_measures(module.latent_space(run), **given))
    else:
        measures = json_value(module.evaluate(run, **given))
    if missing := [name for name, value in measures.items() if value is None]:
        say(f"{run.folder}: {', '.join(missing)}: not a finite number, null in JSON")
    about = {"model": run.model, "data": getattr(run.config, "data", None)} | measures | {"step": run.step}
    first = [name for name in ("model", "data", "split", "images", "step") if about.get(name) is not None]
    result = {name: about[name] for name in first} | measures
    asked = {name: value for name, value in given.items() if name != "attribute"}
    try:
        run.write_json(f"{kind}.json", result)  # the latest result; all of them are kept beside it
        run.write_new(f"{named(kind, asked, run.step)}.json", as_json(result))
    finally:
        # after writing, since the pipe may be closed; but always, since a full disk must not lose the numbers
        print(json.dumps(result))
    return 0


def _flags_of(command, module):
    """The flags that `sample` or `eval` takes for runs of a model."""
    functions = [module.sample if command == "sample" else module.evaluate]
    if hasattr(module, "latent_space"):
        from tinygen.models.latent import attributes, explore

        functions.append(explore.explored if command == "sample" else attributes.attribute_measures)
    if command == "sample" and hasattr(module, "explored"):
        functions.append(module.explored)
    found: dict = {}
    for flag in [flag for function in functions for flag in flags_of_function(function)]:
        found.setdefault(flag.name, flag)
    return list(found.values())


def _parser(command, run, what):
    """The parser of `sample` or `eval`, with the flags that all models share."""
    parser = Parser(prog=f"tinygen {command} {run}", description=what)
    if command == "sample":
        rows = "how many samples (default 64, or 8 rows of a walk or an attribute)"
        parser.add_argument("-n", type=int, help=rows)
        parser.add_argument("-o", metavar="FILE.png", help="output file (default a new file in RUN/samples)")
    _add_device(parser)
    return parser


def _help_of_all(command):
    """`tinygen sample --help` and `eval --help` without a run: every flag, and the models that have it."""
    parser = _parser(command, "RUN", COMMANDS[command].split(":")[0])
    whose: dict = {}
    for model in models():
        module = _module(model)
        for flag in _flags_of(command, module) if hasattr(module, FUNCTIONS[command]) else []:
            whose.setdefault(flag.name, (flag, []))[1].append(model)
    most = max((len(names) for _, names in whose.values()), default=0)
    for flag, names in whose.values():
        only = "" if len(names) == most else f" ({', '.join(names)})"
        kind = "|".join(map(str, flag.choices)) or flag.kind.__name__.upper()
        option = {"action": argparse.BooleanOptionalAction} if flag.kind is bool else {"metavar": kind}
        parser.add_argument(flag.option, help=f"{flag.help}{only}".replace("%", "%%"), **option)
    parser.usage = f"tinygen {command} RUN [flags]; RUN is the folder that tinygen train made"
    parser.epilog = f"tinygen {command} RUN --help shows the flags of its model alone, with their defaults."
    parser.print_help()
    raise SystemExit(0)


def _open(command, argv):
    """The run named by the first word, and its model's module."""
    from tinygen.run.folder import read_config
    from tinygen.run.training import Run

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
    from tinygen.explain import command

    parser = Parser(prog="tinygen explain", description=COMMANDS["explain"])
    command.add_arguments(parser)
    return command.explain(**parser.parse(argv))


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
        f"data: eval measures images of {', '.join(judged())}": DATASETS | TOYS,
        "kernels: from slow to fast; those under host and simulator are GPU kernels that run without a GPU": kernels,
    }
    for title, entries in sections.items():
        print(title)
        width = max(map(len, entries), default=0)
        for name, what in entries.items():
            print(f"  {name:<{width}}  {what}")
    return 0


def _rungs(cpu, cuda, host=(), simulator=()) -> str:
    """A kernel's variants, by where they run"""
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
    parser.add_argument(
        "--device", default="cpu", metavar="cpu|cuda", help="device to compute on (default cpu)"
    )


def _device(name):
    """The device of that name, checked to be usable."""
    from tinygen.engine.devices import CudaError, checked

    if name not in ("cpu", "cuda", "cuda:0"):
        raise FlagError(f"--device: {unknown('device', name, ('cpu', 'cuda'))}")
    try:
        return checked(name)
    except CudaError as e:
        raise FlagError(f"--device: {e}") from None
