"""The watch over a GAN's training: what it logs, and when it warns that training fails."""

from __future__ import annotations

import math

from tinygen import eye, nn, no_grad
from tinygen.models.adversarial.losses import LOSSES
from tinygen.run.terminal import say

ADVICE = {
    "discriminator-won": "the discriminator has won: its loss is {loss:.3f}, it tells all images apart and the "
    "generator learns little more; try a lower --lr-ratio, or --loss hinge",
    "discriminator-lost": "the discriminator has lost: its loss is {loss:.3f}, and would be {guess:.3f} if it gave all "
    "images the same answer, so it has nothing to teach; try another --lr-ratio",
    "generator-collapsed": "the generator has collapsed: its images vary {diversity:.2f} times as much as real ones; "
    "try --packing 2, a lower --lr, or wgan-gp",
    "few-images": "the generator draws a few images again and again: each is {near:.3f} times as far from the nearest "
    "other one as real ones are; try another --seed, --packing 2, or wgan-gp",
}


class Watch:
    """Looks at every tenth step, logs what it sees, and warns once about each kind of failure.

    d_real, d_fake: mean answers to real and generated images; grad_d, grad_g: gradient norms of the two networks
    diversity: the variance of generated images over the batch, summed over pixels, relative to that of real images
    nearest: the distance from a generated image to its nearest neighbor in the batch, relative to that of real images

    A generator that repeats a few images can have a high diversity, but not a high `nearest`.  The seed programs' GAN
    starts like that and usually recovers: `nearest` is 0.05 after 1,000 steps of `tinygen train gan --data mnist
    --recipe seed --seed 1` and 0.23 after 5,000 (seed 2: 0.04, 0.33), but it is 0.01 after 5,000 and after 15,000 steps
    with `--warmup 0 --seed 0` on two threads.  So repetition is judged late.
    """

    EVERY, MEMORY = 10, 30  # steps between two looks; number of looks that a judgment averages
    COLLAPSED, FEW = 0.05, 0.05  # warn if mean diversity is below this; if mean nearest is, from step LATE on
    LATE = 5_000

    def __init__(self, run, loss: str) -> None:
        self.run, self.loss = run, loss
        self.looks, self.warnings = [], []  # the latest (discriminator's loss, diversity, nearest)

    def state_dict(self) -> dict:
        return {"looks": self.looks, "warnings": self.warnings}

    def load_state_dict(self, state: dict) -> None:
        self.looks = [(float(loss), float(wide), float(near)) for loss, wide, near in state["looks"]]
        self.warnings = [
            {"step": int(warning["step"]), "kind": str(warning["kind"]), "text": str(warning["text"])}
            for warning in state["warnings"]
        ]

    @no_grad()
    def look(self, discriminator, generator, real, fake, real_logits, fake_logits, loss_d) -> None:
        """Call it at the end of a step, with the step's batch, logits and loss, while both networks have gradients."""
        if not self.run.every(self.EVERY):
            return
        probability = LOSSES[self.loss].is_probability
        d_real, d_fake = ((x.sigmoid() if probability else x).mean() for x in (real_logits, fake_logits))
        diversity = fake.var(0).sum() / real.var(0).sum()
        near = nearest(fake) / nearest(real)
        self.run.log(
            d_real=d_real,
            d_fake=d_fake,
            grad_d=gradient_norm(discriminator),
            grad_g=gradient_norm(generator),
            diversity=diversity,
            nearest=near,
        )
        self.run.when_read(self.judge, loss_d, diversity, near)

    def judge(self, loss_d: float, diversity: float, near: float) -> None:
        """Judge the mean of the latest looks; a warning is one printed line and one entry in warnings.json."""
        self.looks = [*self.looks, (float(loss_d), float(diversity), float(near))][-self.MEMORY :]
        if len(self.looks) < self.MEMORY:
            return
        loss_d, diversity, near = (sum(values) / self.MEMORY for values in zip(*self.looks))
        won, guess = LOSSES[self.loss].won, LOSSES[self.loss].guess
        signs = {
            "discriminator-won": won is not None and loss_d < won,
            "discriminator-lost": loss_d > guess,
            "generator-collapsed": diversity < self.COLLAPSED,
            "few-images": near < self.FEW and self.run.done >= self.LATE,
        }
        for kind, seen in signs.items():
            if seen and kind not in [w["kind"] for w in self.warnings]:
                text = ADVICE[kind].format(loss=loss_d, diversity=diversity, near=near, guess=guess)
                say(f"{self.run.folder}: step {self.run.done}: {text}")
                self.warnings.append({"step": self.run.done, "kind": kind, "text": text})
                self.run.write_json("warnings.json", self.warnings)


def nearest(images):
    """The mean squared distance from each image to its nearest neighbor in the batch.  (N, ...) -> ()

    A few modes make it small, though their variance can be as large as that of all modes.
    """
    x = images.reshape(len(images), -1)
    squares = x.square().sum(1)
    distances = squares.unsqueeze(0) + squares.unsqueeze(1) - 2 * x @ x.T
    itself = eye(len(x), dtype=bool, device=x.device)
    return distances.clamp(0).masked_fill(itself, math.inf).amin(1).mean()


def gradient_norm(net):
    """The norm of all gradients of a network as one vector.  -> ()"""
    return nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
