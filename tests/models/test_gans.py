"""GANs: losses against known optimal discriminators, the watch, averaged generators, runs that stop and go on."""

import contextlib
import dataclasses
import importlib
import json
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from support.gpu import gpu
from support.resuming import require_same_bits

import tinygen as tg
from tinygen import cli, nn, optim
from tinygen.benchmarks.tables.finished_run import finished_run
from tinygen.data import Dataset
from tinygen.metrics import MetricError
from tinygen.models import cgan, dcgan, gan, wgan, wgan_gp
from tinygen.models.adversarial import generator as adversarial
from tinygen.models.adversarial.generator import LOSSES, Watch
from tinygen.run import checkpoint
from tinygen.run.flags import FlagError, make_config
from tinygen.run.training import Run, RunError

MODELS = ["gan", "dcgan", "wgan", "wgan_gp", "cgan"]
BY_RATIO = ["minimax", "non_saturating", "least_squares", "hinge"]

# Losses on two Gaussians of one dimension, as many quantiles of each: means over them are nearly exact

REAL, FAKE = 0.8, -0.4  # the means; both deviations are 1
QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 4000) for i in range(4000)])


def log_ratio(x, real=REAL, fake=FAKE):
    """log N(x; real, 1) / N(x; fake, 1)"""
    return (real - fake) * (x - (real + fake) / 2)


def discriminator_loss(name, logit):
    return LOSSES[name].discriminator(*(logit(tg.tensor(QUANTILES + mean)) for mean in (REAL, FAKE))).item()


def integral(f):
    """The integral of f(p(x), q(x)) over the line"""
    x = np.linspace(-9, 9, 20_001)
    p, q = (np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in (REAL, FAKE))
    return np.sum(f(p, q)) * (x[1] - x[0])


# what the discriminator's loss is at its best: Goodfellow 2014, theorem 1; Mao 2016, eq. 12; Lim & Ye 2017, lemma 1
LEAST = {
    "minimax": lambda: -integral(lambda p, q: p * np.log(p / (p + q)) + q * np.log(q / (p + q))),
    "least_squares": lambda: 0.5 * integral(lambda p, q: p * q / (p + q)),
    "hinge": lambda: 2 * integral(np.minimum),
}
LEAST["non_saturating"] = LEAST["minimax"]


@pytest.mark.parametrize("name", BY_RATIO)
def test_the_discriminators_loss_is_least_at_the_optimum(name):
    def best(x):
        return LOSSES[name].optimum(log_ratio(x))

    least = discriminator_loss(name, best)
    assert least == pytest.approx(LEAST[name](), abs=2e-3)
    for bump in (lambda x: 1 + 0 * x, lambda x: x, lambda x: x * x, lambda x: (3 * x).sin()):
        for size in (0.3, -0.3):
            assert discriminator_loss(name, lambda x: best(x) + size * bump(x)) > least + 1e-3


def test_the_best_critic_measures_the_distance_of_the_means():
    """W1 of N(a, 1) and N(b, 1) is |a - b|, reached by the steepest increasing function that is allowed."""
    best = -(REAL - FAKE)
    assert discriminator_loss("wasserstein", lambda x: x) == pytest.approx(best, abs=1e-9)
    for other in (lambda x: -x, lambda x: x.abs(), lambda x: x.sin(), lambda x: 0.5 * x):
        assert discriminator_loss("wasserstein", other) > best + 0.1


@pytest.mark.parametrize("real, fake", [(1.0, -1.0), (-0.5, 0.5), (0.1, 3.0)])
@pytest.mark.parametrize("name", LOSSES)
def test_the_generators_gradient_moves_its_mean_to_the_real_one(name, real, fake):
    """Pull request 53 of Zeleni9/pytorch-wgan: for years the generator was pushed the wrong way."""
    mean = tg.tensor(fake, dtype=tg.float64, requires_grad=True)
    logit = log_ratio(tg.tensor(QUANTILES) + mean, real, fake)
    if name == "least_squares":
        logit = LOSSES[name].optimum(logit)
    # the hinge's best, a sign, has no slope, and Wasserstein's is any line upwards: the log ratio is one
    LOSSES[name].generator(logit).backward()
    assert -mean.grad.item() * (real - fake) > 1e-3


