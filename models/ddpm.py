"""DDPM: learn to undo one small step of noise.  Ho et al. 2020, arXiv 2006.11239.   tinygen train ddpm

Noise covers an image in T small steps.  A network that finds the noise in a noisy image can turn pure noise into an
image, step by step.  Schedules, samplers and the bound are in `diffusion/`.

The defaults are for minutes on a CPU: Fréchet distance 12.0 after 3,000 steps, against 29.7 with the paper's choices,
--predict eps --schedule linear.  If the bound matters, predict eps: 2.25 bits per dimension, against 27.9 for x0, since
at small t an error in x0 is weighted by the signal-to-noise ratio.  (python -m tinygen.benchmarks.tables.diffusion
measure base eps paper; models/README.md has the tables.)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from tinygen import as_tensor, cat, full, manual_seed, nn, optim, tensor
from tinygen.data import Feed, load
from tinygen.models.diffusion import bound as variational_bound
from tinygen.models.diffusion import denoising, samplers
from tinygen.models.diffusion.denoising import Denoiser, Part, Walk
from tinygen.models.diffusion.forward import Prediction, each, levels_of, noised, predicted, target
from tinygen.models.diffusion.forward import image_in as image_in  # a name that this file has always had
from tinygen.models.diffusion.samplers import Sampling
from tinygen.models.diffusion.schedule import SCHEDULES, NoiseSchedule
from tinygen.models.diffusion.training import by_quarter as by_quarter  # likewise
from tinygen.models.diffusion.training import classes_of, describe, left_out, log_losses, lr_factor, show
from tinygen.models.diffusion.training import label_batch as label_batch
from tinygen.models.networks.dit import DiT
from tinygen.models.networks.unet import UNet
from tinygen.models.shared import measures
from tinygen.models.shared.images import shape_of, signed
from tinygen.models.shared.labels import CLASSES, classes_asked
from tinygen.models.shared.networks import averaged, device_of
from tinygen.ops.tensor.conversion import own
from tinygen.random import Generator
from tinygen.run.flags import Checked, FlagError, make_config
from tinygen.run.pictures import Sheet
from tinygen.run.training import Run

HYBRID = 0.001  # weight of the bound next to L_simple, for a learned variance (Nichol & Dhariwal 2021, section 3.1)


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # data set: glyphs, mnist, fashion-mnist or cifar10
    data_dir: str | None = None  # folder with the data set's files
    seed: int = 0  # seed of the initial parameters and of everything drawn in training
    steps: int = 3_000  # training steps; 937 are an epoch of 60,000 images
    batch: int = 64  # images per step
    lr: float = 1e-3  # learning rate (Adam); rises in the first steps, then falls to 0 along a cosine
    net: Literal["unet", "dit"] = "unet"  # network: U-Net, or a transformer (DiT)
    width: int = 32  # channels of the U-Net's outermost blocks; the DiT's tokens are 3 times as wide
    noise_levels: int = 1000  # T, the number of levels from an image to noise
    schedule: Literal["linear", "cosine", "sigmoid"] = "cosine"  # noise schedule beta_t
    predict: Literal["eps", "x0", "v"] = "x0"  # what the network predicts: noise, image, or v, a mixture
    variance: Literal["small", "large", "learned"] = (
        "large"  # variance of the reverse steps: the posterior's, beta_t, or learned between the two
    )
    loss: Literal["simple", "bound"] = "simple"  # squared error of the prediction, or variational bound
    conditional: bool = False  # learn the labels too, so that they can be asked for
    label_dropout: float = 0.1  # share of labels left out in training, for guidance
    ema: float = 0.999  # decay of the averaged network that draws the images; 0 for none
    pictures_every: int = 1_000  # steps between pictures
    checkpoint_every: int = 500  # steps between checkpoints


def build(config: Config) -> nn.Module:
    """The network with the initial parameters that `config.seed` gives: x_t, t, label or None -> as many channels.

    Twice as many if the variance is learned.
    """
    classes = classes_of(config)
    manual_seed(config.seed)
    channels, size = shape_of(config.data)[:2]
    outputs = 2 * channels if config.variance == "learned" else channels
    if config.net == "dit":
        return DiT(channels, size, width=3 * config.width, classes=classes, outputs=outputs)
    return UNet(
        channels, config.width, (1, 2), (False, True), blocks=1, stem=2, classes=classes, outputs=outputs
    )


def schedule_of(config: Config) -> NoiseSchedule:
    """The noise schedule that a config names."""
    if config.noise_levels < 2:
        raise FlagError(f"--noise-levels: found {config.noise_levels}, expected 2 or more")
    return NoiseSchedule(SCHEDULES[config.schedule](config.noise_levels))


# Losses


def loss(net, x0, t, noise, label, schedule: NoiseSchedule, config: Config):
    """Algorithm 1's loss of each image: L_simple (eq. 14), for x0 and v too, where it weights the levels differently.

    If the variance is learned, plus HYBRID times the bound.  With --loss bound: T times the bound's term, in bits per
    dimension, whose mean over t is the bound without its prior KL.

    x0, noise (N, C, H, W), t (N,) of 1 ... T, label (N,) or None -> (N,)
    """
    levels, chosen = levels_of(t, schedule)
    alpha_bar = chosen(schedule.alpha_bar[levels])
    x = noised(x0, noise, alpha_bar)
    output = net(x, as_tensor(t, device=x.device), label)
    if config.loss == "bound":
        return schedule.T * bound_term(config, schedule, output, x0, x, t)
    said, *variance = output.chunk(2, 1) if config.variance == "learned" else (output,)
    simple = (said - target(config.predict, x0, noise, alpha_bar)).square().mean((1, 2, 3))
    if not variance:
        return simple
    held = cat([said.detach(), *variance], 1)  # the bound trains only the variance
    return simple + HYBRID * schedule.T * bound_term(config, schedule, held, x0, x, t)


def bound_term(config: Config, schedule: NoiseSchedule, output, x0, x, t, clip: bool = False):
    """The term of step t in the bound (diffusion/bound.py), in bits per dimension.

    output of the network; x0, x = x_t (N, C, H, W); t (N,); clip: clip the predicted image -> (N,)
    """
    levels, chosen = levels_of(t, schedule)
    answer = predicted(config, output, x, chosen(schedule.alpha_bar[levels]), clip)
    with np.errstate(all="ignore"):  # a table of all levels also has t = 0
        q = schedule.posterior(levels)
        small, (fixed, learned) = (schedule.log_variance(kind, levels) for kind in ("small", config.variance))
    true_mean, mean = (
        each(chosen(q.from_x0), x) * image + each(chosen(q.from_xt), x) * x for image in (x0, answer.x0)
    )
    fixed, learned = each(chosen(fixed), x), each(chosen(learned), x)
    log_variance = fixed if answer.mix is None else fixed + learned * answer.mix
    is_first = as_tensor(t, device=x.device).reshape(-1, 1, 1, 1) == 1
    true_log_variance = each(chosen(small[0]), x)
    return variational_bound.term(x0, true_mean, true_log_variance, mean, log_variance, is_first)


# Training


def train(config: Config, run: Run | None = None) -> Run:
    """Algorithm 1 on images in [-1, 1]; everything random is a function of (seed, purpose, step)."""
    run = run or Run.create("ddpm", config)
    schedule, net = schedule_of(config), build(config).to(run.device)
    dataset = load(config.data, config.data_dir)
    images = dataset.train_images.reshape(-1, *shape_of(config.data))
    labels = dataset.train_labels if config.conditional else None
    run.record(data_sha256=dataset.sha256)
    describe(run, schedule, images)
    shown = [images] if labels is None else [images, labels]
    feed = Feed(*shown, batch=config.batch, seed=config.seed, device=run.device)
    draws = Generator(config.seed)
    optimizer = optim.Adam(net.parameters(), config.lr)
    rates = optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, config.steps))
    ema = optim.EMA(net, config.ema)
    run.track(net=net, optimizer=optimizer, rates=rates, ema=ema)

    @run.captured
    def advance(step, chosen, *label):
        x0 = own(signed(chosen))
        t = own(draws.at("t", step, run.device).integers(1, config.noise_levels + 1, config.batch))  # 1 ... T
        noise = own(draws.at("noise", step, run.device).normal(x0.shape))
        label = left_out(*label, config, draws, step, run.device) if label else None
        losses = loss(net, x0, t, noise, label, schedule, config)
        optimizer.zero_grad()
        losses.mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if config.ema:
            ema.update()
        return losses, t

    for step in run.steps(config.steps):
        losses, t = advance(step, *feed.at(step))
        rates.step()
        log_losses(run, losses, t)
        if run.every(config.pictures_every) or run.done == config.steps:
            pictures(run, net, ema)
    return run


def pictures(run: Run, net, ema) -> None:
    """Draw images, how some of them emerge from noise, and the curves of the log."""
    show(run, denoiser_of(averaged(net, ema), run.config, Sampling()))
    run.plot_losses("bits per dimension" if run.config.loss == "bound" else "squared error")


# A trained network


def trained(run: Run, weights: str = "ema") -> nn.Module:
    """The network of a run's checkpoint, with averaged or with raw parameters."""
    net = build(run.config).to(run.device)
    ema = optim.EMA(net, run.config.ema)
    run.load(net=net, ema=ema)
    if weights == "ema" and not run.config.ema:
        raise FlagError("--weights ema: this run kept no average (--ema 0); choose raw")
    return averaged(net, ema) if weights == "ema" else net.eval()


