"""The GAN papers as programs: runs that resume, devices, flags, measures, errors; one step of the seed programs."""

import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from support.gpu import gpu
from support.resuming import require_same_bits
from support.small_gans import MODELS, blobs, command, small_config, trained

import tinygen as tg
from tinygen import cli, data, nn, optim
from tinygen.benchmarks.tables.finished_run import finished_run
from tinygen.metrics import MetricError
from tinygen.models import cgan, dcgan, gan, wgan_gp
from tinygen.models.adversarial import training
from tinygen.models.adversarial.trained import drawn, settled
from tinygen.models.adversarial.watch import Watch
from tinygen.models.networks.dcgan import sides
from tinygen.models.shared import measures
from tinygen.models.shared.images import real_batch
from tinygen.run import checkpoint
from tinygen.run.flags import FlagError, make_config
from tinygen.run.training import Run, RunError

BY_RATIO = ["minimax", "non_saturating", "least_squares", "hinge"]


@pytest.mark.parametrize("model", MODELS)
def test_train_and_sample(model, tmp_path, small_data):
    module, run = trained(model, tmp_path / "run", pictures_every=6)
    images = module.sample(run, 5)
    assert images.shape == (5, 28, 28) and 0 <= images.min() and images.max() <= 1
    np.testing.assert_allclose(module.sample(run, 3), images[:3], atol=1e-6)
    assert np.abs(module.sample(run, 5, seed=1) - images).max() > 1e-3
    assert [p.name for p in (tmp_path / "run" / "samples").iterdir()] == ["samples-000006.png"]
    line = run.metrics()[-1]
    assert {"loss", "loss_g"} <= line.keys()
    assert cli.models()[command(model)]


@pytest.mark.parametrize("model", MODELS)
def test_an_interrupted_run_resumes_to_the_same_bits(model, tmp_path, small_data, monkeypatch):
    """Interrupted in step 23 of 30; the watch looks before and after.  Average and watch are part of the checkpoint."""
    # a warning before the interruption, which must be kept, or one after it that needs the looks from before
    monkeypatch.setattr(Watch, "MEMORY", 3 if model == "gan" else 2)
    monkeypatch.setattr(Watch, "COLLAPSED", 10.0)
    values = {"steps": 30, "checkpoint_every": 11}
    if model == "gan":
        values |= {"anneal": 5, "batch": 60}  # epochs of 6 steps; one ends at step 24
    module, config = small_config(model, **values)
    arrays = require_same_bits(module, command(model), config, tmp_path, 23, monkeypatch)
    assert any(name.startswith("ema.") for name in arrays)
    warnings = [(tmp_path / name / "warnings.json").read_text() for name in ("stopped", "whole")]
    assert warnings[0] == warnings[1] and json.loads(warnings[0])[0]["kind"] == "generator-collapsed"


@pytest.mark.parametrize("model", MODELS)
def test_both_devices_train_alike(model, tmp_path, small_data):
    losses, images = {}, {}
    for device in ("cpu", "cuda"):
        with gpu() if device == "cuda" else contextlib.nullcontext():
            module, run = trained(model, tmp_path / device, device, steps=3, pictures_every=3)
            losses[device] = [run.metrics()[-1][name] for name in ("loss", "loss_g")]
            images[device] = module.sample(run, 2)
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-4)
    np.testing.assert_allclose(images["cuda"], images["cpu"], atol=1e-3)


@pytest.mark.parametrize("loss", BY_RATIO)
@pytest.mark.parametrize("model, packing", [("gan", 1), ("gan", 2), ("dcgan", 2), ("cgan", None)])
def test_losses_and_packing_by_flag(model, packing, loss, tmp_path, small_data):
    more = {"packing": packing} if packing else {}
    _, run = trained(model, tmp_path / "run", loss=loss, steps=2, **more)
    assert np.isfinite(run.metrics()[-1]["loss"])


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_norms_of_the_convolutional_discriminator(norm, tmp_path, small_data):
    module, run = trained("dcgan", tmp_path / "run", norm=norm, steps=2)
    assert module.sample(run, 2).shape == (2, 28, 28)  # the reloaded networks miss no state
    names = dcgan.Discriminator(norm=norm).state_dict().keys()
    assert any(n.endswith("weight_orig") for n in names) == (norm == "spectral")
    assert any(n.endswith("running_mean") for n in names) == (norm == "batch")


