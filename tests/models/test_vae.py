"""The VAE against closed forms: linear-Gaussian models, quadrature over a small latent space, exact optima."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygen as tg
from tinygen import kernels
from tinygen.metrics import bernoulli_log_likelihood, importance_sampled_nll
from tinygen.models import vae
from tinygen.run import checkpoint

D, L, NOISE = 6, 2, 0.3  # pixels, latent dimensions, standard deviation of the pixels


def linear_gaussian(seed=0):
    """p(z) = N(0, 1), p(x|z) = N(W z, NOISE²); the columns of W are orthogonal, so the posterior is diagonal."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(D, L)))
    w = q * np.array([1.5, 0.7])
    covariance = w @ w.T + NOISE**2 * np.eye(D)
    x = rng.multivariate_normal(np.zeros(D), covariance, size=40)
    _, logdet = np.linalg.slogdet(2 * np.pi * covariance)
    log_px = -0.5 * (logdet + np.einsum("nd,de,ne->n", x, np.linalg.inv(covariance), x))
    variance = 1 / (1 + (w**2).sum(0) / NOISE**2)
    mu = x @ w / NOISE**2 * variance
    return w, x, log_px, mu, np.broadcast_to(np.log(variance), mu.shape)


def gaussian_log_likelihood(x, mean):
    """log N(x; mean, NOISE²), summed over pixels"""
    squares = ((x - mean) * (x - mean)).sum(-1)
    return -0.5 * squares / NOISE**2 - D / 2 * np.log(2 * np.pi * NOISE**2)


def elbo(w, x, mu, logvar, eps, sampler=vae.reparameterize):
    """The mean over eps of log p(x|z), minus the KL of vae.py.  eps (S, N, L) -> (N,)"""
    z = sampler(mu, logvar, eps)
    return gaussian_log_likelihood(x, z @ w.T).mean(0) - vae.kl_divergence(mu, logvar)


def tensors(*arrays):
    return [tg.tensor(np.array(a)) for a in arrays]


def antithetic(shape, seed=1):
    """Standard normals (S, N, L) with mean exactly 0 and covariance exactly 1 over S: means of quadratics are exact."""
    eps = np.random.default_rng(seed).normal(size=shape)
    eps = np.concatenate([eps, -eps])
    covariance = np.einsum("snl,snm->nlm", eps, eps) / len(eps)
    return np.einsum("nlm,snm->snl", np.linalg.inv(np.linalg.cholesky(covariance)), eps)


def test_elbo_at_the_exact_posterior_is_the_log_likelihood():
    w, x, log_px, mu, logvar = linear_gaussian()
    eps = antithetic((200, *mu.shape))
    value = elbo(*tensors(w, x, mu, logvar, eps))
    np.testing.assert_allclose(value.numpy(), log_px, atol=1e-10)


def test_elbo_notices_a_sampler_and_a_kl_that_disagree_about_sigma():
    """The bug in an example of DeZero and in an old one of Keras: sampling with the variance instead of its root."""
    w, x, log_px, mu, logvar = linear_gaussian()

    def with_the_variance(mu, logvar, eps):
        return mu + logvar.exp() * eps

    value = elbo(*tensors(w, x, mu, logvar, antithetic((200, *mu.shape))), sampler=with_the_variance)
    assert np.abs(value.numpy() - log_px).min() > 1e-2


def test_sampled_spread_is_the_one_the_kl_assumes():
    mu, logvar = tensors([[0.3, -1.2]], [[0.8, -1.5]])
    z = vae.reparameterize(mu, logvar, tg.tensor(antithetic((500, 1, 2)))).numpy()
    mean, variance = z.mean(0), z.var(0)
    closed = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(1)
    np.testing.assert_allclose(vae.kl_divergence(mu, logvar).numpy(), closed, atol=1e-10)


def test_importance_weights_of_the_exact_posterior_are_all_the_likelihood():
    w, x, log_px, mu, logvar = linear_gaussian()
    eps = np.random.default_rng(2).normal(size=(len(x), 7, L))
    z = mu[:, None] + np.exp(0.5 * logvar)[:, None] * eps
    log_ratio = (-0.5 * z**2 + 0.5 * (eps**2 + logvar[:, None])).sum(2)
    log_weights = gaussian_log_likelihood(x[:, None], z @ w.T) + log_ratio
    np.testing.assert_allclose(importance_sampled_nll(log_weights), -log_px, atol=1e-10)


