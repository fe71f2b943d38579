"""WGAN and WGAN-GP: clipped weights, slopes and their gradients, the critic's loss beside distances."""

import numpy as np
import pytest
from support.small_gans import trained

import tinygen as tg
from tinygen.models import wgan, wgan_gp
from tinygen.models.adversarial import training
from tinygen.models.shared import measures
from tinygen.run import checkpoint
from tinygen.run.training import Run


def test_clipped_weights(tmp_path, small_data):
    trained("wgan", tmp_path / "run", clip=0.003)
    arrays, _ = checkpoint.read(tmp_path / "run" / "checkpoint.safetensors")
    sizes = [np.abs(a).max() for name, a in arrays.items() if name.startswith("critic.")]
    assert max(sizes) == np.float32(0.003)


def test_slopes_and_their_gradients():
    """For a quadratic critic they are known: |A x + b|; the gradient of the penalty by finite differences."""
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


def test_the_critics_judge_each_image_on_its_own():
    for net in ("mlp", "conv"):
        _, critic = wgan.build(wgan.Config(net=net))
        x = tg.randn(3, 1, 28, 28)
        np.testing.assert_allclose(critic(x).detach().numpy()[:1], critic(x[:1]).detach().numpy(), atol=1e-5)


def test_mean_slope_of_a_run(tmp_path, small_data):
    """It does not depend on how many images are evaluated at a time."""
    _, run = trained("wgan_gp", tmp_path / "run")
    found = wgan_gp.mean_slope(run, 7, rows=3)
    assert found == pytest.approx(wgan_gp.mean_slope(run, 7), rel=1e-5) and found > 0


def test_rank_correlation():
    assert wgan_gp.rank_correlation([3, 1, 9, 4], np.exp([3, 1, 9, 4])) == pytest.approx(1)
    # without ties 1 - 6 sum d² / (n (n² - 1)), here with d = 1, 1, 0, 1, 1
    assert wgan_gp.rank_correlation([1, 2, 3, 4, 5], [2, 1, 3, 5, 4]) == pytest.approx(1 - 6 * 4 / 120)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5
    assert wgan_gp.rank_correlation([0, 7, 7, 8], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_wgan_gp_compares_its_loss_with_distances(tmp_path, small_data, monkeypatch):
    distances = iter([5.0, 3.0, 4.0])
    known = {
        "load_evaluator": None,
        "features_and_logits": (None, np.zeros((4, 10))),
        "image_measures": {"fd": 4.0},
    }
    for name, value in {**known, "expect_enough": None}.items():
        monkeypatch.setattr(measures, name, lambda *given, value=value: value)
    monkeypatch.setattr(training, "load_evaluator", lambda name: None)
    monkeypatch.setattr(training, "quick_measures", lambda images, data, d: {"fd": next(distances)})
    monkeypatch.setattr(training, "MEASURED", 4)
    steps = Run.steps
    monkeypatch.setattr(Run, "steps", lambda run, total: steps(run, total, log_every=2))
    module, run = trained("wgan_gp", tmp_path / "run", measure_every=2)
    lines = run.metrics()
    assert [line["fd"] for line in lines] == [5.0, 3.0, 4.0]
    found = module.evaluate(run, samples=4)
    expected = wgan_gp.rank_correlation([-line["loss"] for line in lines], [5, 3, 4])
    assert (found["loss_fd_spearman"], found["loss_fd_checkpoints"]) == (expected, 3)
