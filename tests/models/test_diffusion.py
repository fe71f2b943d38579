"""Samplers and the bound of diffusion models against closed forms: Gaussian data, formulas of the papers."""

import math
from collections import deque
from itertools import pairwise

import numpy as np
import pytest

import tinygen as tg
from tinygen.metrics import bits_per_dim
from tinygen.models.diffusion import bound, samplers
from tinygen.models.diffusion import schedule as noise_schedule
from tinygen.models.diffusion.forward import Prediction
from tinygen.models.diffusion.samplers import Sampling
from tinygen.models.diffusion.schedule import NoiseSchedule
from tinygen.run.flags import FlagError

# Errors


@pytest.mark.parametrize(
    "make, told",
    [
        (
            lambda: NoiseSchedule(np.array([0.5])),
            "found 1 levels with beta from 0.5 to 0.5, expected 2 or more",
        ),
        (lambda: NoiseSchedule(np.array([0.5, 1.0])), "each above 0 and below 1"),
        (
            lambda: noise_schedule.linear(20),
            r"beta_T = 0.02 · 1000 / 20 = 1, expected less than 1: --noise-levels 21",
        ),
        (
            lambda: samplers.levels(100, 101),
            "--sampling-steps: found 101, expected 1 to the 100 noise levels",
        ),
        (lambda: samplers.levels(100, 0), "--sampling-steps: found 0"),
        (lambda: samplers.ddim(None, 1.5), "--eta: found 1.5, expected 0"),
        (lambda: samplers.ddim(None, -0.1), "--eta: found -0.1"),
    ],
)
def test_bad_values(make, told):
    with pytest.raises(FlagError, match=told):
        make()


# Levels


