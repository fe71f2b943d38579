"""A field of a Config refuses what its flag refuses: for every model, every field, however the Config is made."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tinygen import cli
from tinygen.models.diffusion import samplers
from tinygen.run.flags import Checked, FlagError, flags_of, from_text, make_config

MODELS = {name: cli._module(name) for name in cli.models()}
CONFIGS = [module.Config for module in MODELS.values()] + [samplers.Sampling]
FIELDS = [(Config, flag) for Config in CONFIGS for flag in flags_of(Config)]
ANYTHING = [
    None,
    True,
    -1,
    -0.5,
    0,
    2,
    2**63,
    10**5000,
    0.5,
    1e400,
    float("nan"),
    "",
    "foo",
    "linear",
    "mnist",
]
ANYTHING += [
    b"unet",
    [],
    (1, 2),
    {},
    {"a": 1},
    object(),
    np.float32(0.5),
    np.int64(2),
    np.zeros(2),
    Path("x"),
]


def taken(make):
    """Whether a value is accepted; no other error may be raised."""
    try:
        make()
        return True
    except FlagError as e:
        assert "\n" not in str(e)
        return False


@pytest.mark.parametrize("Config, flag", FIELDS, ids=[f"{c.__module__}.{f.name}" for c, f in FIELDS])
def test_a_config_refuses_what_the_flag_refuses(Config, flag):
    assert issubclass(Config, Checked)
    refused = 0
    for value in ANYTHING:
        direct = taken(lambda: Config(**{flag.name: value}))
        assert direct == taken(lambda: make_config(Config, {flag.name: value})), value
        assert direct == taken(lambda: dataclasses.replace(Config(), **{flag.name: value})), value
        if (
            type(value) in (int, float, str)
            and flag.kind in (type(value), float)
            and value not in ("", 10**5000)
        ):
            try:
                from_text(flag, str(value))
                assert direct, value
            except Exception:
                assert not direct, value
        refused += not direct
    assert refused > 3
    assert flag.default is None or taken(lambda: Config(**{flag.name: flag.default}))


def test_what_it_says():
    vae, gan, ddpm = (MODELS[name].Config for name in ("vae", "gan", "ddpm"))
    for make, words in [
        (lambda: vae(net="foo"), "Config: net: unknown value 'foo'; known: seed, iwae"),
        (lambda: vae(data="minst"), "Config: data: unknown data 'minst'; did you mean 'mnist'? known: "),
        (lambda: vae(steps=-1), "Config: steps: found -1, expected 0 or more"),
        (lambda: vae(lr="fast"), "Config: lr: found 'fast', expected a number"),
        (lambda: gan(recipe="tought"), "Config: recipe: unknown value 'tought'; did you mean 'taught'?"),
        (lambda: ddpm(ema=1.5), "Config: ema: found 1.5, expected 1 or less"),
        (lambda: dataclasses.replace(vae(), batch=0), "Config: batch: found 0, expected 1 or more"),
    ]:
        with pytest.raises(FlagError) as e:
            make()
        assert str(e.value).startswith(words)


def test_values_become_those_of_the_flags():
    config = MODELS["vae"].Config(steps=np.int64(5), lr=1, data_dir=Path("x"))
    assert (config.steps, config.lr, config.data_dir) == (5, 1.0, "x")
    assert [type(v) for v in (config.steps, config.lr, config.data_dir)] == [int, float, str]


@pytest.mark.parametrize("name", MODELS)
def test_a_training_of_no_steps(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", name, "--steps", "0", "--out", "run"]) == 0
    assert "holds step 0 of 0, nothing left to do" in capfd.readouterr().err
