"""DDPM: learn to undo one small step of noise.  Ho et al. 2020, arXiv 2006.11239.   tinygen train ddpm

Noise covers an image in T small steps; a network that tells the noise in a noisy image makes images out of nothing
else.  Schedules, samplers and the bound are in `diffusion/`.

The defaults are for minutes on a CPU, the paper's are --predict eps --schedule linear: Fréchet distance 12.0 against
29.7 after 3,000 steps.  Where the bound matters predict eps: 2.25 bits a dimension, x0 has 27.9, for at small t an
error in x0 counts with the signal-to-noise ratio (python -m tinygen.benchmarks.tables.diffusion measure base eps paper;
README.md has the tables).
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from tinygen import cat, full, manual_seed, nn, no_grad, optim, tensor
from tinygen.data import batch_indices, load
from tinygen.metrics import mean_and_error
from tinygen.models.adversarial import generator
from tinygen.models.diffusion import bound as variational_bound
from tinygen.models.diffusion import denoising, samplers
from tinygen.models.diffusion import schedule as noise_schedule
from tinygen.models.diffusion.denoising import Denoiser
from tinygen.models.diffusion.samplers import Prediction, Sampling
from tinygen.models.diffusion.schedule import SCHEDULES, NoiseSchedule
from tinygen.models.networks.dit import DiT
from tinygen.models.networks.unet import UNet
from tinygen.random import Generator
from tinygen.run.flags import Checked, FlagError, make_config
from tinygen.run.pictures import Sheet, by_class, gif
from tinygen.run.progress import progress
from tinygen.run.terminal import say
from tinygen.run.training import Run

CLASSES = 10
TERMS = 4  # steps of the bound that each test image is measured on
TEST_SEED = 0  # of their noise
HYBRID = 0.001  # of the bound beside L_simple, for a learned variance (Nichol & Dhariwal 2021, section 3.1)
Walk = Literal["linear", "spherical"]
Part = Literal["left", "right", "top", "bottom", "center"]


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # glyphs, mnist, fashion-mnist or cifar10
    data_dir: str | None = None  # where the data set's files are
    seed: int = 0  # of the initial parameters and of everything drawn in training
    steps: int = 3_000  # training steps; 937 are an epoch of 60,000 images
    batch: int = 64  # images a step
    lr: float = 1e-3  # of Adam; grows in the first steps and falls to 0 with a cosine
    net: Literal["unet", "dit"] = "unet"  # which network, unet.py or dit.py
    width: int = 32  # channels of the U-Net's outer blocks; of the DiT's tokens 3 times as many
    noise_levels: int = 1000  # T, the levels from an image to noise
    schedule: Literal["linear", "cosine", "sigmoid"] = "cosine"  # of beta, see diffusion/schedule.py
    predict: Literal["eps", "x0", "v"] = "x0"  # what the network says of x_t: its noise, its image, or both
    variance: Literal["small", "large", "learned"] = (
        "large"  # of the reverse steps, see diffusion/schedule.py
    )
    loss: Literal["simple", "bound"] = "simple"  # the squared error of what is predicted, or the true bound
    conditional: bool = False  # learn from the labels too, which can be asked for then
    label_dropout: float = 0.1  # share of labels left out, for guidance
    ema: float = 0.999  # decay of the averaged network that draws the images; 0 for none
    pictures_every: int = 1_000  # steps between pictures
    checkpoint_every: int = 500  # steps between checkpoints


def build(config: Config) -> nn.Module:
    """The network, with the initial parameters that `config.seed` gives: (x_t, t, label or None) -> as many channels,
    twice as many where the variance is learned."""
    if not config.conditional and config.label_dropout != Config.label_dropout:
        raise FlagError("--label-dropout: only with --conditional")
    if not config.label_dropout:
        raise FlagError(
            "--label-dropout: found 0, expected more: guidance, the bound, --walk and --inpaint ask without labels"
        )
    manual_seed(config.seed)
    channels, size = generator.shape_of(config.data)[:2]
    outputs = 2 * channels if config.variance == "learned" else channels
    classes = CLASSES if config.conditional else 0
    if config.net == "dit":
        return DiT(channels, size, width=3 * config.width, classes=classes, outputs=outputs)
    return UNet(
        channels, config.width, (1, 2), (False, True), blocks=1, stem=2, classes=classes, outputs=outputs
    )


def schedule_of(config: Config) -> NoiseSchedule:
    if config.noise_levels < 2:
        raise FlagError(f"--noise-levels: found {config.noise_levels}, expected 2 or more")
    return NoiseSchedule(SCHEDULES[config.schedule](config.noise_levels))


# The forward process, and what a network can say of it


def noised(x0, noise, alpha_bar):
    """A sample of q(x_t | x_0): x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise  (eq. 4).

    x0, noise (N, C, H, W); alpha_bar the level's, (N,) float64 or one number
    """
    return each(np.sqrt(alpha_bar), x0) * x0 + each(np.sqrt(1 - alpha_bar), x0) * noise


def target(kind: str, x0, noise, alpha_bar):
    """What the network is to predict: eps the noise, x0 the image, v = sqrt(ᾱ) noise - sqrt(1 - ᾱ) x_0.

    v: Salimans & Ho 2022, arXiv 2202.00512, section 4 and appendix D.
    """
    if kind == "eps":
        return noise
    if kind == "x0":
        return x0
    return each(np.sqrt(alpha_bar), x0) * noise - each(np.sqrt(1 - alpha_bar), x0) * x0


def image_in(kind: str, output, x, alpha_bar):
    """The x_0 that a network's output stands for, of x_t and its level."""
    signal, noise = each(np.sqrt(alpha_bar), x), each(np.sqrt(1 - alpha_bar), x)
    if kind == "eps":
        return (x - noise * output) / signal
    return output if kind == "x0" else signal * x - noise * output