def test_spectral_norm_holds_the_largest_singular_value_at_one():
    net = dcgan.Discriminator(width=4, norm="spectral")
    for _ in range(200):
        net(tg.zeros(1, 1, 28, 28))
    for layer in net.model:
        if isinstance(layer, nn.Conv2d):
            matrix = layer.weight.detach().numpy().reshape(layer.weight.shape[0], -1)
            assert np.linalg.svd(matrix)[1][0] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("size, depth", [(28, 1), (28, 2), (28, 3), (32, 2), (32, 3), (28, 4)])
def test_strides_of_the_convolutional_networks(size, depth):
    generator, discriminator = (
        dcgan.Generator(5, 2, 3, size, depth),
        dcgan.Discriminator(2, 3, size, depth=depth),
    )
    images = generator(tg.randn(2, 5))
    assert images.shape == (2, 3, size, size) and discriminator(images).shape == (2,)
    assert sides(28, 3) == [28, 14, 7, 4] and sides(32, 3) == [32, 16, 8, 4]


def test_colour_images_of_32_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, d=None, grey=False: blobs(name, 40, (3, 32, 32)))
    for model, more in ("dcgan", {}), ("wgan", {"net": "conv"}), ("wgan_gp", {"net": "conv"}):
        module, run = trained(model, tmp_path / model, data="cifar10", steps=1, batch=4, **more)
        assert module.sample(run, 2).shape == (2, 3, 32, 32)


