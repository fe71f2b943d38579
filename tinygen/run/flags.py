"""A dataclass's fields, or a function's keyword-only parameters, as flags and as checked JSON."""

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

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 100
KINDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


class FlagError(ValueError):
    """A flag or a field of config.json that is unknown, or whose value is not one it takes."""


@dataclass(frozen=True)
class Flag:
    """One field: `kind` is int, float, str, bool or tuple; `item` the kind of a tuple's items."""

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
    """A dataclass whose fields are flags: what its flags refuse it refuses too, however it is made."""

    def __post_init__(self) -> None:
        """Raises FlagError."""
        for flag in flags_of(type(self)):
            try:
                object.__setattr__(self, flag.name, check(flag, getattr(self, flag.name)))
            except FlagError as e:
                raise FlagError(f"{type(self).__name__}: {flag.name}: {e}") from None


@functools.cache
def flags_of(Config) -> tuple[Flag, ...]:
    """The flags of a dataclass: every field, its trailing comment as help."""
    hints, helps = typing.get_type_hints(Config), comments(Config)
    flags = []
    for field in dataclasses.fields(Config):
        default = field.default_factory() if callable(field.default_factory) else field.default
        flags.append(_flag(field.name, hints[field.name], default, helps.get(field.name, "")))
    return tuple(flags)


def flags_of_function(function: Callable) -> list[Flag]:
    """The flags of a function: every keyword-only parameter; of `**more: Config`, the flags of Config."""
    hints, helps = typing.get_type_hints(function), comments(function)
    flags = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY:
            flags.append(_flag(p.name, hints.get(p.name, type(p.default)), p.default, helps.get(p.name, "")))
        elif p.kind is p.VAR_KEYWORD:
            flags += flags_of(hints[p.name])
    return flags


def comments(thing) -> dict[str, str]:
    """The comment at the end of each field of a class or parameter of a function, under its name.

    Of what takes several lines the comment may stand at the end of any.
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
    """Add them to `parser`; a flag that is not given leaves no attribute."""
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


def from_text(flag: Flag, text: str):
    """The value that `text` on a command line stands for.  Raises argparse.ArgumentTypeError."""
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
    """`value` if the flag takes it, a list as a tuple and an int as a float where those are meant."""
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
    if flag.name == "data" and flag.kind is str:
        _check_data(value)
    low = 1 if flag.name.endswith("_every") else LOWEST.get(flag.name)
    if low is not None and value < low:
        raise FlagError(f"found {value}, expected {low} or more")
    if value > HIGHEST.get(flag.name, value):
        raise FlagError(f"found {value}, expected {HIGHEST[flag.name]} or less")
    return value


def _check_data(name):
    from tinygen.data import DATASETS, TOYS

    if name not in DATASETS | TOYS:
        raise FlagError(unknown("data", name, DATASETS | TOYS))


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
}  # the common ones
HIGHEST = {"ema": 1, "label_dropout": 1, "depth": 5}  # 5 strides of 2 leave one pixel of 28 or 32


def make_config(Config, values: dict):
    """Build `Config` from values of config.json or of flags; what is missing takes its default.

    Raises FlagError for a name that `Config` does not have and a value it does not take.
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
    """A config as the JSON it comes back from: tuples as lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def unknown(what: str, name, known) -> str:
    """One line for a name that is not among `known`, with the closest one that is."""
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
    """A value in few words: a file may hold anything."""
    try:
        return SHORT.repr(value)
    except ValueError:  # an int of thousands of digits
        return "a number of thousands of digits"


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
