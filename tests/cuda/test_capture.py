"""A captured step does what the step does: the same bits for every model; what cannot be captured says so and goes on."""

import importlib
import itertools

import numpy as np
import pytest
from support import small_ddpm, small_gans
from support.gpu import stand_in

import tinygen as tg
from tinygen import nn, optim
from tinygen.kernels.runtime import capture
from tinygen.random import Generator
from tinygen.run import checkpoint
from tinygen.run.captured import Captured
from tinygen.run.flags import make_config
from tinygen.run.training import Run

STEPS = 7  # three plain ones, the recorded one, the checked one, two replays
SMALL = {"steps": STEPS, "batch": 4, "pictures_every": 100, "checkpoint_every": 100}
MODELS = {
    "vae": {"kl_warmup": 6},
    "gan": {"latent": 4, "warmup": 5},
    "gan, least squares": {"latent": 4, "loss": "least_squares", "ema": 0.0},
    "dcgan": {"latent": 4, "width": 4},
    "dcgan, spectral": {"latent": 4, "width": 4, "norm": "spectral"},
    "wgan": {"latent": 4, "critic_steps": 2},
    "wgan_gp": {"latent": 4, "critic_steps": 2},
    "cgan": {"latent": 4},
    "pacgan": {},
    "classifier": {},
    "ddpm": {"width": 8, "noise_levels": 30},
    "ddpm, dit": {"width": 8, "noise_levels": 30, "net": "dit"},
    "ddpm, learned": {"width": 8, "noise_levels": 30, "net": "dit", "variance": "learned", "predict": "v"},
    "ddpm, labels": {"width": 8, "noise_levels": 30, "net": "dit", "conditional": True, "label_dropout": 0.5},
}


@pytest.fixture(params=["counted"])
def cupy(request):
    with stand_in(request.param) as module:
        yield module


@pytest.fixture
def data(monkeypatch):
    """Small data sets for every model."""

    def load(name, data_dir=None, grey=False):
        return small_gans.blobs(name, n=40)

    for module in "vae", "classifier", "ddpm":
        monkeypatch.setattr(f"tinygen.models.{module}.load", load)
    monkeypatch.setattr("tinygen.data.load", load)
    monkeypatch.setattr("tinygen.models.pacgan.DATA_SIZE", 200)


def config_of(which: str, **more):
    name = which.split(",")[0]
    module = importlib.import_module(f"tinygen.models.{name}")
    known = {field for field in module.Config.__dataclass_fields__}
    values = {k: v for k, v in (SMALL | MODELS[which] | more).items() if k in known}
    return module, name.replace("_", "-"), make_config(module.Config, values)


def trained(which: str, folder, captured: bool, resume=False, **more):
    """What the checkpoint of a short run holds, its numbers but for the seconds, and its log."""
    module, name, config = config_of(which, **more)
    free = module.resumable_changes(config) if hasattr(module, "resumable_changes") else set()
    run = Run.create(name, config, folder, device="cuda", capture=captured, resume=resume, free=free)
    module.train(config, run)
    arrays, meta = checkpoint.read(run.folder / "checkpoint.safetensors")
    meta = {key: value for key, value in meta.items() if key not in ("seconds", "config")}
    return arrays, meta, [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]


def assert_same(found, expected) -> None:
    assert found[1:] == expected[1:]
    assert found[0].keys() == expected[0].keys()
    for name, array in expected[0].items():
        assert np.array_equal(found[0][name], array, equal_nan=True), name


def count_replays(monkeypatch) -> list:
    from tinygen.kernels.capture.recorder import Recorder

    replays, relaunch = [], Recorder.relaunch
    monkeypatch.setattr(Recorder, "relaunch", lambda self: (replays.append(self), relaunch(self))[1])
    return replays


@pytest.mark.parametrize("which", MODELS)
def test_replayed_steps_have_the_bits_of_uncaptured_ones(which, cupy, data, tmp_path, monkeypatch, capsys):
    expected = trained(which, tmp_path / "plain", captured=False)
    replays = count_replays(monkeypatch)
    found = trained(which, tmp_path / "captured", captured=True)
    assert "not captured" not in capsys.readouterr().err
    assert len(replays) >= STEPS - 3
    assert_same(found, expected)
