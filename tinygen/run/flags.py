"""A dataclass's fields, or a function's keyword-only parameters, as command-line flags and as checked JSON."""

import argparse
import dataclasses
import difflib
import functools
import inspect
import io
import json
import math
import os
import reprlib
import textwrap
import tokenize
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinygen.run.terminal import visible

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 100
KINDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


# the smallest and the largest values of flags that several models have
LOWEST = {
    "steps": 0,
    "batch": 1,
    "latent": 1,
    "kl_warmup": 0,
    "warmup": 0,
    "anneal": 0,
    "lr": 0,
    "samples": 1,
    "k": 1,
    "n": 1,
    "packing": 1,
    "critic_steps": 1,
    "width": 1,
    "depth": 1,
    "ema": 0,
    "eps": 0,
    "lr_ratio": 0,
    "penalty": 0,
    "clip": 0,
    "label_dropout": 0,
}
HIGHEST = {"ema": 1, "label_dropout": 1, "depth": 5}  # 5 strides of 2 leave one pixel of 28 or 32
NAMES: dict[str, dict] = {}  # the names that a flag takes, by flag: tinygen.data enters those of `data`


class FlagError(ValueError):
    """A flag or a field of config.json that is unknown, or a value that it does not take."""


@dataclass(frozen=True)
class Flag:
    """One flag: `kind` is int, float, str, bool or tuple; `item` is the kind of a tuple's items."""

    name: str
    kind: type
    default: object
    help: str = ""
    choices: tuple = ()
    optional: bool = False
    item: type = str

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")


class Checked:
    """A dataclass whose fields are flags: however it is made, it refuses the values that its flags refuse."""

    def __post_init__(self) -> None:
        """Raises FlagError."""
        for flag in flags_of(type(self)):
            try:
                object.__setattr__(self, flag.name, check(flag, getattr(self, flag.name)))
            except FlagError as e:
                raise FlagError(f"{type(self).__name__}: {flag.name}: {e}") from None


@functools.cache
def flags_of(Config) -> tuple[Flag, ...]:
    """The flags of a dataclass: one for each field, with the field's trailing comment as help."""
    hints, helps = typing.get_type_hints(Config), comments(Config)
    flags = []
    for field in dataclasses.fields(Config):
        default = field.default_factory() if callable(field.default_factory) else field.default
        flags.append(_flag(field.name, hints[field.name], default, helps.get(field.name, "")))
    return tuple(flags)


def flags_of_function(function: Callable) -> list[Flag]:
    """The flags of a function: one for each keyword-only parameter, and for `**more: Config` those of Config."""
    hints, helps = typing.get_type_hints(function), comments(function)
    flags = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY:
            flags.append(_flag(p.name, hints.get(p.name, type(p.default)), p.default, helps.get(p.name, "")))
        elif p.kind is p.VAR_KEYWORD:
            flags += flags_of(hints[p.name])
    return flags