def test_training_a_linear_vae_reaches_probabilistic_pca():
    """The best ELBO of a linear VAE is PPCA's log-likelihood (Tipping & Bishop 1999, eq. 8; Lucas et al. 2019)."""
    _, x, _, _, _ = linear_gaussian(3)
    x = x - x.mean(0)
    eigenvalues = np.sort(np.linalg.eigvalsh(x.T @ x / len(x)))[::-1]
    rest = NOISE**2  # known here, so the optimum has W Wᵀ + NOISE² with eigenvalues max(lambda, NOISE²)
    model = np.where(np.arange(D) < L, np.maximum(eigenvalues, rest), rest)
    best = -0.5 * (D * np.log(2 * np.pi) + np.log(model).sum() + (eigenvalues / model).sum())

    tg.manual_seed(0)
    w, encoder = (tg.randn(*s, dtype=tg.float64).mul(0.3).requires_grad_() for s in ((D, L), (L, D)))
    logvar = tg.zeros(L, dtype=tg.float64, requires_grad=True)
    optimizer = tg.optim.Adam([w, encoder, logvar], lr=0.02)
    data, eps = tensors(x, antithetic((16, len(x), L)))
    for step in range(1500):
        if step == 1000:
            optimizer.param_groups[0]["lr"] = 0.002
        value = elbo(w, data, data @ encoder.T, logvar.expand(len(x), L), eps).mean()
        optimizer.zero_grad()
        (-value).backward()
        optimizer.step()
    assert best - 1e-3 < value.item() < best + 1e-9


def small_vae(seed=0):
    tg.manual_seed(seed)
    return vae.VAE(hidden=12, latent=2)


def test_importance_sampled_nll_agrees_with_quadrature():
    """p(x), the integral of p(x|z) p(z), on a fine grid over the two latent dimensions."""
    net = small_vae()
    for p in net.decoder.parameters():
        p.data.mul_(1.5)  # so that z matters: the ELBO is whole nats away
    x = (np.random.default_rng(0).uniform(size=(6, 784)) < 0.5).astype(np.float32)
    axis = np.linspace(-6, 6, 121)
    z = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    log_prior = -0.5 * (z**2).sum(1) - np.log(2 * np.pi) + 2 * np.log(axis[1] - axis[0])
    with tg.no_grad():
        logits = net.decode(tg.tensor(z.astype(np.float32))).double().numpy()
    log_joint = x @ logits.T - np.logaddexp(0, logits).sum(1) + log_prior
    exact = -np.logaddexp.reduce(log_joint, axis=1)
    neg_elbo, nll = vae.likelihood(net, x, 4000)
    np.testing.assert_allclose(nll, exact, atol=0.06)
    assert (neg_elbo > exact + 0.5).all()


def test_loss_is_the_sum_over_pixels_and_the_mean_over_images():
    net = small_vae()
    rng = np.random.default_rng(1)
    x = (rng.uniform(size=(5, 784)) < 0.3).astype(np.float32)
    eps = rng.normal(size=(5, 2)).astype(np.float32)
    reconstruction, kl = vae.loss(net, *tensors(x, eps))
    one_by_one = [vae.loss(net, *tensors(x[i : i + 1], eps[i : i + 1])) for i in range(5)]
    np.testing.assert_allclose(reconstruction.item(), np.mean([r.item() for r, _ in one_by_one]), rtol=1e-5)
    np.testing.assert_allclose(kl.item(), np.mean([k.item() for _, k in one_by_one]), rtol=1e-5)
    logits = net.decode(vae.reparameterize(*net.encode(tg.tensor(x)), tg.tensor(eps)))
    direct = -bernoulli_log_likelihood(x, logits.detach().reshape(5, 1, 784)).mean()
    np.testing.assert_allclose(reconstruction.item(), direct, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 784), (2, 4, 1500), (2, 0, 7), (0, 3, 7)])