def denoiser_of(net, config: Config, sampling: Sampling) -> Denoiser:
    """The network in the form that samplers use."""
    if sampling.guidance != 1 and not config.conditional:
        raise FlagError("--guidance: this run was trained without labels; train one with --conditional")
    schedule, device = schedule_of(config), device_of(net)

    def predict(x, t: int, label) -> Prediction:
        times = full((len(x),), t, device=device)
        output = samplers.guided(net, x, times, label, sampling.guidance, nothing=CLASSES)
        return predicted(config, output, x, schedule.alpha_bar[t], sampling.clip)

    return Denoiser(predict, schedule, config.variance, sampling, shape_of(config.data), device)


def trained_denoiser(run: Run, sampling: dict) -> Denoiser:
    """The denoiser of a run's checkpoint, with the sampler flags that were given."""
    sampling = make_config(Sampling, sampling)
    return denoiser_of(trained(run, sampling.weights), run.config, sampling)


# The commands `tinygen sample` and `tinygen eval`


def sample(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # seed of all noise
    label: int | None = None,  # class to draw, of a conditional run; without it, all classes in turn
    **sampling: Sampling,
) -> np.ndarray:
    """n images from noise (algorithm 2, or a faster sampler).  -> (n, 28, 28), or (n, 3, 32, 32), in [0, 1]"""
    return denoising.drawn(trained_denoiser(run, sampling), n, seed, classes_asked(run.config, n, label))


