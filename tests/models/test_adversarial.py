"""What the GAN papers share: losses against known optimal discriminators, packing, averaged generators, the watch."""

import json
from statistics import NormalDist

import numpy as np
import pytest
from support.small_gans import trained

import tinygen as tg
from tinygen import nn, optim
from tinygen.models import gan
from tinygen.models.adversarial.losses import LOSSES
from tinygen.models.adversarial.packing import packed
from tinygen.models.adversarial.trained import averaged, trained_generator
from tinygen.models.adversarial.watch import Watch, nearest
from tinygen.run import checkpoint
from tinygen.run.flags import FlagError
from tinygen.run.training import Run

BY_RATIO = ["minimax", "non_saturating", "least_squares", "hinge"]

# Losses on two one-dimensional Gaussians, each given by 4,000 quantiles: means over them are nearly exact

REAL, FAKE = 0.8, -0.4  # means; both standard deviations are 1
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


# the least loss of the discriminator: Goodfellow 2014, theorem 1; Mao 2016, eq. 12; Lim & Ye 2017, lemma 1
LEAST = {
    "minimax": lambda: -integral(lambda p, q: p * np.log(p / (p + q)) + q * np.log(q / (p + q))),
    "least_squares": lambda: 0.5 * integral(lambda p, q: p * q / (p + q)),
    "hinge": lambda: 2 * integral(np.minimum),
}
LEAST["non_saturating"] = LEAST["minimax"]


@pytest.mark.parametrize("name", BY_RATIO)
def test_the_discriminators_loss_is_minimal_at_the_optimum(name):
    def best(x):
        return LOSSES[name].optimum(log_ratio(x))

    least = discriminator_loss(name, best)
    assert least == pytest.approx(LEAST[name](), abs=2e-3)
    for bump in (lambda x: 1 + 0 * x, lambda x: x, lambda x: x * x, lambda x: (3 * x).sin()):
        for size in (0.3, -0.3):
            assert discriminator_loss(name, lambda x: best(x) + size * bump(x)) > least + 1e-3


def test_the_best_critic_measures_the_distance_of_the_means():
    """W1 of N(a, 1) and N(b, 1) is |a - b|; the steepest increasing function that is allowed reaches it."""
    best = -(REAL - FAKE)
    assert discriminator_loss("wasserstein", lambda x: x) == pytest.approx(best, abs=1e-9)
    for other in (lambda x: -x, lambda x: x.abs(), lambda x: x.sin(), lambda x: 0.5 * x):
        assert discriminator_loss("wasserstein", other) > best + 0.1


@pytest.mark.parametrize("real, fake", [(1.0, -1.0), (-0.5, 0.5), (0.1, 3.0)])
@pytest.mark.parametrize("name", LOSSES)
def test_the_generators_gradient_moves_its_mean_to_the_real_one(name, real, fake):
    """Pull request 53 of Zeleni9/pytorch-wgan: for years its generator was pushed the wrong way."""
    mean = tg.tensor(fake, dtype=tg.float64, requires_grad=True)
    logit = log_ratio(tg.tensor(QUANTILES) + mean, real, fake)
    if name == "least_squares":
        logit = LOSSES[name].optimum(logit)
    # the hinge's optimum, a sign, has no slope; Wasserstein's is any increasing line, such as the log ratio
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
    y = packed(x, 2)
    assert y.shape == (2, 4, 3, 5)
    assert (y[1, :2] == x[2]).all() and (y[1, 2:] == x[3]).all()
    points = tg.tensor(np.arange(12).reshape(6, 2))
    assert packed(points, 3)[1].tolist() == [6, 7, 8, 9, 10, 11]
    assert packed(x, 1) is x
    with pytest.raises(FlagError, match="--packing: 3 does not divide the batch of 4"):
        packed(x, 3)


# The averaged generator


def test_an_averaged_generator_has_statistics_of_its_own():
    """BatchNorm's outputs over new noise have mean 0 and variance 1, unlike with the statistics of the raw weights."""
    tg.manual_seed(0)
    net = gan.Generator(8, eps=1e-5)
    ema = optim.EMA(net, 0.9)
    for _ in range(30):  # weights that change, statistics that follow them
        for p in net.parameters():
            p.data.add_(0.05 * tg.randn(*p.shape))
        net(tg.randn(64, 8))
        ema.update()
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    average = averaged(net, ema)
    assert not average.training and net.training
    for name, value in net.state_dict().items():
        assert np.array_equal(value.numpy(), before[name]), name
    for name, p in average.named_parameters():
        assert np.array_equal(p.detach().numpy(), ema.average[name].numpy())

    def spread(generator):
        """How far the variance after the first normalization is from 1."""
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
    net = trained_generator(run, gan.build(run.config)[0])
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
    """As fast as the generator at the papers' rate: with BatchNorm it wins; without, it ends up worse than guessing.

    At dcgan.py's own rate, 2e-3, such a discriminator does no harm: after `train dcgan --data mnist --lr-ratio 20
    --steps 1000` the images are digits, diversity 0.98, Fréchet distance 17 (`eval --samples 5000`).
    """
    _, run = trained(model, tmp_path / "run", steps=1000, batch=32, lr=2e-4, lr_ratio=20.0, latent=100)
    assert kind in warnings(run)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_guess(name):
    """It is the minimum over answers that do not depend on the image; a discriminator that has won is better."""
    loss = LOSSES[name]
    answers = np.linspace(-2, 2, 401)
    losses = [loss.discriminator(*[tg.tensor([a, a])] * 2).item() for a in answers]
    assert min(losses) == pytest.approx(loss.guess, abs=1e-6)
    assert loss.won is None or 0 < loss.won < loss.guess / 10


def test_what_the_watch_warns_of(tmp_path, monkeypatch):
    """It judges means of 30 looks: no warning before, and one of each kind."""

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


def test_the_distance_to_the_nearest_neighbor():
    x = np.random.default_rng(0).normal(size=(7, 1, 3, 3)) + 5
    every = ((x[:, None] - x[None]) ** 2).sum((2, 3, 4)) + np.diag([np.inf] * 7)
    assert nearest(tg.tensor(x)).item() == pytest.approx(every.min(1).mean(), rel=1e-5)
    # repetitions of four images have as much variance as others, but each has its twin
    few = tg.randn(4, 1, 28, 28)[tg.tensor(np.arange(64) % 4)]
    assert few.var(0).sum().item() > 500 and nearest(few).item() < 1e-3


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
