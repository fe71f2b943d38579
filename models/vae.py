"""VAE: compress an image into a few numbers and back.  Kingma & Welling 2013, arXiv 1312.6114.   tinygen train vae

tinygen train vae --data mnist: 2.0 minutes on 2 cores, then tinygen eval RUN: -ELBO 94.15, NLL 89.70 nats (k = 500) on
all 10,000 test images.  Other commands and papers: models/README.md, from benchmarks/results/models.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from tinygen import manual_seed, nn, no_grad, optim, tensor
from tinygen.data import Feed, binarize, load
from tinygen.metrics import (
    MetricError,
    bernoulli_log_likelihood,
    image_measures,
    importance_sampled_nll,
    mean_and_error,
)
from tinygen.models.latent.space import LatentSpace
from tinygen.models.latent.walks import COLUMNS, WAY, linear
from tinygen.models.shared.networks import device_of
from tinygen.nn import functional as F
from tinygen.ops.tensor.conversion import own
from tinygen.random import Generator
from tinygen.run.flags import Checked
from tinygen.run.progress import progress
from tinygen.run.terminal import say
from tinygen.run.training import Run

PIXELS = 784
UNITS = {"loss": "-ELBO, nats", "reconstruction": "-log p(x|z), nats", "kl": "KL, nats"}  # per image
TEST_SEED = 0  # seed of the fixed binarization of the test set, and of the samples that measure it


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # data set: glyphs, mnist or fashion-mnist
    data_dir: str | None = None  # folder with the data set's files
    seed: int = 0  # seed of the initial parameters and of everything drawn in training
    steps: int = 36_000  # training steps; 36,000 are 60 epochs of 600 batches
    batch: int = 100  # images per step
    lr: float = 1e-3  # learning rate (Adam); times 0.3 after 50 % of the steps, times 0.1 after 80 %
    net: Literal["seed", "iwae"] = "seed"  # network: 784-256-256-20 with ReLU, or 784-200-200-50 with tanh
    latent: int | None = None  # dimensions of z, instead of the network's own
    kl_warmup: int = 3_000  # steps in which the KL gains its full weight, at most 1/12 of all; 0 for none
    pictures_every: int = 6_000  # steps between pictures
    checkpoint_every: int = 6_000  # steps between checkpoints


class VAE(nn.Module):
    """Encoder q(z|x) = N(mu, diag exp(logvar)) and decoder p(x|z) = Bernoulli(sigmoid(logits)).

    The parameters have the names of the seed programs' VAE and PyTorch's default initialisation: weights and biases
    uniform in ±1/sqrt(fan_in).
    """

    def __init__(self, hidden: int = 256, latent: int = 20, activation=nn.ReLU) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(
            nn.Linear(PIXELS, hidden), activation(), nn.Linear(hidden, hidden), activation()
        )
        self.fc_mu = nn.Linear(hidden, latent)
        self.fc_logvar = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden),
            activation(),
            nn.Linear(hidden, hidden),
            activation(),
            nn.Linear(hidden, PIXELS),
        )

    def encode(self, x):
        """x (N, 784) -> mu, logvar (N, latent)"""
        h = self.encoder(x)
        return self.fc_mu(h), self.fc_logvar(h)

    def decode(self, z):
        """z (N, latent) -> logits (N, 784)"""
        return self.decoder(z)


def build(config: Config) -> VAE:
    """The network that a config names: the seed programs' or the one-layer network of the IWAE paper (section 5)."""
    hidden, latent, activation = {"seed": (256, 20, nn.ReLU), "iwae": (200, 50, nn.Tanh)}[config.net]
    return VAE(hidden, latent if config.latent is None else config.latent, activation)


def reparameterize(mu, logvar, eps):
    """z = mu + sigma eps, sigma = exp(logvar / 2): a sample of q(z|x) that gradients pass through (section 2.4)."""
    return mu + (0.5 * logvar).exp() * eps


def kl_divergence(mu, logvar):
    """KL(N(mu, exp(logvar)) || N(0, 1)) = -1/2 sum (1 + logvar - mu² - exp(logvar))  (appendix B).  (N, L) -> (N,)"""
    return -0.5 * (1 + logvar - mu * mu - logvar.exp()).sum(1)