def predicted(config: Config, output, x, alpha_bar, clip: bool) -> Prediction:
    """Image, noise and variance of x_t from the network's output; noise is derived again from a clipped image."""
    output, mix = output.chunk(2, 1) if config.variance == "learned" else (output, None)
    x0 = image_in(config.predict, output, x, alpha_bar)
    if clip:
        x0 = x0.clamp(-1, 1)
    noise = (x - each(np.sqrt(alpha_bar), x) * x0) / each(np.sqrt(1 - alpha_bar), x)
    return Prediction(x0, noise, None if mix is None else (mix + 1) / 2)


def each(values, like):
    """A float64 number or one for each image, as a Tensor that multiplies images.  (N,) or () -> (N or 1, 1, 1, 1)"""
    return tensor(np.asarray(values).reshape(-1, 1, 1, 1), dtype=like.dtype, device=like.device)


# Losses


def loss(net, x0, t, noise, label, schedule: NoiseSchedule, config: Config):
    """Algorithm 1's loss of each image: L_simple (eq. 14, of eps; its like of x0 and v weighs the levels otherwise),
    with HYBRID times the bound if the variance is learned; or T times the bound's term, in bits a dimension, whose mean
    over t is the bound without its prior KL.

    x0, noise (N, C, H, W), t (N,) of 1 ... T, label (N,) or None -> (N,)
    """
    alpha_bar = schedule.alpha_bar[t]
    x = noised(x0, noise, alpha_bar)
    output = net(x, tensor(t, device=x.device), label)
    if config.loss == "bound":
        return schedule.T * bound_term(config, schedule, output, x0, x, t)
    said, *variance = output.chunk(2, 1) if config.variance == "learned" else (output,)
    simple = (said - target(config.predict, x0, noise, alpha_bar)).square().mean((1, 2, 3))
    if not variance:
        return simple
    held = cat([said.detach(), *variance], 1)  # the bound teaches the variance alone
    return simple + HYBRID * schedule.T * bound_term(config, schedule, held, x0, x, t)


