"""The engine, its operations, layers, optimizers and models run without `tinygen.face`, and compute the same bits."""

import subprocess
import sys

# a training step of three models; prints every loss and a hash of the weights after the step
PROGRAM = """
import hashlib
import importlib.abc
import sys
import types

WITHOUT = sys.argv[1] == "without"


class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith("tinygen.face"):
            raise ImportError(f"{name} is blocked")


if WITHOUT:
    sys.meta_path.insert(0, Blocked())
    stub = sys.modules["tinygen.face"] = types.ModuleType("tinygen.face")
    stub.install = lambda namespace: None

import numpy as np

import tinygen
from tinygen import optim, random, tensor
from tinygen.models import ddpm, gan, vae

assert hasattr(tinygen, "FloatTensor") != WITHOUT
rng = np.random.default_rng(0)


def normal(*shape):
    return tensor(rng.normal(size=shape).astype(np.float32))


def step(optimizer, loss, **options):
    optimizer.zero_grad()
    loss.backward(**options)
    optimizer.step()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    weights = b"".join(p.detach().numpy().tobytes() for p in parameters)
    print(loss.item().hex(), hashlib.sha256(weights).hexdigest())


def vae_step():
    net = vae.VAE(hidden=16, latent=4)
    x = tensor((rng.random((8, 784)) < 0.2).astype(np.float32))
    reconstruction, kl = vae.loss(net, x, normal(8, 4))
    step(optim.Adam(net.parameters(), 1e-3), reconstruction + kl)


def gan_step():
    generator, discriminator = gan.Generator(latent=8, eps=1e-5), gan.Discriminator()
    loss, fake = gan.LOSSES["non_saturating"], generator(normal(4, 8))
    judged = discriminator(normal(4, 1, 28, 28)), discriminator(fake.detach())
    step(optim.Adam(discriminator.parameters(), 2e-4), loss.discriminator(*judged))
    weights = list(generator.parameters())
    step(optim.Adam(weights, 2e-4), loss.generator(discriminator(fake)), inputs=weights)


def ddpm_step():
    config = ddpm.Config(width=8, noise_levels=10)
    net, schedule = ddpm.build(config), ddpm.schedule_of(config)
    losses = ddpm.loss(net, normal(2, 1, 28, 28), np.array([3, 7]), normal(2, 1, 28, 28), None, schedule, config)
    step(optim.Adam(net.parameters(), 1e-3), losses.mean())


tinygen.manual_seed(0)
for train in (vae_step, gan_step, ddpm_step):
    train()
loaded = [name for name in sys.modules if name.startswith("tinygen.face.")]
assert bool(loaded) != WITHOUT, loaded
"""


def steps(mode: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_models_train_to_the_same_bits():
    without = steps("without")
    assert len(without) == 4
    assert without == steps("with")