def loss(net, x, eps):
    """-ELBO = E_q[-log p(x|z)] + KL(q(z|x) || p(z)), in nats per image (eq. 10), as its two terms.

    x (N, 784) of 0 and 1, eps (N, latent) standard normal -> reconstruction, kl
    """
    mu, logvar = net.encode(x)
    logits = net.decode(reparameterize(mu, logvar, eps))
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    return reconstruction, kl_divergence(mu, logvar).mean()


def train(config: Config, run: Run | None = None) -> Run:
    """Train on dynamically binarized images; everything random is a function of (seed, purpose, step)."""
    run = run or Run.create("vae", config)
    images = load(config.data, config.data_dir, grey=True)
    run.record(data_sha256=images.sha256)
    x_train = images.train_images.reshape(-1, PIXELS)
    feed = Feed(x_train, batch=config.batch, seed=config.seed, device=run.device)
    random = Generator(config.seed)
    net = initial_network(config, x_train).to(run.device)
    optimizer = optim.Adam(net.parameters(), config.lr)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step / max(1, config.steps)))
    run.track(net=net, optimizer=optimizer, schedule=schedule)

    @run.captured
    def advance(step, batch, weight):
        x = own(binarize(batch, random.at("binarize", step, run.device)))
        eps = own(random.at("eps", step, run.device).normal((config.batch, net.latent)))
        reconstruction, kl = loss(net, x, eps)
        optimizer.zero_grad()
        (reconstruction + weight * kl).backward()
        optimizer.step()
        return reconstruction + kl, reconstruction, kl

    for step in run.steps(config.steps):
        elbo, reconstruction, kl = advance(step, *feed.at(step), kl_weight(step, config))
        run.log(loss=elbo, reconstruction=reconstruction, kl=kl)  # -ELBO, during the warm-up too
        schedule.step()
        if run.every(config.pictures_every) or run.done == config.steps:
            pictures(run, net, images.test_images)
    run.plot_losses(UNITS)
    return run


def initial_network(config: Config, x_train: np.ndarray) -> VAE:
    """The network with the initial parameters that `config.seed` gives; every z decodes to about the mean image.

    The decoder's last bias starts at the logits of the mean image, so that it need not be learned at the cost of z.
    """
    manual_seed(config.seed)
    net = build(config)
    mean = np.clip(x_train.mean(0) / 255, 1e-3, 1 - 1e-3)
    with no_grad():
        net.decoder[-1].bias.copy_(tensor(np.log(mean / (1 - mean))))
    return net


def kl_weight(step: int, config: Config) -> float:
    """The weight of the KL, from 0 to 1 in the first steps ("Warm-up" in Sønderby et al. 2016, arXiv 1602.02282).

    Without a warm-up, the KL permanently silences latent dimensions before the decoder has found a use for them.
    """
    warmup = min(config.kl_warmup, config.steps // 12)
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def lr_factor(progress: float) -> float:
    """The factor of the learning rate after a fraction of the steps."""
    return 1.0 if progress < 0.5 else 0.3 if progress < 0.8 else 0.1


def trained_network(run: Run) -> VAE:
    """The network of a run, loaded from its checkpoint."""
    net = build(run.config).to(run.device)
    run.load(net=net)
    return net


@no_grad()
def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # seed of the latents z
) -> np.ndarray:
    """Pixel probabilities of n images decoded from z ~ N(0, 1).  -> (n, 28, 28) in [0, 1]"""
    net = trained_network(run)
    return _decoded(net, Generator(seed).at("sample").normal((n, net.latent)))


def latent_space(run: Run) -> LatentSpace:
    """A space whose latents are the means of q(z|x) of images, so that they stand for digits."""
    net, images = trained_network(run), load(run.config.data, run.config.data_dir)

    @no_grad()
    def draw(n: int, split: str, seed: int) -> np.ndarray:
        x = images.train_images if split == "train" else images.test_images
        x = x[Generator(seed).at("latents").permutation(len(x))[:n]].reshape(-1, PIXELS)
        return net.encode(tensor(x.astype(np.float32) / 255, device=device_of(net)))[0].cpu().numpy()

    return LatentSpace(draw, no_grad()(lambda z: _decoded(net, z)), run.config.data)


def _decoded(net, z) -> np.ndarray:
    """Pixel probabilities.  z (n, latent) -> (n, 28, 28) in [0, 1]"""
    return net.decode(tensor(z, device=device_of(net))).sigmoid().cpu().numpy().reshape(-1, 28, 28)