def bound_term(config: Config, schedule: NoiseSchedule, output, x0, x, t, clip: bool = False):
    """The term of step t in the bound (diffusion/bound.py), in bits a dimension.

    output of the network; x0, x = x_t (N, C, H, W); t (N,); clip the predicted image -> (N,)
    """
    answer = predicted(config, output, x, schedule.alpha_bar[t], clip)
    q = schedule.posterior(t)
    true_mean, mean = (each(q.from_x0, x) * image + each(q.from_xt, x) * x for image in (x0, answer.x0))
    true_log_variance = each(schedule.log_variance("small", t)[0], x)
    fixed, learned = (each(part, x) for part in schedule.log_variance(config.variance, t))
    log_variance = fixed if answer.mix is None else fixed + learned * answer.mix
    is_first = tensor((t == 1).reshape(-1, 1, 1, 1), device=x.device)
    return variational_bound.term(x0, true_mean, true_log_variance, mean, log_variance, is_first)


# Training


def train(config: Config, run: Run | None = None) -> Run:
    """Algorithm 1 on images in [-1, 1]; everything random is a function of (seed, purpose, step)."""
    run = run or Run.create("ddpm", config)
    schedule, net = schedule_of(config), build(config).to(run.device)
    dataset = load(config.data, config.data_dir)
    images = dataset.train_images.reshape(-1, *generator.shape_of(config.data))
    labels = dataset.train_labels if config.conditional else None
    run.record(data_sha256=dataset.sha256)
    describe(run, schedule, images)
    draws = Generator(config.seed)
    optimizer = optim.Adam(net.parameters(), config.lr)
    rates = optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, config.steps))
    ema = optim.EMA(net, config.ema)
    run.track(net=net, optimizer=optimizer, rates=rates, ema=ema)

    for step in run.steps(config.steps):
        x0 = generator.real_batch(images, config, step, run.device)
        t = draws.at("t", step).integers(1, config.noise_levels + 1, config.batch)  # 1 ... T, both ends
        noise = tensor(draws.at("noise", step, run.device).normal(x0.shape))
        label = label_batch(labels, config, draws, step, run.device)

        losses = loss(net, x0, t, noise, label, schedule, config)
        optimizer.zero_grad()
        losses.mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rates.step()
        if config.ema:
            ema.update()

        run.log(loss=losses.mean(), **by_quarter(losses, t, config.noise_levels))
        if run.every(config.pictures_every) or run.done == config.steps:
            pictures(run, net, ema)
    return run


def lr_factor(step: int, steps: int) -> float:
    """The learning rate's factor: up to 1 in the first 200 steps, then along a cosine to 0 at the last."""
    return min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))


def label_batch(labels, config: Config, draws: Generator, step: int, device):
    """The labels of a step's images, some of them replaced by "no class"; None without labels.  -> (N,)"""
    if labels is None:
        return None
    label = labels[batch_indices(len(labels), config.batch, config.seed, step)]
    dropped = draws.at("label-dropout", step).uniform(config.batch) < config.label_dropout
    return tensor(np.where(dropped, CLASSES, label), device=device)


def by_quarter(losses, t: np.ndarray, T: int) -> dict[str, float]:
    """The mean loss of each quarter of the levels, where the batch has any of it: each levels off at its own height."""
    values, quarter = losses.detach().cpu().numpy(), (4 * (t - 1)) // T
    return {f"loss_t{q + 1}of4": values[quarter == q].mean() for q in range(4) if (quarter == q).any()}


def describe(run: Run, schedule: NoiseSchedule, images: np.ndarray) -> None:
    """Say where the schedule ends, and draw it as schedule.png."""
    square = float(np.square(images[:10_000].astype(np.float32) / 127.5 - 1).mean())
    run.write("schedule.png", noise_schedule.picture(schedule, square))
    say(
        f"{run.folder}: noise schedule {run.config.schedule}, T {schedule.T}: "
        f"signal to noise at T {schedule.snr[-1]:.2e}, prior KL {schedule.prior_kl(square)[-1]:.2e} bits/dim"
    )


# A trained network


def trained(run: Run, weights: str = "ema") -> nn.Module:
    """The network of a run's checkpoint, with its averaged or its last parameters."""
    net = build(run.config).to(run.device)
    ema = optim.EMA(net, run.config.ema)
    run.load(net=net, ema=ema)
    if weights == "ema" and not run.config.ema:
        raise FlagError("--weights ema: this run kept no average (--ema 0); choose raw")
    return averaged(net, ema) if weights == "ema" else net.eval()