@pytest.mark.parametrize("variant", ["reference", "one_log"])
def test_bernoulli_log_likelihood_variants(variant, shape):
    rng = np.random.default_rng(0)
    n, _, d = shape
    x = (rng.uniform(size=(n, d)) < 0.5).astype(np.float32)
    logits = (rng.normal(size=shape) * 30).astype(np.float32)
    wide = logits.astype(np.float64)
    expected = (x[:, None] * wide - np.logaddexp(0, wide)).sum(2)
    with kernels.use(bernoulli_log_likelihood=variant):
        found = kernels.bernoulli_log_likelihood(x, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_sizes_of_the_seed_and_iwae_networks():
    def count(net):
        return sum(p.numel() for p in net.parameters())

    assert count(vae.build(vae.Config())) == 549_688
    assert (
        count(vae.build(vae.Config(net="iwae")))
        == 784 * 200 + 200 + 40_200 + 2 * 10_050 + 10_200 + 40_200 + 157_584
    )
    assert vae.build(vae.Config(latent=2)).latent == 2


def test_kl_weight_grows_to_one_and_is_one_without_a_warmup():
    config = vae.Config(steps=120, kl_warmup=8)
    assert [vae.kl_weight(step, config) for step in (0, 3, 7, 100)] == [1 / 8, 1 / 2, 1, 1]
    assert (
        vae.kl_weight(9, vae.Config(steps=240, kl_warmup=3000)) == 10 / 20
    )  # at most a twelfth of the steps
    assert vae.kl_weight(0, vae.Config(kl_warmup=0)) == vae.kl_weight(0, vae.Config(steps=5)) == 1


def test_training_starts_at_the_mean_image():
    images = np.random.default_rng(0).integers(0, 256, (50, 784)).astype(np.uint8)
    images[:, 0], images[:, 1] = 0, 255  # constant pixels need finite logits
    net = vae.initial_network(vae.Config(), images)
    found = net.decoder[-1].bias.sigmoid().detach().numpy()
    np.testing.assert_allclose(found[2:], images.mean(0)[2:] / 255, rtol=1e-5)
    np.testing.assert_allclose(found[:2], [1e-3, 1 - 1e-3], rtol=1e-5)


def test_manifold():
    z = vae.manifold(4)
    assert z.shape == (16, 2) and np.allclose(z.mean(0), 0, atol=1e-6)
    assert (z[0] == [z[:, 0].min(), z[:, 1].max()]).all()


# The command on real runs

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
SHORT = "--steps 60 --batch 20 --checkpoint-every 20 --pictures-every 30".split()


def command(*args, **options):
    return subprocess.run(
        [sys.executable, "-m", "tinygen", *map(str, args)], capture_output=True, text=True, env=ENV, **options
    )


def test_train_sample_evaluate_from_python(tmp_path):
    from tinygen.run.training import Run

    config = vae.Config(steps=40, batch=20, latent=2, pictures_every=40)
    run = vae.train(config, Run.create("vae", config, tmp_path / "run"))
    assert vae.sample(run, 3).shape == (3, 28, 28)
    assert vae.evaluate(run, samples=20, k=5)["images"] == 20
    names = {re.sub(r"-\d+", "", p.name) for p in (tmp_path / "run" / "samples").iterdir()}
    assert names == {"samples.png", "reconstructions.png", "interpolation.png", "manifold.png"}


def test_command_line_end_to_end(tmp_path):
    run = tmp_path / "run"
    trained = command("train", "vae", "--out", run, *SHORT)
    assert trained.returncode == 0, trained.stderr
    assert "\r" not in trained.stderr and "it/s" not in trained.stderr  # quiet without a terminal
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert set(lines[-1]) == {"step", "seconds", "loss", "reconstruction", "kl"} and lines[-1]["step"] == 60
    evaluated = command("eval", run, "--samples", 30, "--k", 10)
    result = json.loads(evaluated.stdout)
    assert list(result) == ["model", "data", "split", "images", "step", "neg_elbo", "nll", "nll_se", "k"]
    assert result["nll"] < result["neg_elbo"] + 1 and json.loads((run / "eval.json").read_text()) == result
    sampled = command("sample", run, "-n", 9, "-o", tmp_path / "grid.png")
    assert sampled.returncode == 0 and (tmp_path / "grid.png").stat().st_size > 500
    again = command("sample", run, "-n", 9, "-o", tmp_path / "again.png")
    assert (
        again.returncode == 0
        and (tmp_path / "again.png").read_bytes() == (tmp_path / "grid.png").read_bytes()
    )
    assert command("sample", run, "--label", 3).returncode == 2


def final_state(folder: Path):
    arrays, meta = checkpoint.read(folder / "checkpoint.safetensors")
    return arrays, meta["step"]


def assert_same_run(folder, other):
    (arrays, step), (expected, expected_step) = final_state(folder), final_state(other)
    assert step == expected_step and arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert array.tobytes() == expected[name].tobytes(), name

    def lines(run):
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in r.items() if k != "seconds"} for r in records]

    assert lines(folder) == lines(other)


@pytest.mark.slow
def test_twenty_kills_and_resumes_give_the_same_bits(tmp_path):
    flags = "--steps 12000 --batch 20 --checkpoint-every 25 --pictures-every 1000000".split()
    whole = command("train", "vae", "--out", tmp_path / "whole", *flags)
    assert whole.returncode == 0, whole.stderr
    run = tmp_path / "killed"
    start = [sys.executable, "-m", "tinygen", "train", "vae", "--out", run, *flags]
    moments = random.Random(0)
    kills = 0
    while kills < 20:
        resume = ["--resume"] if (run / "config.json").exists() else []
        process = subprocess.Popen([*map(str, start), *resume], env=ENV, stderr=subprocess.PIPE, text=True)
        time.sleep(moments.uniform(0.5, 1.4))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        if (run / "checkpoint.safetensors").exists():
            final_state(run)  # readable, always
    assert kills == 20, f"the run was over after {kills} kills: make it longer; {process.stderr.read()}"
    finished = subprocess.run([*map(str, start), "--resume"], env=ENV, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert_same_run(run, tmp_path / "whole")


@pytest.mark.slow
def test_mnist_is_learned(tmp_path):
    """After a sixth of the default run, on 2,000 test images."""
    data = os.environ.get("TINYGEN_DATA")
    if not data:
        pytest.skip("no MNIST here: set TINYGEN_DATA")
    trained = command("train", "vae", "--data", "mnist", "--steps", 6000, "--out", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    result = json.loads(command("eval", tmp_path / "run", "--samples", 2000, "--k", 100).stdout)
    assert 95 < result["neg_elbo"] < 103 and result["nll"] < result["neg_elbo"] - 2