@no_grad()
def evaluate(
    run: Run,
    *,
    data: str | None = None,  # data set to measure on, instead of the training data
    data_dir: str | None = None,  # folder with its files
    samples: int | None = None,  # use only the first so many test images
    k: int = 500,  # importance samples per image
) -> dict:
    """-ELBO and importance-sampled NLL in nats per image, on the test split with one fixed binarization.

    Then measures of equally many generated images, if the data set has an evaluator and they are enough for it.
    """
    name = data or run.config.data
    images = load(name, data_dir or run.config.data_dir, grey=True).test_images[:samples].reshape(-1, PIXELS)
    net = trained_network(run)
    x_test = binarize(images, Generator(TEST_SEED).at("test-binarization"))
    neg_elbo, nll = likelihood(net, x_test, k)
    mean, error = mean_and_error(nll)
    found = {
        "data": name,
        "split": "test",
        "images": len(x_test),
        "neg_elbo": float(neg_elbo.mean()),
        "nll": mean,
        "nll_se": error,
        "k": k,
    }
    try:
        return found | image_measures(sample(run, len(x_test)), name, data_dir or run.config.data_dir)
    except MetricError as e:
        say(f"{run.folder}: the images drawn are not measured: {e}")
        return found


@no_grad()
def likelihood(net, x_test: np.ndarray, k: int, rows: int = 2500) -> tuple[np.ndarray, np.ndarray]:
    """-ELBO (KL in closed form) and NLL of each image from k samples of q(z|x), decoding `rows` at a time."""
    neg_elbo, nll = np.empty(len(x_test)), np.empty(len(x_test))
    chunk, device = max(1, rows // k), device_of(net)
    for start in progress(range(0, len(x_test), chunk), "evaluating"):
        x = x_test[start : start + chunk]
        eps = tensor(Generator(TEST_SEED).at("test-eps", start, device).normal((len(x), k, net.latent)))
        mu, logvar = (t.unsqueeze(1) for t in net.encode(tensor(x, device=device)))
        z = reparameterize(mu, logvar, eps)
        log_px = bernoulli_log_likelihood(x, net.decode(z.reshape(-1, net.latent)).reshape(len(x), k, PIXELS))
        # log p(z) - log q(z|x): the normalizing constants 2 pi cancel
        log_ratio = (-0.5 * z.square() + 0.5 * (eps.square() + logvar)).double().sum(2).cpu().numpy()
        kl = kl_divergence(mu[:, 0], logvar[:, 0]).cpu().numpy()
        neg_elbo[start : start + chunk] = kl - log_px.mean(axis=1)
        nll[start : start + chunk] = importance_sampled_nll(log_px + log_ratio)
    return neg_elbo, nll


# Pictures


@no_grad()
def pictures(run: Run, net, test_images) -> None:
    """Draw samples, reconstructions below their images, walks between two images, and the manifold of a 2-d latent."""
    z = Generator(0).at("sample").normal((64, net.latent))
    run.image("samples", _decoded(net, z), columns=8)
    x = test_images[:32].reshape(-1, PIXELS).astype(np.float32) / 255
    mu = net.encode(tensor(x, device=device_of(net)))[0].cpu().numpy()
    pairs = np.stack([x.reshape(4, 8, 28, 28), _decoded(net, mu).reshape(4, 8, 28, 28)], axis=1)
    run.image("reconstructions", pairs.reshape(-1, 28, 28), columns=8, beside=["image", "decoded"] * 4)
    walks = linear(mu[:8], mu[8:16], COLUMNS).reshape(8 * COLUMNS, -1)
    run.image("interpolation", _decoded(net, walks), columns=COLUMNS, over=WAY)
    if net.latent == 2:
        axis = [f"{z:.2f}" for z in manifold(20)[:20, 0]]
        words = {"over": axis, "beside": axis[::-1], "title": "z_1 to the right, z_2 upwards"}
        run.image("manifold", _decoded(net, manifold(20)), columns=20, **words)
    run.plot_losses(UNITS)


def manifold(n: int) -> np.ndarray:
    """A grid of n x n points of the plane, equally likely under the prior (figure 4).  -> (n n, 2)"""
    quantiles = [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    return np.array([(x, -y) for y in quantiles for x in quantiles], np.float32)
