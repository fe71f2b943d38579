"""Noise schedules and what follows from them, against the formulas of the papers."""

import math

import numpy as np
import pytest

from tinygen.models.diffusion import schedule as noise_schedule
from tinygen.models.diffusion.schedule import SCHEDULES, NoiseSchedule


def test_linear_is_the_papers():
    """Ho et al., section 4; alpha_bar_T of T = 1000 is 4.04e-5."""
    s = NoiseSchedule(noise_schedule.linear(1000))
    assert s.beta[[0, 1, 1000]] == pytest.approx([0, 1e-4, 0.02])
    assert s.alpha_bar[0] == 1 and s.alpha_bar[1] == pytest.approx(1 - 1e-4)
    assert s.alpha_bar[1000] == pytest.approx(4.0358e-5, rel=1e-4)
    assert s.snr[1000] == pytest.approx(4.036e-5, rel=1e-3)
    # scaled by 1000 / T, a schedule ends equally noisy for any T
    for T in 100, 400, 4000:
        assert NoiseSchedule(noise_schedule.linear(T)).alpha_bar[T] == pytest.approx(4e-5, rel=0.7)


def test_cosine_is_the_papers_and_clips_one_beta():
    T, s = 1000, NoiseSchedule(noise_schedule.cosine(1000))
    t = np.arange(T)
    f = np.cos((t / T + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(s.alpha_bar[:T], f / f[0], rtol=1e-9)
    assert (s.beta == 0.999).sum() == 1 and s.beta[T] == 0.999
    assert s.alpha_bar[T] == pytest.approx(2.428e-9, rel=1e-3)  # the clip leaves 0.001 of f(999) / f(0)
    # without clipping x_0, step T multiplies its input by 31.6
    assert 1 / math.sqrt(1 - s.beta[T]) == pytest.approx(31.6, abs=0.03)


def test_sigmoid_goes_from_image_to_noise_and_is_symmetric():
    s = NoiseSchedule(noise_schedule.sigmoid(1000))
    assert s.alpha_bar[0] == 1 and s.alpha_bar[500] == pytest.approx(0.5)
    np.testing.assert_allclose(s.alpha_bar[1:999] + s.alpha_bar[999:1:-1], 1, rtol=1e-9)
    sharp = NoiseSchedule(noise_schedule.sigmoid(1000, tau=0.3))
    assert sharp.alpha_bar[300] > s.alpha_bar[300] and sharp.alpha_bar[700] < s.alpha_bar[700]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_loses_signal_at_every_step(name):
    s = NoiseSchedule(SCHEDULES[name](50))
    assert (np.diff(s.alpha_bar) < 0).all() and s.alpha_bar[-1] > 0
    assert (np.diff(s.snr) < 0).all() and s.snr[0] == np.inf


@pytest.mark.parametrize("name", SCHEDULES)
def test_posterior_is_bayes_rule_at_every_t(name):
    """q(x_{t-1} | x_t, x_0) ∝ q(x_t | x_{t-1}) q(x_{t-1} | x_0): precisions add, and weight the means."""
    s = NoiseSchedule(SCHEDULES[name](1000))
    t = np.arange(2, 1001)
    beta, before = s.beta[t], s.alpha_bar[t - 1]
    precision = (1 - beta) / beta + 1 / (1 - before)
    q = s.posterior(t)
    np.testing.assert_allclose(q.variance, 1 / precision, rtol=1e-7)
    np.testing.assert_allclose(q.from_xt, np.sqrt(1 - beta) / beta / precision, rtol=1e-7)
    np.testing.assert_allclose(q.from_x0, np.sqrt(before) / (1 - before) / precision, rtol=1e-7)
    np.testing.assert_allclose(q.beta, beta, rtol=1e-9)
    first = s.posterior(1)
    assert (first.from_x0, first.from_xt, first.variance) == pytest.approx((1, 0, 0))


def test_steps_over_several_levels_compose():
    """Given x_0, the steps from 90 to 60 and from 60 to 20 are the step from 90 to 20."""
    s = NoiseSchedule(noise_schedule.cosine(100))
    far, near, whole = s.posterior(90, 60), s.posterior(60, 20), s.posterior(90, 20)
    assert near.from_xt * far.from_xt == pytest.approx(float(whole.from_xt))
    assert near.from_x0 + near.from_xt * far.from_x0 == pytest.approx(float(whole.from_x0))
    assert near.variance + near.from_xt**2 * far.variance == pytest.approx(float(whole.variance))


def test_log_variances():
    s = NoiseSchedule(noise_schedule.linear(1000))
    t = np.array([1, 2, 500])
    small, none = s.log_variance("small", t)
    assert np.exp(small) == pytest.approx(s.posterior([2, 2, 500]).variance) and not none.any()
    large, _ = s.log_variance("large", t)
    assert np.exp(large) == pytest.approx([np.exp(small[0]), *s.beta[[2, 500]]])
    base, reach = s.log_variance("learned", t)
    assert np.exp(base + reach) == pytest.approx(s.beta[t]) and (base == small).all() and (reach > 0).all()


def test_prior_kl_is_the_gaussians_kl():
    s = NoiseSchedule(noise_schedule.linear(100))
    a, x0 = s.alpha_bar[7], 0.6
    mean, variance = math.sqrt(a) * x0, 1 - a
    nats = 0.5 * (variance + mean**2 - 1 - math.log(variance))
    assert s.prior_kl(x0**2)[7] == pytest.approx(nats / math.log(2))
    assert 0 < s.prior_kl(1.0)[100] < 1e-4


def test_a_picture_is_drawn():
    assert noise_schedule.picture(NoiseSchedule(noise_schedule.cosine(20)), 0.5).startswith(b"\x89PNG")