def labels_drawn(run: Run, n: int, label: int | None = None) -> np.ndarray | None:
    """The labels of the n images of `sample`; None for an unconditional run.  -> (n,)"""
    return classes_asked(run.config, n, label)


def explored(
    run: Run,
    n: int,
    *,
    seed: int = 0,  # seed of all noise, and of the choice of test images
    label: int | None = None,  # class to draw, of a conditional run
    strip: bool = False,  # draw rows of x_t and of the image predicted from it, from noise to image
    walk: Walk | None = None,  # draw rows from one test image to another, along a path between their noises
    inpaint: Part | None = None,  # fill in this part of test images
    **sampling: Sampling,
) -> Sheet:
    """n rows of images, for `tinygen sample --strip`, `--walk` and `--inpaint`."""
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
    """The frames of `tinygen sample -o FILE.gif`: n images emerging from noise, x_t above x_0."""
    labels = classes_asked(run.config, n, label)
    return denoising.animated(denoising.trajectory(trained_denoiser(run, sampling), n, seed, labels), labels)


def evaluate(
    run: Run,
    *,
    data: str | None = None,  # data set to compare with, instead of the training data
    data_dir: str | None = None,  # folder with its files
    samples: int = 10_000,  # number of images to draw, equally many of each class, and of test images for the bound
    **sampling: Sampling,
) -> dict:
    """Measures of generated images beside the data's, and the bound on the test images.

    bits_per_dim, given with its standard error, is the sum of prior_kl, steps_bits and reconstruction_bits.  It does
    not depend on the sampler; the sampler's flags are listed with the measures of the images.
    """
    measures.refuse_other_shape(run, data or run.config.data)
    test = load(data or run.config.data, data_dir or run.config.data_dir).test_images[:samples]
    labels, flags = classes_asked(run.config, samples, None), make_config(Sampling, sampling)
    net = trained(run, flags.weights)
    denoiser = denoiser_of(net, run.config, flags)
    draw = lambda: denoising.drawn(denoiser, samples, 0, labels)
    found = measures.measured(run, samples, draw, data, data_dir, labels, alone=False)
    if "images" in found:
        found |= asdict(flags) | {"sampling_steps": len(denoiser.visited) - 1}
    return found | bound(net, run.config, test.reshape(-1, *shape_of(run.config.data)))


def bound(net, config: Config, images: np.ndarray, rows: int = 250) -> dict:
    """The bound on -log p of images (N, C, H, W) uint8, in bits per dimension, and its three parts.

    A conditional network is evaluated without labels.
    """
    schedule = schedule_of(config)

    def term_of(x0, t, noise):
        x = noised(x0, noise, schedule.alpha_bar[t])
        output = net(x, tensor(t, device=x.device), None)
        return bound_term(config, schedule, output, x0, x, t, clip=True)

    return variational_bound.estimate(term_of, schedule, images, device_of(net), rows)
