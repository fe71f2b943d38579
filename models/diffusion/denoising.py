"""What a trained diffusion model can draw: images, how they emerge from noise, walks between them, missing parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from tinygen import no_grad, tensor
from tinygen.models.diffusion import samplers
from tinygen.models.diffusion.samplers import Sampling
from tinygen.models.diffusion.schedule import NoiseSchedule
from tinygen.models.latent.walks import COLUMNS, PATHS, WAY
from tinygen.models.shared.images import signed
from tinygen.random import Generator
from tinygen.run.flags import FlagError
from tinygen.run.pictures import Sheet
from tinygen.run.progress import progress

ROWS = 250  # images denoised at a time
STRIP, FILM = 12, 60  # moments in a strip; at most in an animation
COMPLETIONS = 6  # ways to fill in the missing part of an image
Walk = Literal["linear", "spherical"]
Part = Literal["left", "right", "top", "bottom", "center"]
PARTS = {"left": (0, 1, 0, 0.5), "right": (0, 1, 0.5, 1), "top": (0, 0.5, 0, 1), "bottom": (0.5, 1, 0, 1)}
PARTS |= {
    "center": (0.25, 0.75, 0.25, 0.75)
}  # first and last row, first and last column, as shares of the sides


@dataclass(frozen=True)
class Denoiser:
    """A network with everything that a sampler needs to know about it.

    predict(x_t, t, label) -> Prediction, label (N,) integers or None
    variance of its reverse steps; shape of an image, (C, H, W)
    """

    predict: Callable
    schedule: NoiseSchedule
    variance: str
    sampling: Sampling
    shape: tuple[int, int, int]
    device: object

    def __post_init__(self) -> None:
        # called only to reject wrong flags before anything is drawn
        samplers.rule_of(self.sampling, self.schedule, None, self.variance)
        samplers.visited(self.sampling, self.schedule)

    @property
    def visited(self) -> np.ndarray:
        """The levels that the sampler visits, from T to 0."""
        return samplers.visited(self.sampling, self.schedule)

    def noise(self, n: int, seed: int, start: int = 0):
        """x_T of n images, of which the first has the number `start`.  -> (n, C, H, W)"""
        return tensor(Generator(seed).at("x_T", start, self.device).normal((n, *self.shape)))

    @no_grad()
    def states(self, x, seed: int, label=None, known=None) -> Iterator:
        """Denoise x_T (N, C, H, W): yields (s, x_s, predicted x_0) after each step; the last x_s are the images.

        label (N,) numpy integers or None; known: (images, mask) of the part to keep, see samplers.known_part.
        The noise that is added is a function of (seed, level).
        """
        draws = Generator(seed)

        def noise(purpose):
            return lambda t: tensor(draws.at(purpose, t, x.device).normal(x.shape))

        label = None if label is None else tensor(label, device=x.device)
        fix = None if known is None else samplers.known_part(*known, self.schedule, noise("known-part"))
        rule = samplers.rule_of(self.sampling, self.schedule, noise("sampler"), self.variance)
        yield from samplers.denoise(lambda x, t: self.predict(x, t, label), x, self.visited, rule, fix)


def drawn(denoiser: Denoiser, n: int, seed: int, label=None) -> np.ndarray:
    """n images from noise.  label (n,) or None -> (n, H, W) or (n, 3, H, W) in [0, 1]"""
    starts = range(0, n, ROWS)
    steps = iter(progress(range(len(starts) * (len(denoiser.visited) - 1)), "denoising"))
    parts = []
    for start in starts:
        x_T = denoiser.noise(min(ROWS, n - start), seed, start)
        asked = None if label is None else label[start : start + ROWS]
        parts.append(finished(denoiser.states(x_T, seed + start, asked), steps))
    next(steps, None)  # ends the bar
    return pixels(np.concatenate(parts))


def finished(states: Iterator, steps: Iterator) -> np.ndarray:
    """The last x_s; each step advances the progress bar.  -> (N, C, H, W)"""
    (last, _) = deque(zip(states, steps), maxlen=1).pop()
    return last[1].cpu().numpy()


def pixels(x: np.ndarray) -> np.ndarray:
    """From [-1, 1] to the range and shape of pictures.  (N, C, H, W) -> (N, H, W) or (N, 3, H, W) in [0, 1]"""
    x = np.clip((x + 1) / 2, 0, 1)
    return x[:, 0] if x.shape[1] == 1 else x


# From noise to image, moment by moment


class Frame(NamedTuple):
    """A moment on the way to n images: x_t and the x_0 predicted from it, as pictures."""

    t: int
    x: np.ndarray
    x0: np.ndarray


def trajectory(denoiser: Denoiser, n: int, seed: int, label=None) -> list[Frame]:
    """Every moment on the way to n images; the last, at 0, has the image twice."""
    x, frames = denoiser.noise(n, seed), []
    steps = iter(progress(range(len(denoiser.visited) - 1), "denoising"))
    for t, (_, x_next, x0), _ in zip(denoiser.visited, denoiser.states(x, seed, label), steps):
        frames.append(Frame(int(t), pixels(x.cpu().numpy()), pixels(x0.cpu().numpy())))
        x = x_next
    next(steps, None)
    image = pixels(x.cpu().numpy())
    return [*frames, Frame(0, image, image)]


def strip(frames: list[Frame], label=None) -> Sheet:
    """STRIP moments from left to right: for each image a row of x_t above a row of x_0.  -> 2 n · STRIP images"""
    shown = moments(frames, STRIP)
    both = np.stack([np.stack([frame.x, frame.x0]) for frame in shown], axis=2)  # (2, n, STRIP, H, W)
    classes = [""] * both.shape[1] if label is None else [f"class {c}: " for c in label]
    beside = [f"{c}{row}" for c in classes for row in ("x_t", "x_0 seen")]
    over = [f"t {frame.t}" for frame in shown]
    return Sheet(both.swapaxes(0, 1).reshape(-1, *both.shape[3:]), STRIP, over, beside)


def animated(frames: list[Frame], label=None) -> list[np.ndarray]:
    """A sheet for each of at most FILM moments, with the images x_t in its upper row and x_0 in the lower row."""
    over = () if label is None else [f"class {c}" for c in label]
    return [
        Sheet(np.concatenate([x, x0]), len(x), over, ["x_t", "x_0 seen"], f"t = {t}").drawn()
        for t, x, x0 in moments(frames, min(FILM, len(frames)))
    ]


def moments(frames: list, n: int) -> list:
    """n equally spaced frames, including the first and the last."""
    return [frames[i] for i in np.rint(np.linspace(0, len(frames) - 1, n)).astype(int)]


# Walks between images, and missing parts


def explored(
    denoiser: Denoiser,
    test_images: np.ndarray,
    n: int,
    seed: int,
    walk: Walk | None,
    inpaint: Part | None,
) -> Sheet:
    """n rows of a walk between test images, or of completions of test images.  test_images (., C, H, W) uint8"""
    chosen = Generator(seed).at("test-images").permutation(len(test_images))[: 2 * n if walk else n]
    x0 = signed(test_images[chosen])
    return walks(denoiser, x0, walk) if walk else inpainted(denoiser, x0, inpaint, seed)


@no_grad()
def walks(denoiser: Denoiser, x0: np.ndarray, path: str) -> Sheet:
    """Rows from one image to another: the images of a path between their noises, which DDIM finds.

    x0 (2 n, C, H, W) in [-1, 1] -> n · COLUMNS images
    """
    if denoiser.sampling.sampler != "ddim" or denoiser.sampling.eta:
        raise FlagError("--walk: needs a sampler that adds no noise: --sampler ddim --eta 0")
    up = denoiser.visited[::-1]
    x, steps = tensor(x0, device=denoiser.device), iter(progress(range(2 * len(up) - 2), "walking"))
    ends = finished(
        samplers.encode(lambda x, t: denoiser.predict(x, t, None), x, up, denoiser.schedule), steps
    )
    ends = ends.reshape(2, len(x0) // 2, -1)
    x_T = tensor(PATHS[path](*ends, COLUMNS).reshape(-1, *x0.shape[1:]), device=denoiser.device)
    images = finished(denoiser.states(x_T, 0), steps)
    next(steps, None)
    return Sheet(pixels(images), COLUMNS, WAY, title=f"{path} walk between the noises of two test images")


def inpainted(denoiser: Denoiser, x0: np.ndarray, part: str, seed: int) -> Sheet:
    """Rows: an image, the image with a part in grey, and COMPLETIONS ways to fill the part in.

    x0 (n, C, H, W) in [-1, 1] -> n · (2 + COMPLETIONS) images
    """
    height, width = x0.shape[2:]
    top, bottom, left, right = (
        round(share * side) for share, side in zip(PARTS[part], (height, height, width, width))
    )
    mask = np.ones_like(x0)
    mask[:, :, top:bottom, left:right] = 0
    known = tuple(tensor(np.repeat(a, COMPLETIONS, axis=0), device=denoiser.device) for a in (x0, mask))
    steps = iter(progress(range(len(denoiser.visited) - 1), "filling in"))
    x = finished(denoiser.states(denoiser.noise(len(known[0]), seed), seed, known=known), steps)
    next(steps, None)
    shown, without, filled = pixels(x0), pixels(x0 * mask), pixels(x)
    filled = filled.reshape(len(x0), COMPLETIONS, *shown.shape[1:])
    rows = np.concatenate([shown[:, None], without[:, None], filled], axis=1)
    over = ["original", "masked", *(f"filled in {i}" for i in range(1, COMPLETIONS + 1))]
    return Sheet(rows.reshape(-1, *rows.shape[2:]), 2 + COMPLETIONS, over)
