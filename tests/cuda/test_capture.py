"""A captured step does what the step does, to the bit, for every model; what cannot be captured says so and goes on."""

import importlib

import numpy as np
import pytest
from support import small_gans
from support.gpu import stand_in

import tinygen as tg
from tinygen import nn, optim
from tinygen.kernels.runtime import capture
from tinygen.random import Generator
from tinygen.run import checkpoint
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
    """Small data sets for every model, and no pictures."""

    def load(name, data_dir=None, grey=False):
        return small_gans.blobs(name, n=40)

    for module in "vae", "classifier", "ddpm":
        monkeypatch.setattr(f"tinygen.models.{module}.load", load)
    monkeypatch.setattr("tinygen.data.load", load)
    monkeypatch.setattr("tinygen.models.pacgan.DATA_SIZE", 200)
    for module in (
        "vae",
        "pacgan",
        "ddpm",
        "adversarial.training",
    ):  # the pictures at the end of a run take longer
        monkeypatch.setattr(f"tinygen.models.{module}.pictures", lambda *args: None)


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "which", ["vae", "gan", "dcgan", "wgan", "wgan_gp", "cgan", "classifier", "ddpm", "ddpm, dit"]
)
def test_replayed_cuda_kernels_have_the_bits_of_uncaptured_ones(
    which, host, data, tmp_path, monkeypatch, capsys
):
    """The same with the CUDA C++ kernels themselves, run on the CPU."""
    with stand_in(launches=True) as cupy:
        test_replayed_steps_have_the_bits_of_uncaptured_ones(which, cupy, data, tmp_path, monkeypatch, capsys)


# What cannot be captured


class Small:
    """A network of one layer, its optimizer, and a step."""

    def __init__(self, folder, device="cuda", optimizer=optim.Adam, **options) -> None:
        config = config_of("vae")[2]
        self.run = Run.create("vae", config, folder, device=device, capture=True)
        tg.manual_seed(0)
        self.net = nn.Linear(6, 3).to(device)
        self.optimizer = optimizer(self.net.parameters(), 0.1, **options)
        self.run.track(net=self.net, optimizer=self.optimizer)

    def advance(self, x, scale=1.0):
        loss = (self.net(x).square() * scale).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def weights(self):
        return self.net.weight.detach().cpu().numpy().copy()


def batch(step: int):
    return tg.tensor(Generator(3).at("x", step).normal((5, 6)), device="cuda")


def steps_of(small, step_of, n=STEPS) -> list:
    """The weights after each of n steps; step_of(small, i) does one."""
    found = []
    for i in range(n):
        step_of(small, i)
        found.append(small.weights())
    return found


def refused(tmp_path, capsys, body, reason: str) -> None:
    """body(small, x, i) is not captured, says so in one line, and goes on with the numbers of an uncaptured step."""
    plain, small = (Small(tmp_path / name) for name in ("plain", "captured"))
    expected = steps_of(plain, lambda s, i: body(s, batch(i), i))
    now = [0]
    advance = small.run.captured(lambda x: body(small, x, now[0]))
    found = []
    for now[0] in range(STEPS):
        advance(batch(now[0]))
        found.append(small.weights())
    said = [line for line in capsys.readouterr().err.splitlines() if "not captured" in line]
    assert len(said) == 1 and reason in said[0]
    assert all(map(np.array_equal, found, expected))


def test_a_host_read_is_refused(cupy, tmp_path, capsys):
    def body(small, x, i):
        return small.advance(x).item()

    refused(tmp_path, capsys, body, "synchronous API calls are disallowed")


def test_waiting_is_refused(cupy, tmp_path, capsys):
    def body(small, x, i):
        small.advance(x)
        tg.cuda.synchronize()

    refused(tmp_path, capsys, body, "cudaErrorStreamCaptureUnsupported")


def test_a_host_dependent_argument_is_refused(cupy, tmp_path, capsys):
    """A number that the step takes from the host, not as its argument: the first replay is compared, and differs."""

    def body(small, x, i):
        small.advance(x, scale=1.0 + i)

    refused(tmp_path, capsys, body, "something that changes from step to step is fixed")


def test_memory_of_the_shared_pool_is_refused(cupy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cupy.cuda, "using_allocator", lambda allocator=None: cupy.cuda.Device())
    refused(tmp_path, capsys, lambda small, x, i: small.advance(x), "cudaErrorStreamCapture")


def test_numbers_given_as_arguments_may_change(cupy, tmp_path, monkeypatch):
    plain, small = (Small(tmp_path / name) for name in ("plain", "captured"))
    replays = count_replays(monkeypatch)
    advance = small.run.captured(small.advance)
    for i in range(STEPS):
        for each in plain, small:
            each.optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)
        plain.advance(batch(i), 1.5 + i)
        advance(batch(i), 1.5 + i)
        assert np.array_equal(small.weights(), plain.weights()), i
    assert len(replays) == STEPS - 3


def test_an_option_that_the_graph_has_for_good_is_recorded_anew(cupy, tmp_path, monkeypatch):
    options = {"optimizer": optim.SGD, "momentum": 0.5}
    plain, small = (Small(tmp_path / name, **options) for name in ("plain", "captured"))
    advance = small.run.captured(small.advance)
    for i in range(2 * STEPS):
        for each in plain, small:
            each.optimizer.param_groups[0]["lr"] = 0.1 if i < STEPS else 0.01
        plain.advance(batch(i))
        advance(batch(i))
        assert np.array_equal(small.weights(), plain.weights()), i
    assert advance.recordings == 2 and advance.reason is None


def test_a_batch_of_another_size_is_not_replayed(cupy, tmp_path):
    plain, small = (Small(tmp_path / name) for name in ("plain", "captured"))
    advance = small.run.captured(small.advance)
    for i in range(STEPS + 2):
        x = batch(i)[:3] if i == STEPS - 1 else batch(i)
        plain.advance(x)
        advance(x)
        assert np.array_equal(small.weights(), plain.weights()), i
        assert np.array_equal(small.net.weight.grad.cpu().numpy(), plain.net.weight.grad.cpu().numpy())


def test_a_counter_is_nothing_for_the_host(cupy):
    counter = capture.Counter(None)
    for use in (int, bool, float, lambda c: c + 1, lambda c: c % 2, lambda c: c == 1, lambda c: c < 1):
        with pytest.raises(capture.Refused, match="number of the step"):
            use(counter)


def test_without_a_gpu_the_function_is_itself(tmp_path):
    run = Run.create("vae", config_of("vae")[2], tmp_path / "run", capture=True)
    assert run.captured(len) is len


def test_a_resumed_run_has_the_same_bits(cupy, data, tmp_path, monkeypatch):
    whole = trained("gan", tmp_path / "whole", captured=True, steps=2 * STEPS, checkpoint_every=STEPS)
    trained("gan", tmp_path / "parts", captured=False, steps=STEPS, checkpoint_every=STEPS)
    replays = count_replays(monkeypatch)
    found = trained(
        "gan", tmp_path / "parts", captured=True, resume=True, steps=2 * STEPS, checkpoint_every=STEPS
    )
    assert len(replays) == STEPS - 3
    assert_same(found, whole)