def test_a_resumed_run_may_be_longer(tmp_path, small_data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = "--batch 8 --latent 4 --out run".split()
    assert cli.main(["train", "gan", "--steps", "2", *flags]) == 0
    assert cli.main(["train", "gan", "--steps", "4", "--resume", *flags]) == 0
    assert Run.open("run", gan.Config).metrics()[-1]["step"] == 4


# The seed programs


def test_the_seeds_recipe_trains_as_the_seed_program_does(tmp_path, small_data, monkeypatch):
    """The losses of two epochs of two steps are those of their networks and loop, run by PyTorch from our weights,
    images and noise.

    Their learning rates fall along a cosine of 100 epochs; here it has two, so that the second has half the rate.  The
    warm-up is recommended in their text and not in their program.
    """
    torch = pytest.importorskip("torch")
    from test_seeds import SEEDS, block

    if not SEEDS.is_dir():
        pytest.skip("the seed texts are not beside this checkout")
    config = gan.Config(recipe="seed", steps=4, batch=len(blobs().train_images) // 2, anneal=2, warmup=0)
    assert (config.eps, config.ema) == (0.8, 0)
    logged = []
    monkeypatch.setattr(Run, "log", lambda run, **given: logged.append(given))
    gan.train(config, Run.create("gan", config, tmp_path / "run"))
    ours = [(d["loss"].item() / 2, d["loss_g"].item()) for d in logged if "loss" in d]

    names, theirs = {"np": np}, []
    exec(block("001", "adversarial_loss = nn.BCELoss()"), names)
    for net, name in zip(gan.build(config), ("generator", "discriminator")):
        state = {k: torch.tensor(v.numpy()) for k, v in net.state_dict().items()}
        names[name].load_state_dict(state)
    images = blobs().train_images[:, None]
    batches = [real_batch(images, config, i, None).numpy() for i in range(4)]
    draws = iter([tg.random.Generator(0).at("z", i).normal((config.batch, 100)) for i in range(4)])
    monkeypatch.setattr(torch, "randn", lambda *size: torch.tensor(next(draws)))
    epochs = iter([batches[:2], batches[2:]])

    class Loader:
        def __iter__(self):
            return iter([torch.tensor(b) for b in next(epochs)])

    names.update(dataloader=Loader(), num_epochs=2, batch_size=config.batch, latent_dim=100)
    loop = block("001", "for epoch in range(num_epochs):")
    assert loop.count(f"T_max={gan.Config(recipe='seed').anneal})") == 2
    loop = loop.replace("T_max=100", "T_max=2")
    names["note"] = lambda *losses: theirs.append(tuple(loss.item() for loss in losses))
    exec(
        loop.replace("        optimizer_G.step()\n", "        optimizer_G.step(); note(d_loss, g_loss)\n"),
        names,
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


# Conditional GAN


def test_labels_reach_both_networks():
    tg.manual_seed(0)
    generator, discriminator = cgan.Generator(4).eval(), cgan.Discriminator()
    z, x = tg.randn(1, 4).expand(10, 4), tg.randn(1, 1, 28, 28).expand(10, 1, 28, 28)
    for out in generator(z, tg.arange(10)).flatten(1).sum(1), discriminator(x, tg.arange(10)):
        assert len(np.unique(out.detach().numpy().round(6))) == 10


def test_a_conditional_gan_learns_what_its_labels_mean(tmp_path, small_data):
    """The place of the bright squares depends on the label: 300 steps move them there, roughly."""
    module, run = trained("cgan", tmp_path / "run", steps=300, batch=32, lr=1e-3, ema=0.9)
    images = np.stack([module.sample(run, 20, label=label).mean(0) for label in range(10)])
    rows = (images[:, :, 8:20].mean(2) - 0.15).clip(0)
    places = (rows * np.arange(28)).sum(1) / rows.sum(1)
    assert np.corrcoef(places, np.arange(10))[0, 1] > 0.9 and places[9] - places[0] > 4


# Measures


def stand_in_measures(monkeypatch):
    """An evaluator that sees the digit 3 everywhere, and one known measure."""
    threes = np.eye(10)[3]
    monkeypatch.setattr(measures, "load_evaluator", lambda name: None)
    monkeypatch.setattr(measures, "features_and_logits", lambda net, x: (None, np.tile(threes, (len(x), 1))))
    monkeypatch.setattr(measures, "image_measures", lambda images, name, d: {"fd": float(len(images))})
    monkeypatch.setattr(measures, "expect_enough", lambda images, features: None)


@pytest.mark.parametrize("model", MODELS)
def test_evaluate(model, tmp_path, small_data, monkeypatch):
    stand_in_measures(monkeypatch)
    module, run = trained(model, tmp_path / "run", steps=1)
    found = module.evaluate(run, samples=20)
    assert (found["data"], found["images"], found["fd"]) == ("glyphs", 20, 20.0)
    if model == "cgan":
        assert found["accuracy"] == 0.1  # labels are asked for one after the other
    if model == "wgan_gp":
        assert found["grad_norm"] == pytest.approx(wgan_gp.mean_slope(run, 20))


@pytest.mark.parametrize("model", MODELS)
def test_measuring_in_training_does_not_change_the_training(model, tmp_path, small_data, monkeypatch):
    seen = []

    def quick_measures(images, name, data_dir):
        seen.append(images)
        return {"fd": 3.0, "inception_score": float(len(seen))}

    monkeypatch.setattr(training, "load_evaluator", lambda name: None)
    monkeypatch.setattr(training, "quick_measures", quick_measures)
    monkeypatch.setattr(training, "MEASURED", 20)
    module, run = trained(model, tmp_path / "run", measure_every=3)
    assert len(seen) == 2 and run.metrics()[-1]["inception_score"] == 1.5
    trained(model, tmp_path / "plain")
    arrays, expected = (
        checkpoint.read(tmp_path / name / "checkpoint.safetensors") for name in ("run", "plain")
    )
    assert arrays[0].keys() == expected[0].keys() and arrays[1]["random"] == expected[1]["random"]
    for name, array in arrays[0].items():
        assert array.tobytes() == expected[0][name].tobytes(), name

    if model.startswith("wgan"):  # the critic's loss is about the generator with its current weights
        generator = module.build(run.config)[0]
        run.load(generator=generator)
        images = drawn(settled(generator), 20, 0)
    else:
        images = module.sample(run, 20)
    np.testing.assert_array_equal(seen[-1], images)


def test_data_without_an_evaluator(tmp_path, small_data, monkeypatch, capsys):
    """An error if nothing would be measured; wgan-gp still measures the critic's slope."""

    def missing(name):
        raise MetricError(f"{name} has no evaluator")

    monkeypatch.setattr(measures, "load_evaluator", missing)
    module, run = trained("gan", tmp_path / "gan", steps=1)
    with pytest.raises(MetricError, match="glyphs has no evaluator"):
        module.evaluate(run, samples=3)
    assert cli.main(["eval", str(run.folder), "--samples", "3"]) == 2
    assert not run.path("eval.json").exists() and not capsys.readouterr().out
    module, run = trained("wgan_gp", tmp_path / "wgan_gp", steps=1)
    assert module.evaluate(run, samples=3).keys() == {"data", "split", "grad_norm"}
    assert "glyphs has no evaluator" in capsys.readouterr().err.splitlines()[-1]


# Errors, in one line


def test_bad_input(tmp_path, monkeypatch, capsys, small_data):
    monkeypatch.chdir(tmp_path)

    def told(*argv, code=2):
        assert cli.main(list(argv)) == code
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert len(line) < 250
        return line

    assert "--packing: 3 does not divide the batch of 64" in told("train", "gan", "--packing", "3")
    assert "--latent: found 0, expected 1 or more" in told("train", "gan", "--latent", "0")
    assert "--batch: found 1, expected 2 or more" in told("train", "dcgan", "--batch", "1")
    assert "--critic-steps: found 0, expected 1 or more" in told("train", "wgan", "--critic-steps", "0")
    for model in MODELS:  # before the first step, not at the first measurement
        flags = "--data", "cifar10", "--measure-every", "9"
        assert "cifar10 has no evaluator" in told("train", command(model), *flags)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for model in ("vae", "gan", "cgan", "wgan", "wgan-gp"):
        line = told("train", model, "--data", "cifar10")
        assert "images of cifar10 are 3 x 32 x 32, this network takes 28 x 28 in grey" in line
    assert "no dataset of images 'ring8'" in told("train", "dcgan", "--data", "ring8")
    monkeypatch.setattr(data, "load", lambda name, d=None, grey=False: blobs(name, labels=False))
    assert "mnist: has no labels, which cgan needs" in told("train", "cgan", "--data", "mnist")
    monkeypatch.setattr(data, "load", lambda name, d=None, grey=False: blobs(name))
    flags = ["--batch", "8", "--steps", "1", "--latent", "4"]
    assert cli.main(["train", "gan", "--out", "a", *flags]) == 0
    assert cli.main(["train", "cgan", "--out", "c", *flags]) == 0
    capsys.readouterr()
    for run in "a", "c":
        for more, says in [
            (
                ["--data", "cifar10"],
                "--data: images of cifar10 are 3 x 32 x 32, those of this run 1 x 28 x 28",
            ),
            (
                ["--data", "ring8"],
                "ring8 has no evaluator, which the measures of images need; there is one for",
            ),
            (
                ["--data", "mnist"],
                "fd: found 50 images, expected at least 896: 7 for each of 128 features",
            ),
        ]:
            assert told("eval", run, "--samples", "50", *more).startswith(f"tinygen: error: {says}")
    assert not Path("a/eval.json").exists()
    assert "nowhere: no such run folder" in told("eval", "nowhere")
    assert "--label: found 10, expected 0 to 9" in told("sample", "c", "--label", "10")
    assert "--label: gan has no labels" in told("sample", "a", "--label", "1")
    assert "found a run of gan, expected one of dcgan" in told(
        "train", "dcgan", "--out", "a", "--resume", *flags
    )
    with pytest.raises(RunError, match="found a run of gan, expected one of cgan"):
        Run.create("cgan", cgan.Config(), "a", resume=True)


def test_rates_grow_and_fall():
    """Linearly in the first 4 steps; then a cosine of 10 epochs of 3 steps, constant within an epoch; then up again."""
    factors = [gan.lr_factor(step, 3, gan.Config(warmup=4, anneal=10)) for step in range(45)]
    np.testing.assert_allclose(factors[:3], [0.25, 0.5, 0.75])
    heights = (1 + np.cos(np.pi * np.arange(15) / 10)) / 2
    np.testing.assert_allclose(factors[3:], np.repeat(heights, 3)[3:], atol=1e-12)
    assert {gan.lr_factor(step, 3, gan.Config()) for step in range(30)} == {1.0}


def test_both_players_train_at_these_rates(tmp_path, small_data, monkeypatch):
    """7 steps with 150 of the 400 images each, so that an epoch has 2 steps."""
    rates, step = [], optim.Adam.step
    monkeypatch.setattr(optim.Adam, "step", lambda o: (rates.append(o.param_groups[0]["lr"]), step(o))[1])
    values = dict(steps=7, batch=150, warmup=5, anneal=2, lr=0.1, lr_ratio=3.0)
    trained("gan", tmp_path / "run", **values)
    expected = np.array([0.2, 0.4, 0.6 / 2, 0.8 / 2, 0, 0, 1 / 2])
    np.testing.assert_allclose(rates[1::2], 0.1 * expected, atol=1e-12)  # the discriminator steps first
    np.testing.assert_allclose(rates[::2], 0.3 * expected, atol=1e-12)


def test_a_run_older_than_a_flag_of_its_recipe_is_not_resumed(tmp_path, small_data):
    """It had no warm-up, but its recipe now has one: it would continue as a different run."""
    for recipe in "seed", "taught":
        trained("gan", tmp_path / recipe, steps=2, recipe=recipe)
        path = tmp_path / recipe / "config.json"
        held = json.loads(path.read_text())
        del held["config"]["warmup"], held["config"]["anneal"]
        path.write_text(json.dumps(held))
    module, config = small_config("gan", steps=2, recipe="seed")
    refused = "seed: made before --warmup existed, which is now 500; start a new run"
    with pytest.raises(RunError, match=refused):
        Run.create("gan", config, tmp_path / "seed", resume=True)
    with pytest.raises(RunError, match=refused):
        finished_run(tmp_path / "seed", "gan --recipe seed")
    assert "warmup" not in json.loads((tmp_path / "seed" / "config.json").read_text())["config"]
    module, config = small_config("gan", steps=3)
    module.train(config, Run.create("gan", config, tmp_path / "taught", resume=True, free={"steps"}))
    assert Run.open(tmp_path / "taught", gan.Config).metrics()[-1]["step"] == 3


def test_recipes():
    seed, taught = gan.Config(recipe="seed"), gan.Config()
    assert (seed.steps, seed.batch, seed.eps, seed.ema) == (25_000, 64, 0.8, 0.0)
    assert (seed.lr, seed.warmup, seed.anneal) == (2e-4, 500, 100)
    assert taught.eps == 1e-5 and taught.ema > 0 and taught.warmup == taught.anneal == 0
    assert gan.Config(recipe="seed", eps=0.1).eps == 0.1
    for flag in "warmup", "anneal":
        with pytest.raises(FlagError, match=f"--{flag}: found -1, expected 0 or more"):
            make_config(gan.Config, {flag: -1})
    assert dataclasses.replace(seed, steps=5).steps == 5
