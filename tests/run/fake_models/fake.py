"""A straight line fitted by gradient descent: a model for tests of the run folder, without the engine."""

import os
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygen import random
from tinygen.run.flags import Checked
from tinygen.run.training import Run


@dataclass(frozen=True)
class Config(Checked):
    data: str = "glyphs"  # what to learn from
    data_dir: str | None = None
    seed: int = 0
    steps: int = 60  # how long
    batch: int = 10
    lr: float = 0.05  # 100% of it
    checkpoint_every: int = 7
    kind: Literal["plain", "fancy"] = "plain"
    widths: tuple[int, ...] = (3, 2)
    verbose: bool = False
    grow: bool = False  # let a resumed run take more steps


def resumable_changes(config):
    return {"steps"} if config.grow else set()


class Net:
    def __init__(self, n):
        self.weight = np.zeros(n)
        self.calls = np.array(0)

    def state_dict(self):
        return {"weight": self.weight, "calls": self.calls}

    def named_parameters(self):
        yield "weight", self.weight

    def load_state_dict(self, state):
        if state["weight"].shape != self.weight.shape:
            raise ValueError(f"weight: found {state['weight'].shape}, expected {self.weight.shape}")
        self.weight, self.calls = state["weight"], state["calls"]


class Momentum:
    def __init__(self):
        self.state = {0: {"velocity": np.zeros(5), "step": 0}}

    def state_dict(self):
        return {"state": self.state, "betas": (0.9,)}

    def load_state_dict(self, state):
        slot = state["state"][0]
        self.state = {0: {"velocity": slot["velocity"], "step": slot["step"]}}


def train(config, run=None):
    run = run or Run.create("fake", config)
    if config.data == "moons":
        raise ValueError("fake: moons are not images")
    random.manual_seed(config.seed)
    net, optimizer = Net(5), Momentum()
    run.track(net=net, optimizer=optimizer)
    run.record(data_sha256="0" * 64)
    for step in run.steps(config.steps, log_every=4):
        x = np.random.default_rng((config.seed, step)).normal(size=(config.batch, 5))
        x[0] += random.default_stream().uniform(5)  # whose counter a checkpoint must keep
        error = x @ (net.weight - np.arange(5))
        run.log(loss=(error**2).mean(), weight=np.abs(net.weight).sum())
        slot = optimizer.state[0]
        slot["velocity"] = 0.9 * slot["velocity"] - config.lr * x.T @ error / config.batch
        slot["step"] += 1
        net.weight = net.weight + slot["velocity"]
        net.calls = net.calls + 1
        if str(step) == os.environ.get("FAKE_NAN"):
            net.weight[3] = np.nan
        if run.every(20):
            run.image("samples", np.full((6, 4, 4), 0.5))
        if "FAKE_SLOW" in os.environ:
            print(step, flush=True)
            time.sleep(float(os.environ["FAKE_SLOW"]))
    run.plot_losses()
    return run


def sample(run, n, *, seed: int = 0):
    run.load(net=Net(5))
    return np.random.default_rng(seed).uniform(size=(n, 1, 4, 4))


def evaluate(run, *, data: str | None = None, k: int = 3):
    net = Net(5)
    run.load(net=net)
    return {"split": "test", "images": 10, "nll": np.float32(net.weight.sum()), "nll_se": np.nan, "k": k}
