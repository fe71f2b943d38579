"""Every flag of every model has a help text."""

import re
from dataclasses import dataclass

import pytest

from tinygen import cli
from tinygen.run.flags import comments, flags_of

MODELS = sorted(cli.models())


@pytest.mark.parametrize("model", MODELS)
def test_every_flag_is_explained_in_words(model):
    module = cli._module(model)
    flags = {"train": flags_of(module.Config)}
    flags |= {
        command: cli._flags_of(command, module)
        for command in cli.FUNCTIONS
        if hasattr(module, cli.FUNCTIONS[command])
    }
    for command, found in flags.items():
        for flag in found:
            words = flag.help.split()
            assert len(words) >= 2 and flag.help[0] not in "(,;" and flag.help[-1] not in ",;(", (
                command,
                flag.name,
            )


@dataclass
class Wrapped:
    """A formatter breaks long lines anywhere"""

    short: int = 1  # of one line
    bare: int = 2
    first: int = (  # at its first line
        3
    )
    middle: tuple = (
        4,
        max(5, 6),  # in the middle
    )
    last: dict[str, int] | None = None  # at the last


def wrapped(
    run,
    *,
    seed: int = 0,  # of one line
    first: int = max(  # at its first line
        3, 4
    ),
    middle: tuple = (
        4,  # in the middle
        5,
    ),
    bare=3,
):
    return seed  # not of a parameter


def test_the_comment_of_a_field_of_several_lines_is_its_help():
    expected = {
        "short": "of one line",
        "first": "at its first line",
        "middle": "in the middle",
        "last": "at the last",
    }
    assert comments(Wrapped) == expected
    found = comments(wrapped)
    assert {name: found.get(name) for name in ("seed", "first", "middle", "bare")} == {
        "seed": "of one line",
        "first": "at its first line",
        "middle": "in the middle",
        "bare": None,
    }


@pytest.mark.parametrize(
    "command, flags",
    [
        ("sample", "--sampler --sampling-steps --eta --guidance --label --walk --strip"),
        ("eval", "--samples --k --data --attribute --sampler"),
    ],
)
def test_help_without_a_run_names_every_flag_and_whose_it_is(command, flags, capsys):
    assert cli.main([command, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert [flag for flag in flags.split() if not re.search(rf" {flag}[ ,]", out)] == []
    assert "sampling method (ddpm)" in out and f"tinygen {command} RUN [flags]" in out
