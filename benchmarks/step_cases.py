"""Training steps to time: forward, loss, backward, optimizer, always on the same batch.

A step is written once for both libraries; its network is that of the model file, which PyTorch runs through torch_twin.
To add a model, add a line to STEPS.
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
    """make(side, module, batch) -> a call that runs one step and returns its losses"""

    make: Callable[[Side, ModuleType, int], Callable[[], object]]
    batch: int
    model: str  # the file in models/ that has the network
    shape: str = ""
    images: bool = False  # a convolutional network: also timed channels-last


def vae(side: Side, module, batch: int):
    """The VAE of the seed programs, 784-256-256-20, with Adam."""
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
    """The cases of all steps whose model exists."""
    return [step_case(name) for name, step in STEPS.items() if _is_here(step.model)]


def step_case(name: str, batch: int | None = None) -> Case:
    """The case of one step, with its own or another batch size."""
    step = STEPS[name]
    batch = batch or step.batch

    def make(side: Side):
        return step.make(side, _module(step.model, side), batch)

    shape = ", ".join(part for part in (step.shape, f"batch {batch}") if part)
    others = ("channels-last",) if step.images else ()
    options = dict(others=others, check_calls=3, tolerance=1e-3, step=True, memory=("step", name, batch))
    return Case(f"{name} step", name, shape, make, **options)


def sampling_case(batch: int = 64) -> Case:
    """Sampling with ddpm.py's default network and sampler, 50 DDIM steps; nearly all time is spent in the network."""

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