def test_minimax_is_flat_where_the_discriminator_is_sure_and_non_saturating_steep():
    """d/dlogit: -D(x) against -(1 - D(x))  (Goodfellow et al. 2014, section 3)."""
    for logit in (-8.0, 0.0, 3.0):
        slopes = []
        for name in ("minimax", "non_saturating"):
            x = tg.tensor([logit], dtype=tg.float64, requires_grad=True)
            LOSSES[name].generator(x).backward()
            slopes.append(x.grad.item())
        d = 1 / (1 + np.exp(-logit))
        assert slopes == pytest.approx([-d, -(1 - d)], rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_extreme_logits_are_finite(name):
    real, fake = (tg.tensor([v, -v], requires_grad=True) for v in (300.0, 1e4))
    (LOSSES[name].discriminator(real, fake) + LOSSES[name].generator(fake)).backward()
    assert all(np.isfinite(x.grad.numpy()).all() for x in (real, fake))


# Packing


def test_packed_images_stay_whole():
    x = tg.tensor(np.arange(4 * 2 * 3 * 5).reshape(4, 2, 3, 5))
    y = adversarial.packed(x, 2)
    assert y.shape == (2, 4, 3, 5)
    assert (y[1, :2] == x[2]).all() and (y[1, 2:] == x[3]).all()
    points = tg.tensor(np.arange(12).reshape(6, 2))
    assert adversarial.packed(points, 3)[1].tolist() == [6, 7, 8, 9, 10, 11]
    assert adversarial.packed(x, 1) is x
    with pytest.raises(FlagError, match="--packing: 3 does not divide the batch of 4"):
        adversarial.packed(x, 3)


# Small data and runs


def blobs(name="mnist", n=400, shape=(28, 28), labels=True):
    """Images of a bright square that lies elsewhere for every label"""
    rng = np.random.default_rng(0)
    kinds = rng.integers(10, size=n)
    images = rng.integers(0, 40, (n, *shape)).astype(np.uint8)
    for image, kind in zip(images, kinds):
        image[..., 2 * kind : 2 * kind + 8, 8:20] = 200
    labels = kinds.astype(np.int64) if labels else None
    return Dataset(name, images, labels, images, labels, sha256="0", folder=Path("."))


@pytest.fixture
def small_data(monkeypatch):
    monkeypatch.setattr(adversarial.data, "load", lambda name, data_dir=None, grey=False: blobs(name))


SMALL = {"steps": 6, "batch": 8, "latent": 4, "pictures_every": 100, "checkpoint_every": 100}
LESS = {"dcgan": {"width": 4}, "wgan": {"critic_steps": 2}, "wgan_gp": {"critic_steps": 2}}


def small_config(model, **values):
    module = importlib.import_module(f"tinygen.models.{model}")
    return module, make_config(module.Config, SMALL | LESS.get(model, {}) | values)


def trained(model, folder, device="cpu", **values):
    module, config = small_config(model, **values)
    return module, module.train(config, Run.create(command(model), config, folder, device=device))


def command(model):
    return model.replace("_", "-")


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
def test_a_run_that_stops_goes_on_to_the_same_bits(model, tmp_path, small_data, monkeypatch):
    """Stopped in step 23 of 30, with looks of the watch before and after; the average and the watch included."""
    # a warning before the stop, which must be kept, or one after it that needs the looks from before
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
    assert module.sample(run, 2).shape == (2, 28, 28)  # no state is missed when the run is opened again
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
    assert dcgan.sides(28, 3) == [28, 14, 7, 4] and dcgan.sides(32, 3) == [32, 16, 8, 4]


def test_colour_images_of_32_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(
        adversarial.data, "load", lambda name, d=None, grey=False: blobs(name, 40, (3, 32, 32))
    )
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
    """The losses of two epochs of two steps: their networks and loop under PyTorch, from our weights, images and noise.

    Their rates fall along a cosine of 100 epochs; here of two, so that the second has half the rate.  The warm-up is
    advised in their text and not in their program.
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
    batches = [adversarial.real_batch(images, config, i, None).numpy() for i in range(4)]
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


# The averaged generator


def test_an_averaged_generator_has_statistics_of_its_own():
    """BatchNorm's outputs have mean 0 and variance 1 over fresh noise, which they do not with the raw weights' ones."""
    tg.manual_seed(0)
    net = gan.Generator(8, eps=1e-5)
    ema = optim.EMA(net, 0.9)
    for _ in range(30):  # weights that wander, statistics that follow them
        for p in net.parameters():
            p.data.add_(0.05 * tg.randn(*p.shape))
        net(tg.randn(64, 8))
        ema.update()
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    average = adversarial.averaged(net, ema)
    assert not average.training and net.training
    for name, value in net.state_dict().items():
        assert np.array_equal(value.numpy(), before[name]), name
    for name, p in average.named_parameters():
        assert np.array_equal(p.detach().numpy(), ema.average[name].numpy())

    def spread(generator):
        """How far the first normalisation's output is from variance 1"""
        first = nn.Sequential(*list(generator.model)[:4])
        norm, z = first[3], tg.randn(4000, 8)
        with tg.no_grad():
            y = ((first(z) - norm.bias) / norm.weight).numpy()
        return np.abs(y.var(0) - 1).max()

    with ema.applied():
        raw = spread(net.eval())
    assert spread(average) < 0.15 < raw


def test_without_an_average_the_raw_weights_draw(tmp_path, small_data):
    _, run = trained("gan", tmp_path / "run", ema=0.0)
    arrays, _ = checkpoint.read(tmp_path / "run" / "checkpoint.safetensors")
    net = adversarial.trained(run, gan.build(run.config)[0])
    assert np.array_equal(net.model[0].weight.detach().numpy(), arrays["generator.model.0.weight"])


# The watch


def warnings(run):
    path = run.path("warnings.json")
    return [w["kind"] for w in json.loads(path.read_text())] if path.exists() else []


def test_the_watch_sees_a_generator_that_ignores_its_noise(tmp_path, small_data, monkeypatch, capsys):
    forward = gan.Generator.forward
    monkeypatch.setattr(gan.Generator, "forward", lambda net, z: forward(net, z * 0))
    _, run = trained("gan", tmp_path / "run", steps=310)
    assert "generator-collapsed" in warnings(run)
    said = [line for line in capsys.readouterr().err.splitlines() if "collapsed" in line]
    assert len(said) == 1 and "--packing 2" in said[0] and "step 300" in said[0]
    assert run.metrics()[-1]["diversity"] < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("model, kind", [("gan", "discriminator-lost"), ("dcgan", "discriminator-won")])
def test_the_watch_sees_a_discriminator_that_learns_20_times_as_fast(model, kind, tmp_path, small_data):
    """Than the generator at the papers' rate: with BatchNorm it wins; without, it is left worse than a guess.

    At dcgan.py's own rate, 2e-3, such a discriminator does no harm: after `train dcgan --data mnist --lr-ratio 20
    --steps 1000` the images are digits, diversity 0.98, Fréchet distance 17 (`eval --samples 5000`).
    """
    _, run = trained(model, tmp_path / "run", steps=1000, batch=32, lr=2e-4, lr_ratio=20.0, latent=100)
    assert kind in warnings(run)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_guess(name):
    """The least over answers that do not depend on the image; and what has won is better than that."""
    loss = LOSSES[name]
    answers = np.linspace(-2, 2, 401)
    losses = [loss.discriminator(*[tg.tensor([a, a])] * 2).item() for a in answers]
    assert min(losses) == pytest.approx(loss.guess, abs=1e-6)
    assert loss.won is None or 0 < loss.won < loss.guess / 10


def test_what_the_watch_warns_of(tmp_path, monkeypatch):
    """Means of 30 looks: of nothing before, and once of each."""

    def kinds(name, looks, step=300):
        run = Run.create("gan", gan.Config(steps=1), tmp_path / f"run{len(list(tmp_path.iterdir()))}")
        monkeypatch.setattr(Run, "done", step)
        watch = Watch(run, name)
        for look in looks:
            watch.judge(*look)
        assert [w["kind"] for w in watch.warnings] == warnings(run)
        return warnings(run)

    assert kinds("non_saturating", [(0.0, 0.0, 0.0)] * 29) == []
    assert kinds("non_saturating", [(0.01, 1.0, 1.0)] * 100) == ["discriminator-won"]
    assert kinds("non_saturating", [(0.01, 1.0, 1.0), (0.3, 1.0, 1.0)] * 50) == []
    assert kinds("non_saturating", [(1.5, 1.0, 1.0), (1.3, 1.0, 1.0)] * 50) == ["discriminator-lost"]
    assert kinds("hinge", [(1.9, 0.03, 0.5)] * 100) == ["generator-collapsed"]
    assert kinds("wasserstein", [(-50.0, 0.8, 0.8)] * 100) == []
    assert kinds("wasserstein", [(0.01, 0.8, 0.8)] * 100) == ["discriminator-lost"]
    assert kinds("wasserstein", [(-1.0, 0.8, 0.01)] * 100, step=4990) == []
    assert kinds("wasserstein", [(-1.0, 0.8, 0.01)] * 100, step=5000) == ["few-images"]
    both = [(0.2, 1.0, 1.0)] * 40 + [(0.0, 0.0, 1.0)] * 40
    assert kinds("least_squares", both) == ["discriminator-won", "generator-collapsed"]


def test_how_far_an_image_is_from_the_nearest_other_one():
    x = np.random.default_rng(0).normal(size=(7, 1, 3, 3)) + 5
    every = ((x[:, None] - x[None]) ** 2).sum((2, 3, 4)) + np.diag([np.inf] * 7)
    assert adversarial.nearest(tg.tensor(x)).item() == pytest.approx(every.min(1).mean(), rel=1e-5)
    # four images and no others vary as much as any, but each has its twin
    few = tg.randn(4, 1, 28, 28)[tg.tensor(np.arange(64) % 4)]
    assert few.var(0).sum().item() > 500 and adversarial.nearest(few).item() < 1e-3


def test_what_the_watch_logs(tmp_path, small_data, monkeypatch):
    logged = []
    monkeypatch.setattr(Run, "log", lambda run, **given: logged.append(given))
    trained("gan", tmp_path / "run", steps=20)
    seen = [d for d in logged if "diversity" in d]
    assert len(seen) == 2 and set(seen[0]) == {"d_real", "d_fake", "grad_d", "grad_g", "diversity", "nearest"}
    assert all(0 < d["d_fake"].item() < 1 and d["grad_d"].item() > 0 < d["grad_g"].item() for d in seen)


def test_the_watch_compares_generated_images_with_real_ones(tmp_path, monkeypatch):
    run = Run.create("gan", gan.Config(), tmp_path / "run")
    logged = {}
    monkeypatch.setattr(run, "log", lambda **values: logged.update(values))
    net = nn.Linear(2, 1)
    net(tg.ones(1, 2)).sum().backward()  # three gradients of 1
    real = 3 * tg.randn(6, 1, 4, 4)
    logits = tg.tensor([2.0, -2.0]), tg.tensor([np.log(3), np.log(3)])
    Watch(run, "non_saturating").look(net, net, real, 0.5 * real + 7, *logits, tg.tensor(0.7))
    found = {name: float(value) for name, value in logged.items()}
    norm = 3**0.5
    expected = {
        "d_real": 0.5,
        "d_fake": 0.75,
        "grad_d": norm,
        "grad_g": norm,
        "diversity": 0.25,
        "nearest": 0.25,
    }
    assert found == pytest.approx(expected, rel=1e-5)


# WGAN


def test_clipped_weights(tmp_path, small_data):
    trained("wgan", tmp_path / "run", clip=0.003)
    arrays, _ = checkpoint.read(tmp_path / "run" / "checkpoint.safetensors")
    sizes = [np.abs(a).max() for name, a in arrays.items() if name.startswith("critic.")]
    assert max(sizes) == np.float32(0.003)


def test_slopes_and_their_gradients():
    """Of a quadratic critic, where they are known: |A x + b|, and the penalty's gradient by differences."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 6)), rng.normal(size=6)
    real, fake = (tg.tensor(rng.normal(size=(5, 1, 2, 3))) for _ in range(2))
    t = tg.tensor(rng.uniform(size=(5, 1, 1, 1)))
    weight = tg.tensor(a + a.T, requires_grad=True)

    def critic(x):
        x = x.flatten(1)
        return (0.5 * (x @ weight) * x).sum(1) + x @ tg.tensor(b)

    def slopes():
        return wgan_gp.slopes(critic, real, fake, t)

    between = (t * real + (1 - t) * fake).numpy().reshape(5, 6)
    np.testing.assert_allclose(
        slopes().detach().numpy(), np.linalg.norm(between @ (a + a.T) + b, axis=1), rtol=1e-10
    )
    (slopes() - 1).square().mean().backward()
    step = np.zeros((6, 6))
    step[2, 4] = 1e-6
    values = []
    for sign in (1, -1):
        weight.data.add_(tg.tensor(sign * step))
        values.append((slopes() - 1).square().mean().item())
        weight.data.sub_(tg.tensor(sign * step))
    assert weight.grad[2, 4].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def test_the_critics_judge_each_image_alone():
    for net in ("mlp", "conv"):
        _, critic = wgan.build(wgan.Config(net=net))
        x = tg.randn(3, 1, 28, 28)
        np.testing.assert_allclose(critic(x).detach().numpy()[:1], critic(x[:1]).detach().numpy(), atol=1e-5)


def test_mean_slope_of_a_run(tmp_path, small_data):
    """Beside the definition, with gradients of one image at a time."""
    _, run = trained("wgan_gp", tmp_path / "run")
    found = wgan_gp.mean_slope(run, 7, rows=3)
    assert found == pytest.approx(wgan_gp.mean_slope(run, 7), rel=1e-5) and found > 0


def test_rank_correlation():
    assert wgan_gp.rank_correlation([3, 1, 9, 4], np.exp([3, 1, 9, 4])) == pytest.approx(1)
    # without ties 1 - 6 sum d² / (n (n² - 1)), here with d = 1, 1, 0, 1, 1
    assert wgan_gp.rank_correlation([1, 2, 3, 4, 5], [2, 1, 3, 5, 4]) == pytest.approx(1 - 6 * 4 / 120)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5
    assert wgan_gp.rank_correlation([0, 7, 7, 8], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


# Conditional GAN


def test_labels_reach_both_networks():
    tg.manual_seed(0)
    generator, discriminator = cgan.Generator(4).eval(), cgan.Discriminator()
    z, x = tg.randn(1, 4).expand(10, 4), tg.randn(1, 1, 28, 28).expand(10, 1, 28, 28)
    for out in generator(z, tg.arange(10)).flatten(1).sum(1), discriminator(x, tg.arange(10)):
        assert len(np.unique(out.detach().numpy().round(6))) == 10


def test_a_conditional_gan_learns_what_its_labels_mean(tmp_path, small_data):
    """Bright squares whose place is the label: 300 steps move them there, more or less."""
    module, run = trained("cgan", tmp_path / "run", steps=300, batch=32, lr=1e-3, ema=0.9)
    images = np.stack([module.sample(run, 20, label=label).mean(0) for label in range(10)])
    rows = (images[:, :, 8:20].mean(2) - 0.15).clip(0)
    places = (rows * np.arange(28)).sum(1) / rows.sum(1)
    assert np.corrcoef(places, np.arange(10))[0, 1] > 0.9 and places[9] - places[0] > 4


# Measures


def stand_in_measures(monkeypatch):
    """An evaluator that sees the digit 3 everywhere, and one measure that is known"""
    threes = np.eye(10)[3]
    monkeypatch.setattr(adversarial, "load_evaluator", lambda name: None)
    monkeypatch.setattr(
        adversarial, "features_and_logits", lambda net, x: (None, np.tile(threes, (len(x), 1)))
    )
    monkeypatch.setattr(adversarial, "image_measures", lambda images, name, d: {"fd": float(len(images))})
    monkeypatch.setattr(adversarial, "expect_enough", lambda images, features: None)


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
def test_measures_in_training_are_of_its_generator_and_leave_it_alone(
    model, tmp_path, small_data, monkeypatch
):
    seen = []

    def measures(images, name, data_dir):
        seen.append(images)
        return {"fd": 3.0, "inception_score": float(len(seen))}

    monkeypatch.setattr(adversarial, "load_evaluator", lambda name: None)
    monkeypatch.setattr(adversarial, "quick_measures", measures)
    monkeypatch.setattr(adversarial, "MEASURED", 20)
    module, run = trained(model, tmp_path / "run", measure_every=3)
    assert len(seen) == 2 and run.metrics()[-1]["inception_score"] == 1.5
    trained(model, tmp_path / "plain")
    arrays, expected = (
        checkpoint.read(tmp_path / name / "checkpoint.safetensors") for name in ("run", "plain")
    )
    assert arrays[0].keys() == expected[0].keys() and arrays[1]["random"] == expected[1]["random"]
    for name, array in arrays[0].items():
        assert array.tobytes() == expected[0][name].tobytes(), name

    if model.startswith("wgan"):  # beside the critic's loss belongs the generator that the critic judges
        generator = module.build(run.config)[0]
        run.load(generator=generator)
        drawn = adversarial.drawn(adversarial.settled(generator), 20, 0)
    else:
        drawn = module.sample(run, 20)
    np.testing.assert_array_equal(seen[-1], drawn)


def test_data_without_an_evaluator(tmp_path, small_data, monkeypatch, capsys):
    """Are refused where nothing would be measured; of wgan-gp the critic's slope still is."""

    def missing(name):
        raise MetricError(f"{name} has no evaluator")

    monkeypatch.setattr(adversarial, "load_evaluator", missing)
    module, run = trained("gan", tmp_path / "gan", steps=1)
    with pytest.raises(MetricError, match="glyphs has no evaluator"):
        module.evaluate(run, samples=3)
    assert cli.main(["eval", str(run.folder), "--samples", "3"]) == 2
    assert not run.path("eval.json").exists() and not capsys.readouterr().out
    module, run = trained("wgan_gp", tmp_path / "wgan_gp", steps=1)
    assert module.evaluate(run, samples=3).keys() == {"data", "split", "grad_norm"}
    assert "glyphs has no evaluator" in capsys.readouterr().err.splitlines()[-1]


def test_wgan_gp_compares_its_loss_with_distances(tmp_path, small_data, monkeypatch):
    distances = iter([5.0, 3.0, 4.0])
    stand_in_measures(monkeypatch)
    monkeypatch.setattr(adversarial, "quick_measures", lambda images, data, d: {"fd": next(distances)})
    monkeypatch.setattr(adversarial, "MEASURED", 4)
    steps = Run.steps
    monkeypatch.setattr(Run, "steps", lambda run, total: steps(run, total, log_every=2))
    module, run = trained("wgan_gp", tmp_path / "run", measure_every=2)
    lines = run.metrics()
    assert [line["fd"] for line in lines] == [5.0, 3.0, 4.0]
    found = module.evaluate(run, samples=4)
    expected = wgan_gp.rank_correlation([-line["loss"] for line in lines], [5, 3, 4])
    assert (found["loss_fd_spearman"], found["loss_fd_checkpoints"]) == (expected, 3)


# What is refused, in one line


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
    for model in MODELS:  # before the first step, not at the first measure
        flags = "--data", "cifar10", "--measure-every", "9"
        assert "cifar10 has no evaluator" in told("train", command(model), *flags)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for model in ("vae", "gan", "cgan", "wgan", "wgan-gp"):
        line = told("train", model, "--data", "cifar10")
        assert "images of cifar10 are 3 x 32 x 32, this network takes 28 x 28 in grey" in line
    assert "no dataset of images 'ring8'" in told("train", "dcgan", "--data", "ring8")
    monkeypatch.setattr(adversarial.data, "load", lambda name, d=None, grey=False: blobs(name, labels=False))
    assert "mnist: has no labels, which cgan learns from" in told("train", "cgan", "--data", "mnist")
    monkeypatch.setattr(adversarial.data, "load", lambda name, d=None, grey=False: blobs(name))
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
    """Linearly over the first 4 steps; half a cosine of 10 epochs of 3 steps, each at one height, and up again."""
    factors = [gan.lr_factor(step, 3, gan.Config(warmup=4, anneal=10)) for step in range(45)]
    np.testing.assert_allclose(factors[:3], [0.25, 0.5, 0.75])
    heights = (1 + np.cos(np.pi * np.arange(15) / 10)) / 2
    np.testing.assert_allclose(factors[3:], np.repeat(heights, 3)[3:], atol=1e-12)
    assert {gan.lr_factor(step, 3, gan.Config()) for step in range(30)} == {1.0}


def test_both_players_train_at_these_rates(tmp_path, small_data, monkeypatch):
    """7 steps of 150 of the 400 images, so that an epoch has 2 steps."""
    rates, step = [], optim.Adam.step
    monkeypatch.setattr(optim.Adam, "step", lambda o: (rates.append(o.param_groups[0]["lr"]), step(o))[1])
    values = dict(steps=7, batch=150, warmup=5, anneal=2, lr=0.1, lr_ratio=3.0)
    trained("gan", tmp_path / "run", **values)
    expected = np.array([0.2, 0.4, 0.6 / 2, 0.8 / 2, 0, 0, 1 / 2])
    np.testing.assert_allclose(rates[1::2], 0.1 * expected, atol=1e-12)  # the discriminator's step is first
    np.testing.assert_allclose(rates[::2], 0.3 * expected, atol=1e-12)


def test_a_run_older_than_a_flag_of_its_recipe_is_not_gone_on_with(tmp_path, small_data):
    """It had no warm-up, the recipe gives one: it would go on as another run."""
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