def comments(thing) -> dict[str, str]:
    """The trailing comment of each field of a class or parameter of a function, by name.

    If a field takes several lines, the comment may be at the end of any of them.
    """
    try:
        source = textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        return {}
    outer = 0 if inspect.isclass(thing) else 1  # brackets around a field's name, or a parameter's
    name, seen, depth, found = None, 0, 0, {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.NAME and depth <= outer and line > seen:
            name, seen = token.string, line
        elif token.type == tokenize.COMMENT and (line == seen or depth > outer):
            found[name] = token.string.lstrip("# ").strip()
        elif token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
    return found


def _flag(name, hint, default, help) -> Flag:
    members = typing.get_args(hint)
    optional = typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in members
    if optional or hint is type(None):
        hint = next((m for m in members if m is not type(None)), str)
        optional = True
    members, origin = typing.get_args(hint), typing.get_origin(hint) or hint
    choices = members if origin is typing.Literal else ()
    kind = type(choices[0]) if choices else origin
    if kind not in KINDS and kind is not tuple:
        raise TypeError(f"{name}: a flag of type {hint} is not supported")
    return Flag(
        name, kind, default, help, choices, optional, members[0] if kind is tuple and members else str
    )


def add_flags(parser: argparse.ArgumentParser, flags: list[Flag]) -> None:
    """Add flags to `parser`; a flag that is not given leaves no attribute."""
    for flag in flags:
        default = f"default {_text(flag.default)}" if flag.default is not None else "no default"
        help = f"{flag.help} ({default})".strip().replace("%", "%%")
        options: dict = {"dest": flag.name, "default": argparse.SUPPRESS, "help": help}
        if flag.kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = lambda text, flag=flag: from_text(flag, text)
            options["metavar"] = "|".join(map(str, flag.choices)) or flag.kind.__name__.upper()
        parser.add_argument(flag.option, **options)


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


def from_text(flag: Flag, text: str):
    """The value of a flag from its text on the command line.  Raises argparse.ArgumentTypeError."""
    try:
        if flag.optional and text.lower() == "none":
            return None
        if flag.kind is tuple:
            value = tuple(flag.item(part) for part in text.split(",") if part)
        else:
            value = flag.kind(text)
        return check(flag, value)
    except FlagError as e:
        raise argparse.ArgumentTypeError(str(e)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {_expected(flag)}") from None


def check(flag: Flag, value):
    """`value` if the flag takes it, with a list as a tuple and an int as a float if that is the flag's type.

    Raises FlagError.
    """
    if value is None and flag.optional:
        return None
    if hasattr(value, "dtype") and getattr(value, "shape", None) == ():  # NumPy's numbers
        value = value.item()
    if flag.kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if flag.choices and (type(value) is not flag.kind or value not in flag.choices):
        raise FlagError(unknown("value", value, flag.choices))
    if flag.kind is tuple and isinstance(value, list | tuple):
        return tuple(check(dataclasses.replace(flag, kind=flag.item, choices=()), v) for v in value)
    if type(value) is int and abs(value) >= 2**63:
        raise FlagError(f"found {_short(value)}, expected a number of at most 64 bits")
    if flag.kind is float and type(value) is int:
        value = float(value)
    if type(value) is not flag.kind or (flag.kind is float and not math.isfinite(value)):
        raise FlagError(f"found {_short(value)}, expected {_expected(flag)}")
    if flag.kind is str and value not in NAMES.get(flag.name, {value}):
        raise FlagError(unknown(flag.name, value, NAMES[flag.name]))
    low = 1 if flag.name.endswith("_every") else LOWEST.get(flag.name)
    if low is not None and value < low:
        raise FlagError(f"found {value}, expected {low} or more")
    if value > HIGHEST.get(flag.name, value):
        raise FlagError(f"found {value}, expected {HIGHEST[flag.name]} or less")
    return value


def make_config(Config, values: dict):
    """Build `Config` from the values of config.json or of flags; missing ones take their defaults.

    Raises FlagError for a name that `Config` does not have and for a value that it does not take.
    """
    flags = {flag.name: flag for flag in flags_of(Config)}
    checked = {}
    for name, value in values.items():
        if name not in flags:
            raise FlagError(unknown("field", name, flags))
        try:
            checked[name] = check(flags[name], value)
        except FlagError as e:
            raise FlagError(f"{flags[name].option}: {e}") from None
    return Config(**checked)


def to_json(config) -> dict:
    """A config as JSON, as `make_config` reads it: tuples are lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def unknown(what: str, name, known) -> str:
    """One line about a name that is not among `known`, with the closest name that is."""
    name, known = name if isinstance(name, str) else _short(name), [str(k) for k in known]
    close = difflib.get_close_matches(name[:100], known, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown {what} {_short(name)}; {hint}known: {', '.join(known) or 'none'}"


def _expected(flag):
    if flag.choices:
        return "one of " + ", ".join(map(str, flag.choices))
    kind = KINDS.get(flag.kind) or f"values like {_text(flag.default) if flag.default else '1,2'}"
    return kind + (" or none" if flag.optional else "")


def _short(value) -> str:
    """A value in a few words, since a file may hold anything."""
    try:
        return SHORT.repr(value)
    except ValueError:  # an int of thousands of digits
        return "a number of thousands of digits"


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def check_output(path, *endings: str) -> None:
    """Refuse a file for `-o` that could not be written, before the work is done.  Raises FlagError."""
    path = Path(path)
    if path.suffix.lower() not in endings:
        expected = " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))
        raise FlagError(f"-o: found {path}, expected a name that ends in {expected}")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise FlagError(f"-o: {path} cannot be written")


def named(kind: str, given: dict, step: int) -> str:
    """A file name that tells which flags were given: KIND-label7-eta0.5-n16-seed0-000020"""
    last = [name for name in ("n", "seed") if name in given]
    words = [kind]
    for name in [*sorted(given.keys() - {*last, "data_dir"}), *last]:
        option, value = name.replace("_", "-"), given[name]
        if isinstance(value, bool):
            words.append(option if value else f"no-{option}")
        else:
            words.append(f"{option}-{value}" if isinstance(value, str) else f"{option}{value:g}")
    return "-".join([*words, f"{step:06d}"])