def averaged(net, ema) -> nn.Module:
    """A copy of the network with the averaged parameters."""
    if not ema.decay:
        return copy.deepcopy(net).eval()
    with ema.applied():
        return copy.deepcopy(net).eval()


def denoiser_of(net, config: Config, sampling: Sampling) -> Denoiser:
    """The network as samplers ask it."""
    if sampling.guidance != 1 and not config.conditional:
        raise FlagError("--guidance: this run learned without labels; train one with --conditional")
    schedule, device = schedule_of(config), generator.device_of(net)

    def predict(x, t: int, label) -> Prediction:
        times = full((len(x),), t, device=device)
        output = samplers.guided(net, x, times, label, sampling.guidance, nothing=CLASSES)
        return predicted(config, output, x, schedule.alpha_bar[t], sampling.clip)

    shape = generator.shape_of(config.data)
    return Denoiser(predict, schedule, config.variance, sampling, shape, device)


def classes_asked(config: Config, n: int, label: int | None) -> np.ndarray | None:
    """The labels of n images: `label`, or one class after the other; None where the network knows none.  -> (n,)"""
    if not config.conditional:
        if label is not None:
            raise FlagError("--label: this run learned without labels; train one with --conditional")
        return None
    if label is not None and not 0 <= label < CLASSES:
        raise FlagError(f"--label: found {label}, expected 0 to {CLASSES - 1}")
    return np.arange(n) % CLASSES if label is None else np.full(n, label)


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # of all noise
    label: int | None = None,  # the class to draw, of a conditional run; without it one after the other
    **sampling: Sampling,
) -> np.ndarray:
    """n images out of noise (algorithm 2, or a faster sampler).  -> (n, 28, 28), or (n, 3, 32, 32), in [0, 1]"""
    return denoising.drawn(trained_denoiser(run, sampling), n, seed, classes_asked(run.config, n, label))


def labels_drawn(run: Run, n: int, label: int | None = None) -> np.ndarray | None:
    """The labels of the n images of `sample`; None where there are none.  -> (n,)"""
    return classes_asked(run.config, n, label)


def trained_denoiser(run: Run, sampling: dict) -> Denoiser:
    """That of a run's checkpoint, with the sampler flags that were given."""
    sampling = make_config(Sampling, sampling)
    return denoiser_of(trained(run, sampling.weights), run.config, sampling)


def evaluate(
    run: Run,
    *,
    data: str | None = None,  # another data set than the one trained on
    data_dir: str | None = None,  # where its files are now
    samples: int = 10_000,  # images to draw, as many of each class; and test images for the bound
    **sampling: Sampling,
) -> dict:
    """Measures of generated images beside the data's (metrics/images.py), and the bound on the test images.

    bits_per_dim, with its standard error, is the sum of prior_kl, steps_bits and reconstruction_bits; it does not
    depend on the sampler, whose flags are told beside the images' measures.
    """
    generator.refuse_other_shape(run, data or run.config.data)
    test = load(data or run.config.data, data_dir or run.config.data_dir).test_images[:samples]
    labels, flags = classes_asked(run.config, samples, None), make_config(Sampling, sampling)
    net = trained(run, flags.weights)
    denoiser = denoiser_of(net, run.config, flags)
    found = generator.measured(
        run,
        samples,
        lambda: denoising.drawn(denoiser, samples, 0, labels),
        data,
        data_dir,
        labels,
        alone=False,
    )
    if "images" in found:
        found |= asdict(flags) | {"sampling_steps": len(denoiser.visited) - 1}
    return found | bound(net, run.config, test.reshape(-1, *generator.shape_of(run.config.data)))


