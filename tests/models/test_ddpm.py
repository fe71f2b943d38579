"""DDPM: predictions, losses and the bound."""

import math

import numpy as np
import pytest
from support.small_ddpm import Right, config_of, load, trained

import tinygen as tg
from tinygen.models import ddpm
from tinygen.models.diffusion.forward import noised, predicted, target


@pytest.fixture
def small_data(monkeypatch):
    monkeypatch.setattr(ddpm, "load", load)


def tensors(*shape, n=2, seed=0):
    rng = np.random.default_rng(seed)
    return [tg.tensor(rng.normal(size=shape), dtype=tg.float64) for _ in range(n)]


# Predictions


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_a_correct_prediction_gives_the_image_and_the_noise(kind):
    x0, noise = tensors(3, 1, 2, 2)
    x0, alpha_bar = x0.clamp(-1, 1), np.array([0.99, 0.5, 0.001])
    x = noised(x0, noise, alpha_bar)
    answer = predicted(config_of(predict=kind), target(kind, x0, noise, alpha_bar), x, alpha_bar, clip=False)
    np.testing.assert_allclose(answer.x0.numpy(), x0.numpy(), atol=1e-12)
    np.testing.assert_allclose(answer.noise.numpy(), noise.numpy(), atol=1e-12)


def test_v_is_the_papers():
    """Salimans & Ho 2022, appendix D: x_t = cos(phi) x_0 + sin(phi) noise, and v = d x_t / d phi."""
    x0, noise = tensors(1, 1, 2, 2)
    phi, h = math.pi / 3, 1e-5
    after, before = (noised(x0, noise, np.cos([angle]) ** 2) for angle in (phi + h, phi - h))
    v = target("v", x0, noise, np.cos([phi]) ** 2)
    np.testing.assert_allclose(v.numpy(), ((after - before) / (2 * h)).numpy(), rtol=1e-7)


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_the_noise_follows_a_clipped_image(kind):
    """x_t remains the sum of image and noise (lucidrains/denoising-diffusion-pytorch 84)."""
    x, output = tensors(4, 1, 3, 3)
    alpha_bar = np.full(4, 0.1)
    clipped, free = (predicted(config_of(predict=kind), output, x, alpha_bar, clip) for clip in (True, False))
    assert free.x0.abs().max().item() > 1.5 and clipped.x0.abs().max().item() == 1
    for answer in clipped, free:
        again = noised(answer.x0, answer.noise, alpha_bar)
        np.testing.assert_allclose(again.numpy(), x.numpy(), atol=1e-12)


def test_one_large_forward_step_equals_many_small_ones():
    """Mean and variance of x_t after t steps of sqrt(1 - beta) x + sqrt(beta) noise."""
    schedule = ddpm.schedule_of(config_of())
    signal, variance = 1.0, 0.0
    for beta in schedule.beta[1:20]:
        signal, variance = math.sqrt(1 - beta) * signal, (1 - beta) * variance + beta
    one = tg.ones(1, 1, 1, 1, dtype=tg.float64)
    at = schedule.alpha_bar[[19]]
    assert noised(one, 0 * one, at).item() == pytest.approx(signal)
    assert noised(0 * one, one, at).item() ** 2 == pytest.approx(variance)


# Losses


def test_simple_loss_is_the_squared_error_of_each_image():
    x0, noise = tensors(3, 1, 2, 2)
    config, t = config_of(), np.array([1, 15, 30])
    losses = ddpm.loss(lambda x, t, label: 0 * x, x0, t, noise, None, ddpm.schedule_of(config), config)
    np.testing.assert_allclose(losses.numpy(), (noise**2).mean((1, 2, 3)).numpy())
    asked = []
    ddpm.loss(
        lambda x, t, label: asked.append((x, t)) or x, x0, t, noise, None, ddpm.schedule_of(config), config
    )
    assert asked[0][1].tolist() == [1, 15, 30]
    signal = math.sqrt(ddpm.schedule_of(config).alpha_bar[15])
    np.testing.assert_allclose(
        asked[0][0][1].numpy(), (signal * x0[1] + math.sqrt(1 - signal**2) * noise[1]).numpy()
    )


def test_training_draws_every_level_from_1_to_T(tmp_path, small_data, monkeypatch):
    """minDiffusion draws from 1 ... T - 1 and then samples from T."""
    seen, loss = set(), ddpm.loss

    def spied(net, x0, t, *rest):
        seen.update(t.tolist())
        return loss(net, x0, t, *rest)

    monkeypatch.setattr(ddpm, "loss", spied)
    trained(tmp_path / "run", noise_levels=4, schedule="cosine", steps=12)
    assert seen == {1, 2, 3, 4}