@pytest.mark.parametrize("T", [2, 3, 50, 97, 1000])
def test_samplers_start_exactly_at_T_and_end_at_0(T):
    """Elsewhere the network would see another noise level than it is told (ermongroup/ddim starts at T - skip)."""
    for steps in {1, 2, min(10, T), T // 2 or 1, T}:
        visited = samplers.levels(T, steps)
        assert visited[0] == T and visited[-1] == 0 and len(visited) == steps + 1
        assert (np.diff(visited) < 0).all()
    assert samplers.levels(T, T).tolist() == list(range(T, -1, -1))


def test_default_steps():
    s = NoiseSchedule(noise_schedule.linear(1000))
    assert len(samplers.visited(Sampling(), s)) == 51
    assert len(samplers.visited(Sampling(sampler="ancestral"), s)) == 1001
    assert len(samplers.visited(Sampling(sampling_steps=7), s)) == 8
    assert len(samplers.visited(Sampling(), NoiseSchedule(noise_schedule.cosine(10)))) == 11


# Gaussian data: the best network is known, and every sampler is an affine map

D = 3
MEAN = np.array([0.4, -0.2, 0.1])
_A = np.array([[0.5, 0.0, 0.0], [0.3, 0.4, 0.0], [-0.2, 0.1, 0.2]])
COVARIANCE = _A @ _A.T


def best_network(schedule, s_of=None):
    """predict(x_t, t) for x_0 ~ N(MEAN, COVARIANCE): E[x_0 | x_t] and the noise that belongs to it.

    s_of: from a level to the next one; then the learned variance has its best value too (for a diagonal COVARIANCE).
    """

    def predict(x, t):
        a = schedule.alpha_bar[t]
        total = a * COVARIANCE + (1 - a) * np.eye(D)  # of x_t
        gain = math.sqrt(a) * COVARIANCE @ np.linalg.inv(total)
        flat = x.numpy().reshape(-1, D)
        x0 = MEAN + (flat - math.sqrt(a) * MEAN) @ gain.T
        noise = (flat - math.sqrt(a) * x0) / math.sqrt(1 - a)
        mix = None
        if s_of is not None and s_of[t] > 0:
            q = schedule.posterior(t, s_of[t])
            left = np.diag(COVARIANCE - math.sqrt(a) * gain @ COVARIANCE)  # Var[x_0 | x_t]
            base, reach = schedule.log_variance("learned", t, s_of[t])
            mix = tg.tensor(
                np.broadcast_to((np.log(q.variance + q.from_x0**2 * left) - base) / reach, flat.shape)
            )
            mix = mix.reshape(x.shape)
        return Prediction(tg.tensor(x0).reshape(x.shape), tg.tensor(noise).reshape(x.shape), mix)

    return predict


def images(flat):
    return tg.tensor(np.asarray(flat, np.float64).reshape(-1, 1, 1, D))


def last(states):
    (_, x, _) = deque(states, maxlen=1).pop()
    return x.numpy().reshape(-1, D)


def affine(sampler):
    """The matrix and the offset of a deterministic sampler: x_T (N, D) -> images."""
    offset = sampler(np.zeros((1, D)))[0]
    return (sampler(np.eye(D)) - offset).T, offset


def moments_of(sampler):
    """Mean and covariance of a deterministic sampler's images for x_T ~ N(0, 1), computed without sampling."""
    matrix, offset = affine(sampler)
    return offset, matrix @ matrix.T


def errors(mean, covariance):
    return np.abs(mean - MEAN).max(), np.abs(covariance - COVARIANCE).max()


def deterministic(name, steps, T=1000):
    schedule = NoiseSchedule(noise_schedule.linear(T))
    rule = {"ddim": samplers.ddim, "dpm": samplers.dpm_solver}[name]
    predict, visited = best_network(schedule), samplers.levels(T, steps)
    return lambda x: last(samplers.denoise(predict, images(x), visited, rule(schedule)))


@pytest.mark.parametrize("name, steps, within", [("ddim", 1000, 3e-3), ("dpm", 100, 2e-3)])
def test_deterministic_samplers_reproduce_mean_and_covariance(name, steps, within):
    assert max(errors(*moments_of(deterministic(name, steps)))) < within


def test_orders_of_the_solvers():
    """With twice the steps DDIM, of first order, has about half the error; DPM-Solver++(2M) about a quarter or less."""
    error = {
        name: [max(errors(*moments_of(deterministic(name, steps)))) for steps in (25, 50, 100)]
        for name in ("ddim", "dpm")
    }
    for coarse, fine in pairwise(error["ddim"]):
        assert 1.5 < coarse / fine < 2.6
    for coarse, fine in pairwise(error["dpm"]):
        assert coarse / fine > 2.8
    assert all(dpm < ddim / 3 for dpm, ddim in zip(error["dpm"], error["ddim"]))


N = 20_000


def normals(seed):
    """noise(t) for N images, with exact mean and variance, to reduce the error of sampling."""

    def noise(t):
        half = np.random.default_rng([seed, t]).normal(size=(N // 2, D))
        half /= np.sqrt(np.square(half).mean(0))
        return images(np.concatenate([half, -half]))

    return noise


STOCHASTIC = {
    "ancestral, small variance": lambda s, noise: samplers.ancestral(s, noise, "small"),
    "ancestral, large variance": lambda s, noise: samplers.ancestral(s, noise, "large"),
    "ddim, eta 0.5": lambda s, noise: samplers.ddim(s, 0.5, noise),
    "ddim, eta 1": lambda s, noise: samplers.ddim(s, 1.0, noise),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_samplers_reproduce_mean_and_covariance(name):
    schedule, noise = NoiseSchedule(noise_schedule.linear(1000)), normals(0)
    rule, visited = STOCHASTIC[name](schedule, noise), samplers.levels(1000, 1000)
    x = last(samplers.denoise(best_network(schedule), noise(0), visited, rule))
    assert max(errors(x.mean(0), np.cov(x.T))) < 0.012


def test_a_learned_variance_is_exact_in_few_steps(monkeypatch):
    """For Gaussian data every reverse step is Gaussian, however long: with the right variance, 5 steps are enough."""
    monkeypatch.setattr("test_diffusion.COVARIANCE", np.diag([0.3, 0.5, 0.1]))
    schedule, noise = NoiseSchedule(noise_schedule.linear(1000)), normals(1)
    visited = samplers.levels(1000, 5)
    predict = best_network(schedule, dict(pairwise(visited.tolist())))
    *_, before, end = samplers.denoise(
        predict, noise(0), visited, samplers.ancestral(schedule, noise, "learned")
    )
    a = schedule.alpha_bar[before[0]]
    seen = np.cov(before[1].numpy().reshape(N, D).T)
    np.testing.assert_allclose(seen, a * COVARIANCE + (1 - a) * np.eye(D), atol=0.02)
    # the last step adds no noise: the variance of what it cannot know is missing
    shrunk = a * COVARIANCE @ np.linalg.inv(a * COVARIANCE + (1 - a) * np.eye(D)) @ COVARIANCE
    np.testing.assert_allclose(np.cov(end[1].numpy().reshape(N, D).T), shrunk, atol=0.02)
    small = last(samplers.denoise(predict, noise(0), visited, samplers.ancestral(schedule, noise, "small")))
    assert np.trace(np.cov(small.T)) < 0.9 * np.trace(shrunk)


def test_ddim_with_eta_1_is_ancestral_sampling_with_the_small_variance():
    schedule, noise = NoiseSchedule(noise_schedule.cosine(100)), normals(2)
    for steps in 100, 7:
        visited = samplers.levels(100, steps)
        runs = [
            last(samplers.denoise(best_network(schedule), noise(0), visited, rule))
            for rule in (samplers.ddim(schedule, 1.0, noise), samplers.ancestral(schedule, noise, "small"))
        ]
        np.testing.assert_allclose(runs[0], runs[1], atol=1e-9)


def test_the_noise_added_is_eta_times_the_posteriors_deviation():
    """Eq. 16 itself, since the marginals of a sampler are right for any sigma."""
    schedule, x = NoiseSchedule(noise_schedule.linear(100)), images(np.zeros((1, D)))
    nothing = Prediction(x, x)
    added = samplers.ddim(schedule, 0.3, lambda t: x + 1)(x, nothing, 60, 40)
    np.testing.assert_allclose(added.numpy(), 0.3 * math.sqrt(schedule.posterior(60, 40).variance))


def test_encoding_uses_the_prediction_at_the_level_it_leaves():
    schedule, asked = NoiseSchedule(noise_schedule.linear(100)), []
    x = images(np.zeros((1, D)))
    list(
        samplers.encode(
            lambda x, t: asked.append(t) or Prediction(x, x), x, np.array([0, 30, 70, 100]), schedule
        )
    )
    assert asked == [1, 30, 70]


def test_no_noise_in_the_last_step():
    """In one step, from T to 0, nothing may be drawn, and the image is the predicted one."""
    schedule = NoiseSchedule(noise_schedule.cosine(10))

    def noise(t):
        raise AssertionError(f"noise was drawn at {t}")

    x, predict = images(np.ones((2, D))), best_network(schedule)
    for rule in (*(make(schedule, noise) for make in STOCHASTIC.values()), samplers.dpm_solver(schedule)):
        end = last(samplers.denoise(predict, x, samplers.levels(10, 1), rule))
        np.testing.assert_allclose(end, predict(x, 10).x0.numpy().reshape(2, D), atol=1e-9)


def test_a_sampler_yields_the_predicted_images():
    schedule = NoiseSchedule(noise_schedule.cosine(10))
    states = list(
        samplers.denoise(
            best_network(schedule), images(np.ones((1, D))), np.array([10, 4, 0]), samplers.ddim(schedule)
        )
    )
    assert [s for s, _, _ in states] == [4, 0]
    np.testing.assert_array_equal(states[1][1].numpy(), states[1][2].numpy())


def test_encoding_and_decoding_return_the_image():
    """DDIM follows the same path in both directions, up to an error of first order in the step."""
    schedule, x0 = (
        NoiseSchedule(noise_schedule.linear(1000)),
        MEAN + np.random.default_rng(0).normal(size=(5, D)) @ _A.T,
    )
    predict, gaps = best_network(schedule), []
    for steps in 100, 200:
        visited = samplers.levels(1000, steps)
        *_, (level, x_T) = samplers.encode(predict, images(x0), visited[::-1], schedule)
        assert level == 1000
        back = last(samplers.denoise(predict, x_T, visited, samplers.ddim(schedule)))
        gaps.append(np.abs(back - x0).max())
    assert gaps[0] < 0.1 and 1.5 < gaps[0] / gaps[1] < 3


def test_the_known_part_is_kept():
    schedule, noise = NoiseSchedule(noise_schedule.linear(100)), normals(3)
    known, mask = images(np.full((N, D), 0.7)), images(np.tile([1.0, 0.0, 0.0], (N, 1)))
    fix = samplers.known_part(known, mask, schedule, noise)
    rule = samplers.ancestral(schedule, normals(4))
    visited = samplers.levels(100, 100)
    states = list(samplers.denoise(best_network(schedule), noise(0), visited, rule, fix))
    x = states[-1][1].numpy().reshape(N, D)
    assert (x[:, 0] == 0.7).all() and x[:, 1].std() > 0.2
    # the rest follows it, though not as far as it should (Lugmayr et al. 2022, RePaint, section 4.2)
    shift = COVARIANCE[1, 0] / COVARIANCE[0, 0] * (0.7 - MEAN[0])
    assert 0.3 * shift < x[:, 1].mean() - MEAN[1] < 1.1 * shift
    # on the way, the known part is as noisy as its level
    level, halfway, _ = states[49]
    expected = 1 - schedule.alpha_bar[level]
    assert halfway.numpy().reshape(N, D)[:, 0].var() == pytest.approx(expected, rel=0.05)


def test_guidance_goes_from_without_to_with_a_label_and_beyond():
    def net(x, t, label):
        assert len(x) == len(t) == len(label)
        return x * 0 + label.to(x.dtype).reshape(-1, 1, 1, 1)

    x, t, label = tg.zeros(2, 1, 1, 1), tg.ones(2), tg.tensor([3, 4])
    for scale, expected in {0.0: [10, 10], 1.0: [3, 4], 2.0: [-4, -2], 0.5: [6.5, 7]}.items():
        assert samplers.guided(net, x, t, label, scale, nothing=10).flatten().tolist() == expected
    seen = []
    samplers.guided(lambda x, t, label: seen.append(label), x, t, None, 3.0, nothing=10)
    assert seen == [None]


def test_guidance_leaves_a_learned_variance_alone():
    """As in the code of DiT: the prediction is extrapolated, the variance is the one with the label."""

    def net(x, t, label):
        said = x * 0 + label.to(x.dtype).reshape(-1, 1, 1, 1)
        return tg.cat([said, 100 + said], 1)

    x, t, label = tg.zeros(1, 1, 1, 1), tg.ones(1), tg.tensor([3])
    for scale, expected in {0.0: [10, 110], 1.0: [3, 103], 2.0: [-4, 103]}.items():
        assert samplers.guided(net, x, t, label, scale, nothing=10).flatten().tolist() == expected


# The bound


def test_a_uniform_density_has_8_bits_a_dimension(monkeypatch):
    assert bits_per_dim(784 * math.log(256), 784) == pytest.approx(8)
    # 256 equally likely values, through every sum and division of the bound
    monkeypatch.setattr(bound, "discretized_log_likelihood", lambda x0, *_: 0 * x0 - math.log(256))
    x0, first = tg.zeros(5, 3, 4, 2), tg.tensor(np.ones((5, 1, 1, 1), bool))
    bits = bound.term(x0, x0, x0, x0, x0, first)
    np.testing.assert_allclose(bits.numpy(), [8] * 5, rtol=1e-6)


@pytest.mark.parametrize("mean, deviation", [(0.0, 0.3), (-0.97, 0.05), (1.3, 0.01), (0.2, 5.0)])
def test_the_masses_of_the_256_values_add_up_to_1(mean, deviation):
    values = tg.tensor(np.arange(256) / 127.5 - 1)
    log_p = bound.discretized_log_likelihood(
        values, tg.tensor([mean], dtype=tg.float64), tg.tensor([2 * math.log(deviation)], dtype=tg.float64)
    ).numpy()
    floor = 256 * 1e-12  # from the clamp that keeps the log finite
    assert np.exp(log_p).sum() == pytest.approx(1, abs=2 * floor)
    if 0 < abs(mean) < 0.5:
        assert np.exp(log_p[0]) > np.exp(log_p[1])  # the edge values get all mass beyond them


def test_gaussian_kl():
    kl = bound.gaussian_kl(*(tg.tensor(v, dtype=tg.float64) for v in (0.3, -1.0, -0.2, 0.5))).item()
    x = np.linspace(-12, 12, 200_001)
    log_p = -0.5 * ((x - 0.3) ** 2 / math.exp(-1.0) - 1.0 + math.log(2 * math.pi))
    log_q = -0.5 * ((x + 0.2) ** 2 / math.exp(0.5) + 0.5 + math.log(2 * math.pi))
    assert kl == pytest.approx((np.exp(log_p) * (log_p - log_q)).sum() * (x[1] - x[0]), abs=1e-6)