@no_grad()
def bound(net, config: Config, images: np.ndarray, rows: int = 250) -> dict:
    """The bound on -log p of images (N, C, H, W) uint8, in bits a dimension, and its three parts.

    Of the T - 1 steps each image takes TERMS, equally far apart from a random first one: an unbiased estimate, with its
    error.  A conditional network answers without labels.
    """
    schedule, device = schedule_of(config), generator.device_of(net)
    steps, reconstruction, square = [], [], 0.0

    def terms(x0, t, purpose, start):
        noise = tensor(Generator(TEST_SEED).at(purpose, start, device).normal(x0.shape))
        x = noised(x0, noise, schedule.alpha_bar[t])
        output = net(x, tensor(t, device=device), None)
        return bound_term(config, schedule, output, x0, x, t, clip=True).cpu().numpy()

    for start in progress(range(0, len(images), rows), "bound"):
        x0 = tensor(images[start : start + rows].astype(np.float32) / 127.5 - 1, device=device)
        square += x0.square().sum().item()
        reconstruction.append(terms(x0, np.ones(len(x0), int), "bound-1", start))
        first, sums = Generator(TEST_SEED).at("bound-t", start).uniform(len(x0), np.float64), 0.0
        for i in range(TERMS):
            t = 2 + np.floor((first + i) / TERMS * (schedule.T - 1)).astype(int)
            sums = sums + terms(x0, t, f"bound-step-{i}", start)
        steps.append(sums * (schedule.T - 1) / TERMS)
    steps, reconstruction = np.concatenate(steps), np.concatenate(reconstruction)
    prior_kl = float(schedule.prior_kl(square / images.size)[-1])
    mean, error = mean_and_error(prior_kl + steps + reconstruction)
    return {
        "bits_per_dim": mean,
        "bits_per_dim_se": error,
        "prior_kl": prior_kl,
        "steps_bits": float(steps.mean()),
        "reconstruction_bits": float(reconstruction.mean()),
        "bound_images": len(images),
    }


# Pictures


def pictures(run: Run, net, ema) -> None:
    """Samples, always from the same noise, and how four of them came out of it, as a strip and as an animation.

    Of a conditional run a column for each class.
    """
    denoiser = denoiser_of(averaged(net, ema), run.config, Sampling())
    columns = CLASSES if run.config.conditional else 8
    labels = classes_asked(run.config, 8 * columns, None)
    run.sheet("samples", by_class(denoising.drawn(denoiser, 8 * columns, 0, labels), labels))
    labels = classes_asked(run.config, 4, None)
    frames = denoising.trajectory(denoiser, 4, 0, labels)
    run.sheet("denoising", denoising.strip(frames, labels))
    run.write(f"samples/denoising-{run.done:06d}.gif", gif(denoising.animated(frames, labels)))
    run.plot_losses("bits a dimension" if run.config.loss == "bound" else "squared error")


def explored(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # of all noise, and of which test images
    label: int | None = None,  # the class to draw, of a conditional run
    strip: bool = False,  # rows of x_t and of the image seen in it, from noise to image
    walk: Walk | None = None,  # rows from a test image to another, between their noises
    inpaint: Part | None = None,  # fill in a part of test images
    **sampling: Sampling,
) -> Sheet:
    """What `tinygen sample --strip`, `--walk` and `--inpaint` draw: n rows of images."""
    if bool(strip) + bool(walk) + bool(inpaint) != 1:
        raise FlagError("--strip, --walk, --inpaint: expected one of them")
    for name, given in {"label": label is not None, "guidance": sampling.get("guidance", 1) != 1}.items():
        if given and not strip:
            raise FlagError(f"--{name}: not with --walk and --inpaint, which start from test images")
    labels, denoiser = classes_asked(run.config, n, label), trained_denoiser(run, sampling)
    if strip:
        return denoising.strip(denoising.trajectory(denoiser, n, seed, labels), labels)
    images = load(run.config.data, run.config.data_dir).test_images.reshape(-1, *denoiser.shape)
    return denoising.explored(denoiser, images, n, seed, walk, inpaint)


def animation(run: Run, n: int, *, seed: int = 0, label: int | None = None, **sampling: Sampling) -> list:
    """The sheets of `tinygen sample -o FILE.gif`: n images on their way out of noise, x_t above x_0."""
    labels = classes_asked(run.config, n, label)
    return denoising.animated(denoising.trajectory(trained_denoiser(run, sampling), n, seed, labels), labels)