def test_only_the_bound_trains_a_learned_variance():
    """L_hybrid: the bound has no gradient in the mean, L_simple none in the variance."""
    x0, noise = tensors(2, 1, 4, 4)
    config, t = config_of(variance="learned"), np.array([3, 20])
    schedule, grads = ddpm.schedule_of(config), {}
    output = tg.tensor(np.random.default_rng(1).normal(size=(2, 2, 4, 4)), requires_grad=True)
    for hybrid in 0.0, ddpm.HYBRID, 2 * ddpm.HYBRID:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ddpm, "HYBRID", hybrid)
            losses = ddpm.loss(lambda *_: output, x0, t, noise, None, schedule, config)
            grads[hybrid] = tg.autograd.grad(losses.sum(), [output])[0].numpy()
    none, once, twice = grads.values()
    np.testing.assert_allclose(once[:, 0], none[:, 0])
    assert np.abs(none[:, 1]).max() == 0 and np.abs(once[:, 1]).min() > 0
    np.testing.assert_allclose(twice[:, 1], 2 * once[:, 1])


@pytest.mark.parametrize("values", [{}, {"variance": "small"}, {"variance": "learned"}, {"predict": "v"}])
def test_gradients_of_the_bound(values):
    config = config_of(schedule="cosine", **values)
    schedule, t = ddpm.schedule_of(config), np.array([1, 2, 30])
    x0, x = tensors(3, 1, 2, 2)
    x0 = (x0.clamp(-1, 1) * 127.5).round() / 127.5
    channels = 2 if config.variance == "learned" else 1
    output = tg.tensor(0.3 * np.random.default_rng(2).normal(size=(3, channels, 2, 2)), requires_grad=True)
    # near x_1 the decoder's Gaussian is a few pixel values wide, and its masses far away are clamped
    x = tg.cat([x0[:1] + 0.01 * x[:1], x[1:]])
    assert tg.autograd.gradcheck(lambda o: ddpm.bound_term(config, schedule, o, x0, x, t), [output])


def test_the_bound_of_a_perfect_network():
    """The steps cost nothing, the decoder a fraction of a bit, and the rest is the KL of the prior."""
    config = config_of(variance="small", schedule="linear", noise_levels=1000)
    schedule = ddpm.schedule_of(config)
    images = np.random.default_rng(0).integers(1, 255, (1, 1, 28, 28)).astype(np.uint8)
    net = Right(images / 127.5 - 1, schedule)
    found = ddpm.bound(net, config, np.repeat(images, 20, axis=0))
    assert abs(found["steps_bits"]) < 1e-3 and found["prior_kl"] < 1e-4
    deviation = math.sqrt(schedule.posterior(2).variance)  # of the decoder, around the true pixel
    bits = -math.log2(math.erf(1 / 255 / deviation / math.sqrt(2)))
    assert found["reconstruction_bits"] == pytest.approx(bits, rel=1e-3)
    total = found["steps_bits"] + found["prior_kl"] + found["reconstruction_bits"]
    assert found["bits_per_dim"] == pytest.approx(total, abs=1e-6) and found["bound_images"] == 20


def test_the_estimate_of_the_bound_is_unbiased(monkeypatch):
    """Compared with the sum over all t, for a network that is wrong."""
    config = config_of(schedule="cosine", noise_levels=12)
    schedule = ddpm.schedule_of(config)
    images = np.random.default_rng(0).integers(0, 256, (400, 1, 4, 4)).astype(np.uint8)

    class Wrong(Right):
        def __call__(self, x, t, label):
            return 0.7 * x

    found = ddpm.bound(Wrong(None, None), config, images)
    x0 = tg.tensor(images / 127.5 - 1)
    total = schedule.prior_kl(float((x0**2).mean()))[-1]
    for t in range(1, 13):
        for draw in range(4):
            noise = tg.tensor(np.random.default_rng([t, draw]).normal(size=x0.shape))
            x, ts = noised(x0, noise, schedule.alpha_bar[t]), np.full(400, t)
            total += ddpm.bound_term(config, schedule, 0.7 * x, x0, x, ts, clip=True).mean().item() / 4
    assert found["bits_per_dim"] == pytest.approx(total, abs=4 * found["bits_per_dim_se"])
    assert found["bits_per_dim_se"] < 0.05 * total
