"""DDPM as a program: its run folder, its samples, its commands."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from support.gpu import gpu
from support.resuming import require_same_bits
from support.small_ddpm import Right, config_of, load, trained
from support.small_gans import blobs

import tinygen as tg
from tinygen import cli
from tinygen.models import ddpm
from tinygen.models.diffusion import denoising
from tinygen.models.diffusion.samplers import Sampling
from tinygen.models.shared import measures
from tinygen.run import checkpoint
from tinygen.run.flags import FlagError, flags_of_function
from tinygen.run.training import Run


@pytest.fixture
def small_data(monkeypatch):
    monkeypatch.setattr(ddpm, "load", load)


@pytest.mark.parametrize("net", ["unet", "dit"])
@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_train_sample_and_pictures(net, data, tmp_path, small_data, capsys):
    run = trained(tmp_path / "run", net=net, data=data, pictures_every=4)
    shape = (3, 32, 32) if data == "cifar10" else (28, 28)
    images = ddpm.sample(run, 5, sampling_steps=3)
    assert images.shape == (5, *shape) and 0 <= images.min() and images.max() <= 1
    np.testing.assert_allclose(ddpm.sample(run, 3, sampling_steps=3), images[:3], atol=1e-5)
    assert np.abs(ddpm.sample(run, 5, seed=1, sampling_steps=3) - images).max() > 1e-3
    names = sorted(p.name for p in (tmp_path / "run" / "samples").iterdir())
    assert names == ["denoising-000004.gif", "denoising-000004.png", "samples-000004.png"]
    assert (tmp_path / "run" / "schedule.png").exists()
    snr = ddpm.schedule_of(run.config).snr[-1]
    assert f"noise schedule linear, T 30: signal to noise at T {snr:.2e}" in capsys.readouterr().err
    assert {"loss", "loss_t1of4", "loss_t4of4"} <= run.metrics()[-1].keys()
    with Image.open(tmp_path / "run" / "samples" / "denoising-000004.gif") as film:
        assert film.n_frames > 1 and max(film.size) >= 600
        film.seek(film.n_frames - 1)
        assert film.info["duration"] == 2000


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"conditional": True, "net": "dit"},
        {"variance": "learned", "predict": "v", "schedule": "cosine"},
        {"loss": "bound", "schedule": "sigmoid", "predict": "x0", "ema": 0.0},
    ],
)
def test_an_interrupted_run_resumes_to_the_same_bits(values, tmp_path, small_data, monkeypatch):
    """Including the average with its warm-up, the schedule of the learning rate and the dropped labels."""
    config = config_of(steps=7, checkpoint_every=3, **values)
    arrays = require_same_bits(ddpm, "ddpm", config, tmp_path, 5, monkeypatch)
    assert any(name.startswith("ema.") for name in arrays)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm-solver++"])
def test_batches_of_samples_do_not_repeat_each_other(sampler, tmp_path, small_data, monkeypatch):
    monkeypatch.setattr(denoising, "ROWS", 2)
    images = ddpm.sample(trained(tmp_path / "run"), 5, sampler=sampler, sampling_steps=3)
    assert images.shape == (5, 28, 28)
    least = lambda images: min(np.abs(a - b).max() for i, a in enumerate(images) for b in images[:i])
    assert least(images) > 1e-3
    if sampler == "ancestral":  # the noise that it adds differs between batches too
        monkeypatch.setattr(denoising.Denoiser, "noise", lambda self, n, *_: tg.zeros(n, *self.shape))
        assert least(ddpm.sample(Run.open(tmp_path / "run", ddpm.Config), 5, sampler=sampler)) > 1e-3


def test_both_devices_train_and_sample_alike(tmp_path, small_data):
    losses, images, bits = {}, {}, {}
    for device in ("cpu", "cuda"):
        with gpu() if device == "cuda" else contextlib.nullcontext():
            run = trained(
                tmp_path / device, device, conditional=True, variance="learned", steps=2, pictures_every=2
            )
            losses[device] = run.metrics()[-1]["loss"]
            drawn = [ddpm.sample(run, 2, sampler="ancestral", sampling_steps=3, guidance=2.0)]
            for flags in {"walk": "spherical"}, {"inpaint": "top"}:
                drawn.append(ddpm.explored(run, 1, sampling_steps=2, **flags).images)
            images[device] = np.concatenate(drawn)
            test = blobs("mnist", n=40).test_images[:5].reshape(5, 1, 28, 28)
            bits[device] = ddpm.bound(ddpm.trained(run), run.config, test)["bits_per_dim"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-4)
    assert bits["cuda"] == pytest.approx(bits["cpu"], rel=1e-3)
    np.testing.assert_allclose(images["cuda"], images["cpu"], atol=1e-3)


def test_averaged_and_raw_parameters_both_draw(tmp_path, small_data):
    run = trained(tmp_path / "run", steps=6, lr=0.01)
    arrays, _ = checkpoint.read(run.path("checkpoint.safetensors"))
    for weights, prefix in {"ema": "ema.average.", "raw": "net."}.items():
        for name, parameter in ddpm.trained(run, weights).named_parameters():
            np.testing.assert_array_equal(parameter.detach().numpy(), arrays[prefix + name])
    assert np.abs(arrays["ema.average.first.weight"] - arrays["net.first.weight"]).max() > 1e-6
    without = trained(tmp_path / "without", ema=0.0)
    assert ddpm.sample(without, 1, sampling_steps=2, weights="raw").shape == (1, 28, 28)
    with pytest.raises(FlagError, match="this run kept no average"):
        ddpm.sample(without, 1)
    with pytest.raises(FlagError, match="--sampler: unknown value 'ddmi'; did you mean 'ddim'"):
        ddpm.sample(without, 1, sampler="ddmi")


def test_labels_and_guidance_of_a_conditional_run(tmp_path, small_data):
    """A label changes the image; guidance 1 is the plain conditional output; guidance 0 ignores the label."""
    run = trained(tmp_path / "run", conditional=True, steps=30, lr=0.01, label_dropout=0.5)
    few = dict(sampling_steps=3)
    one, two = (ddpm.sample(run, 2, label=label, **few) for label in (1, 2))
    assert np.abs(one - two).max() > 1e-3
    ignored = [ddpm.sample(run, 2, label=label, guidance=0.0, **few) for label in (1, 2)]
    np.testing.assert_allclose(ignored[0], ignored[1], atol=1e-5)
    assert np.abs(ddpm.sample(run, 2, label=1, guidance=3.0, **few) - one).max() > 1e-3
    cycle = ddpm.sample(run, 12, **few)
    np.testing.assert_allclose(ddpm.sample(run, 12, label=1, **few)[[1, 11]], cycle[[1, 11]], atol=1e-5)


def test_label_dropout_drops_its_share(tmp_path):
    labels, config = np.zeros(4000, int), config_of(conditional=True, batch=4000, label_dropout=0.2)
    label = ddpm.label_batch(labels, config, tg.random.Generator(0), 0, "cpu").numpy()
    assert set(label.tolist()) == {0, 10} and (label == 10).mean() == pytest.approx(0.2, abs=0.02)


def test_strips_walks_and_completions(tmp_path, small_data):
    run = trained(tmp_path / "run")
    few = dict(sampling_steps=4)
    sheet = ddpm.explored(run, 2, strip=True, **few)
    strip, columns = sheet.images, sheet.columns
    assert columns == denoising.STRIP and strip.shape == (2 * 2 * columns, 28, 28)
    assert (sheet.over[0], sheet.over[-1]) == ("t 30", "t 0") and sheet.beside == ["x_t", "x_0 seen"] * 2
    np.testing.assert_array_equal(strip[columns - 1], strip[2 * columns - 1])  # in the end x_t is x_0
    np.testing.assert_allclose(strip[columns - 1], ddpm.sample(run, 2, **few)[0], atol=1e-5)
    sheet = ddpm.explored(run, 3, inpaint="left", **few)
    columns = sheet.columns
    rows = sheet.images.reshape(3, columns, 28, 28)
    assert sheet.over[:3] == ["original", "masked", "filled in 1"] and len(sheet.over) == columns
    np.testing.assert_allclose(rows[:, 2:, :, 14:], np.repeat(rows[:, :1, :, 14:], columns - 2, 1), atol=1e-6)
    assert (rows[:, 1, :, :14] == 0.5).all()  # grey, because black would look empty
    sheet = ddpm.explored(run, 2, walk="spherical", sampling_steps=30)
    rows = sheet.images.reshape(2, sheet.columns, 28, 28)
    assert (sheet.over[0], sheet.over[-1], len(sheet.over)) == ("from", "to", sheet.columns)
    assert np.abs(np.diff(rows, axis=1)).max((0, 2, 3)).min() > 1e-3


@pytest.mark.parametrize("moments, shown", [(7, 7), (1001, denoising.FILM)])
def test_a_film_is_short_however_many_steps_there_are(moments, shown):
    frames = [
        denoising.Frame(1000 - i, np.full((2, 4, 4), i / 1000), np.full((2, 4, 4), 1.0))
        for i in range(moments)
    ]
    sheets = denoising.animated(frames)
    assert len(sheets) == shown == len({sheet.tobytes() for sheet in sheets})
    first, last = denoising.animated(frames[:1])[0], denoising.animated(frames[-1:])[0]
    np.testing.assert_array_equal(sheets[0], first)
    np.testing.assert_array_equal(sheets[-1], last)


def test_a_walk_starts_and_ends_at_its_images():
    """With a network that knows the only image, the noise that DDIM finds for it leads back to it."""
    config = config_of(noise_levels=1000)
    image = np.random.default_rng(0).uniform(-0.9, 0.9, (1, 1, 28, 28))
    net = Right(image, ddpm.schedule_of(config))
    denoiser = ddpm.denoiser_of(net, config, Sampling())
    sheet = denoising.walks(denoiser, np.repeat(image, 4, axis=0).astype(np.float32), "linear")
    np.testing.assert_allclose(
        sheet.images[:: sheet.columns], np.repeat(denoising.pixels(image), 2, axis=0), atol=1e-3
    )


def test_evaluate(tmp_path, small_data, monkeypatch):
    monkeypatch.setattr(measures, "measured", lambda run, n, draw, data, folder, labels, alone: {
        "images": len(draw()), "labels": None if labels is None else labels.tolist()
    })  # fmt: skip
    run = trained(tmp_path / "run", conditional=True)
    found = ddpm.evaluate(run, samples=12, sampling_steps=2)
    assert found["images"] == found["bound_images"] == 12 and found["labels"] == [*range(10), 0, 1]
    assert (found["sampler"], found["sampling_steps"], found["weights"]) == ("ddim", 2, "ema")
    parts = found["prior_kl"] + found["steps_bits"] + found["reconstruction_bits"]
    assert found["bits_per_dim"] == pytest.approx(parts, rel=1e-6) and found["bits_per_dim_se"] > 0


def test_evaluate_draws_nothing_without_an_evaluator(tmp_path, small_data, monkeypatch, capsys):
    run = trained(tmp_path / "run", data="cifar10")
    monkeypatch.setattr(denoising, "drawn", None)
    found = ddpm.evaluate(run, samples=12)
    for flag, value in {"eta": 2.0, "sampling_steps": 5000, "guidance": 2.0}.items():
        with pytest.raises(FlagError, match=f"--{flag.replace('_', '-')}"):
            ddpm.evaluate(run, samples=12, **{flag: value})
    assert "images" not in found and found["bound_images"] == 12
    assert "cifar10 has no evaluator" in capsys.readouterr().err


# Commands


def test_the_commands(tmp_path, small_data, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = "--steps 2 --batch 4 --width 8 --noise-levels 30 --conditional --net dit".split()
    assert cli.main(["train", "ddpm", "--data", "mnist", "--out", "a", *flags]) == 0

    def told(*argv):
        assert cli.main(list(argv)) == 2
        return capsys.readouterr().err.splitlines()[-1]

    def drawn(*argv):
        assert cli.main(["sample", "a", "--sampling-steps", "3", *argv]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    for asked, name in {
        "-n 4 --label 3 --guidance 2": "sample-guidance2-label3-sampling-steps3-n4-seed0-000002.png",
        "--strip -n 2 --no-clip": "strip-no-clip-sampling-steps3-n2-seed0-000002.png",
        "--inpaint top -n 2 --seed 4": "inpaint-top-sampling-steps3-n2-seed4-000002.png",
        "--walk linear -n 2 --weights raw": "walk-linear-sampling-steps3-weights-raw-n2-seed0-000002.png",
    }.items():
        assert drawn(*asked.split()) == f"a/samples/{name}"
    assert drawn("-n", "2", "-o", "film.gif") == "film.gif"
    with Image.open("film.gif") as film:
        assert film.n_frames == 4

    assert "--sampling-steps: found 31, expected 1 to the 30 noise levels" in told(
        "sample", "a", "--sampling-steps", "31"
    )
    assert "--eta: found 2, expected 0" in told("sample", "a", "--eta", "2")
    assert "--eta: only --sampler ddim has it" in told("sample", "a", "--sampler", "ancestral", "--eta", "1")
    assert "--guidance: not with --walk" in told("sample", "a", "--walk", "linear", "--guidance", "2")
    with monkeypatch.context() as patch:
        patch.setattr(denoising, "drawn", None)  # refused before anything is drawn
        assert "--data: images of cifar10 are 3 x 32 x 32" in told("eval", "a", "--data", "cifar10")
        assert "fd: found 500 images, expected at least 896" in told("eval", "a", "--samples", "500")
    assert "--label: found 10, expected 0 to 9" in told("sample", "a", "--label", "10")
    assert "--walk: needs a sampler that adds no noise" in told(
        "sample", "a", "--walk", "linear", "--eta", "1"
    )
    assert "expected one of them" in told("sample", "a", "--walk", "linear", "--strip")
    assert "--strip: not in x.gif" in told("sample", "a", "--strip", "-o", "x.gif")
    assert "--attribute: ddpm has no latent space" in told("sample", "a", "--attribute", "slant")
    for flags, line in {
        "--label-dropout 2": "--label-dropout: found 2.0, expected 1 or less",
        "--conditional --label-dropout 0": "--label-dropout: found 0, expected more: guidance",
        "--label-dropout 0.2": "--label-dropout: only with --conditional",
        "--width 12": "UNet: width 12 must be a multiple of its 8 groups",
        "--ema 1.5": "--ema: found 1.5, expected 1 or less",
        "--noise-levels 1": "--noise-levels: found 1, expected 2 or more",
        "--noise-levels 20 --schedule linear": "expected less than 1: --noise-levels 21 or more",
    }.items():
        assert line in told("train", "ddpm", "--out", "b", *flags.split())
    assert "found a run of ddpm, expected one of gan" in told("train", "gan", "--out", "a", "--resume")

    assert (
        cli.main(
            ["train", "ddpm", "--data", "mnist", "--out", "c", "--steps", "1", "--batch", "4", "--width", "8"]
        )
        == 0
    )
    assert "--label: this run was trained without labels" in told("sample", "c", "--label", "1")
    assert "--guidance: this run was trained without labels" in told("sample", "c", "--guidance", "2")
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    config["config"]["net"] = "dit"
    (tmp_path / "c" / "config.json").write_text(json.dumps(config))
    assert "checkpoint of another run: found net unet, expected dit" in told("sample", "c")


def test_image_sizes_that_the_network_cannot_halve():
    net = ddpm.build(config_of())
    with pytest.raises(ValueError, match="UNet: found images of 28 x 30, expected multiples of 4"):
        net(tg.zeros(1, 1, 28, 30), tg.ones(1))


def test_every_flag_of_sample_and_eval_is_explained():
    for function in ddpm.sample, ddpm.explored, ddpm.evaluate:
        for flag in flags_of_function(function):
            assert flag.help, flag.name


OTHERS = dict(seed=1, steps=3, batch=4, lr=0.01, net="dit", width=16, noise_levels=40, schedule="cosine")
OTHERS |= dict(predict="v", variance="small", loss="bound", conditional=False, label_dropout=0.5, ema=0.1)
OTHER_WAYS = dict(sampler="ancestral", sampling_steps=7, eta=0.5, guidance=2.0, clip=False, weights="raw")


def test_every_flag_has_an_effect(tmp_path, small_data, monkeypatch):
    """Every field of Config changes the images or the bound of a run, every field of Sampling its images."""
    monkeypatch.setattr(ddpm, "pictures", lambda *given: None)
    monkeypatch.setattr(measures, "measured", lambda *given, **more: {})  # 4 images are too few

    def drawn(name, **values):
        run = trained(tmp_path / name, **{"conditional": True, "lr": 0.1, "batch": 8, "ema": 0.9} | values)
        return run, ddpm.sample(run, 2, sampling_steps=4), ddpm.evaluate(run, samples=4)["bits_per_dim"]

    run, images, bits = drawn("as it is")
    again = drawn("again")
    assert np.array_equal(again[1], images) and again[2] == bits  # so any difference below is due to its flag
    for flag, value in OTHERS.items():
        _, others, other_bits = drawn(flag, **{flag: value})
        assert other_bits != bits or not np.array_equal(others, images), flag
    ways = {
        flag: ddpm.sample(run, 2, **{"sampling_steps": 4, flag: value}) for flag, value in OTHER_WAYS.items()
    }
    assert [flag for flag, others in ways.items() if np.array_equal(others, images)] == []
    plain = {"data", "data_dir", "pictures_every", "checkpoint_every"}  # only about what is read and written
    assert {field.name for field in dataclasses.fields(ddpm.Config)} - plain == OTHERS.keys()
    assert {field.name for field in dataclasses.fields(Sampling)} == OTHER_WAYS.keys()
