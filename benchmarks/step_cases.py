"""Training steps to time: forward, loss, backward, optimiser, on one batch that stays the same.

A step is written once for either library; its network is the model file's own, which PyTorch runs through torch_twin.
A model that is added is one line in STEPS; one whose file is not there is left out.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from tinygen.benchmarks.sides import Case, Side
from tinygen.benchmarks.step_networks import adversarial, denoising, images, normal, same_weights
from tinygen.benchmarks.torch_twin import torch_twin


@dataclass(frozen=True)
class Step:
    """make(side, module, batch) -> the call of one step, which gives its losses."""

    make: Callable[[Side, ModuleType, int], Callable[[], object]]
    batch: int
    model: str  # the file in models/ that has the network
    shape: str = ""
    images: bool = False  # a convolutional network: channels-last too


def vae(side: Side, module, batch: int):
    """The seed programs' VAE, 784-256-256-20, with Adam."""
    net = module.build(module.Config())
    same_weights(net)
    net = side.module(net)
    optimizer = side.adam(net.parameters(), 1e-3)
    x = side.tensor((images(batch).reshape(batch, 784) > 0.6).astype(np.float32))
    eps = side.tensor(normal(batch, net.latent))
    loss = side.function(lambda x, eps: sum(module.loss(net, x, eps)))

    def step():
        total = loss(x, eps)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total

    return step


STEPS = {
    "vae": Step(vae, 128, "vae", "784-256-256-20"),
    "gan": Step(adversarial, 64, "gan", "seed: 100-…-784, 784-512-256-1"),
    "dcgan": Step(adversarial, 64, "dcgan", "28×28, 128-64 channels", images=True),
    "unet": Step(denoising, 32, "networks.unet", "28×28, 32 channels × (1, 2, 2)", images=True),
    "dit": Step(denoising, 64, "networks.dit", "49 tokens of 96, depth 4"),
}


def step_cases() -> list[Case]:
    """A case for every step whose model is here."""
    return [step_case(name) for name, step in STEPS.items() if _is_here(step.model)]


def step_case(name: str, batch: int | None = None) -> Case:
    """The case of one step, with another batch size if one is given."""
    step = STEPS[name]
    batch = batch or step.batch

    def make(side: Side):
        return step.make(side, _module(step.model, side), batch)

    shape = ", ".join(part for part in (step.shape, f"batch {batch}") if part)
    others = ("channels-last",) if step.images else ()
    options = dict(others=others, check_calls=3, tolerance=1e-3, step=True, memory=("step", name, batch))
    return Case(f"{name} step", name, shape, make, **options)


def sampling_case(batch: int = 64) -> Case:
    """Images out of noise by ddpm.py's default network and sampler: 50 DDIM steps, the network alone takes time."""

    def make(side: Side):
        ddpm = _module("ddpm", side)
        config = ddpm.Config()
        net = ddpm.build(config)
        same_weights(net)
        denoiser = ddpm.denoiser_of(side.function(side.module(net).eval()), config, ddpm.Sampling())
        x = side.tensor(normal(batch, *denoiser.shape))

        def draw():
            with side.no_grad():
                *_, (_, image, _) = denoiser.states(x, seed=0)
            return image

        return draw

    return Case("ddim sampling", "sampling", f"50 steps, ddpm's U-Net, {batch} × 28×28", make, tolerance=1e-2)


def _is_here(model: str) -> bool:
    return importlib.util.find_spec(f"tinygen.models.{model}") is not None


def _module(model: str, side: Side):
    return (
        torch_twin(model, side.api) if side.is_torch else importlib.import_module(f"tinygen.models.{model}")
    )
