"""The seed programs (../shared/seeds, files 000 and 001) run with PyTorch and, with changed import lines, with tinygen.

Both must give the same shapes, the same parameter counts and, with copied weights, the same numbers.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import tinygen

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "seeds"
pytestmark = pytest.mark.skipif(not SEEDS.is_dir(), reason="the seed texts are not beside this checkout")


def block(file: str, marker: str) -> str:
    """The Python block that contains `marker` in a seed text."""
    text = next(SEEDS.glob(f"{file}*.txt")).read_text()
    blocks = [b for b in re.findall(r"```python\n(.*?)```", text, re.S) if marker in b]
    assert len(blocks) == 1, f"{marker!r} is in {len(blocks)} blocks"
    return blocks[0]


def ported(code: str) -> str:
    """The block with its import lines changed, and nothing else."""
    lines = []
    for line in code.splitlines():
        if re.match(r"\s*(import|from) torch", line):
            line = re.sub(r"^(\s*)import torch$", r"\1import tinygen as torch", line)
            line = re.sub(r"\b(import|from) torch\.", r"\1 tinygen.", line)
        lines.append(line)
    return "\n".join(lines)


def run(code: str, **names) -> dict:
    """Execute a block like a notebook cell; `names` holds the definitions of earlier cells."""
    exec(compile(code, "<seed>", "exec"), names)
    return names


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def copy_weights(source, target) -> None:
    """Load the state of a PyTorch module into a tinygen module with the same keys."""
    state = {name: value.detach().numpy() for name, value in source.state_dict().items()}
    assert list(state) == list(target.state_dict())
    target.load_state_dict(state)


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def close(ours, theirs, tolerance) -> None:
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def both(torch, code: str, before: str = "", **names) -> tuple[dict, dict]:
    """Run a block with PyTorch and with tinygen."""
    theirs = run(before + code, np=np, **names)
    ours = run(ported(before + code), np=np, **names)
    return theirs, ours


def same_gradients(ours, theirs, tolerance) -> None:
    pairs = list(zip(ours.named_parameters(), theirs.named_parameters()))
    assert pairs
    for (name, p), (their_name, q) in pairs:
        assert name == their_name
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            close(p.grad, q.grad, tolerance)


def test_discriminator_and_generator_of_file_000(torch, capsys):
    code = block("000", "class Discriminator(nn.Module):")
    theirs, ours = both(torch, code)
    printed = capsys.readouterr().out.replace("torch.Size([", "(").replace("])", ")")
    assert printed[: len(printed) // 2].splitlines() == printed[len(printed) // 2 :].splitlines()
    rng = np.random.default_rng(0)
    for name, shape in ("disc", (5, 1, 28, 28)), ("gen", (5, 64)):
        a, b = ours[name].double(), theirs[name].double()
        copy_weights(b, a)
        x = rng.normal(size=shape)
        close(a(tinygen.tensor(x)), b(torch.tensor(x)), 1e-12)
    assert count(ours["disc"]) == count(theirs["disc"]) and count(ours["gen"]) == count(theirs["gen"])


def test_small_classifier_and_generator(torch, capsys):
    theirs, ours = both(torch, block("001", "class DiscriminativeModel"))
    assert (count(ours["discriminative"]), count(ours["generative"])) == (100_609, 102_544)
    assert (count(theirs["discriminative"]), count(theirs["generative"])) == (100_609, 102_544)
    rng = np.random.default_rng(1)
    for name, shape in ("discriminative", (4, 1, 28, 28)), ("generative", (4, 10)):
        a, b = ours[name].double(), theirs[name].double()
        copy_weights(b, a)
        x = rng.normal(size=shape)
        close(a(tinygen.tensor(x)), b(torch.tensor(x)), 1e-12)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 2e-4)])
def test_vae_and_its_loss(torch, monkeypatch, capsys, dtype, tolerance):
    theirs, ours = both(torch, block("001", "def vae_loss"))
    a, b = ours["vae"], theirs["vae"]
    assert count(a) == count(b) == 549_688
    if dtype == "float64":
        a, b = a.double(), b.double()
    copy_weights(b, a)
    rng = np.random.default_rng(2)
    x, eps = rng.uniform(size=(6, 1, 28, 28)).astype(dtype), rng.normal(size=(6, 20)).astype(dtype)
    monkeypatch.setattr(tinygen, "randn_like", lambda t: tinygen.tensor(eps))
    monkeypatch.setattr(torch, "randn_like", lambda t: torch.tensor(eps))
    losses = []
    for T, names, net in (tinygen, ours, a), (torch, theirs, b):
        data = T.tensor(x)
        loss = names["vae_loss"](net(data)[0], data, *net(data)[1:])
        loss.backward()
        losses.append(loss)
    close(*losses, tolerance)
    same_gradients(a, b, tolerance)


def test_gan_and_its_training_loop(torch, monkeypatch, capsys):
    """Two epochs of two batches of the training loop, from another block, with the same weights and noise."""
    code = block("001", "adversarial_loss = nn.BCELoss()")
    theirs, ours = both(torch, code)
    assert (count(ours["generator"]), count(ours["discriminator"])) == (1_510_032, 533_505)
    loop = block("001", "for epoch in range(num_epochs):")
    rng = np.random.default_rng(3)
    batches = rng.uniform(-1, 1, size=(2, 8, 1, 28, 28))
    noise = rng.normal(size=(2, 8, 100))
    for name in "generator", "discriminator":
        ours[name].double(), theirs[name].double()
        copy_weights(theirs[name], ours[name])
    capsys.readouterr()
    for T, names, text in (torch, theirs, loop), (tinygen, ours, ported(loop)):
        drawn = iter([*noise, *noise])
        monkeypatch.setattr(T, "randn", lambda *size: T.tensor(next(drawn)))
        names.update(dataloader=[T.tensor(b) for b in batches], num_epochs=2, batch_size=8, latent_dim=100)
        exec(compile(text, "<seed>", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[:2] == lines[2:]
    for name in "generator", "discriminator":
        pairs = zip(ours[name].state_dict().items(), theirs[name].state_dict().values())
        for (_, p), q in pairs:
            np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-6, atol=1e-8)
    assert ours["optimizer_G"].param_groups[0]["lr"] == theirs["optimizer_G"].param_groups[0]["lr"]


def test_diffusion_model_and_its_loss(torch, capsys):
    theirs, ours = both(torch, block("001", "class DiffusionModel"))
    a, b = ours["diffusion_model"], theirs["diffusion_model"]
    assert count(a) == count(b) == 501_377
    copy_weights(b, a)
    rng = np.random.default_rng(4)
    x, noise = rng.normal(size=(2, 1, 1, 28, 28)).astype(np.float32)
    losses = []
    for T, names, net in (tinygen, ours, a), (torch, theirs, b):
        loss = names["diffusion_loss"](net, T.tensor(x), T.tensor([500]), T.tensor(noise))
        loss.backward()
        losses.append(loss)
    close(*losses, 1e-5)
    same_gradients(a, b, 1e-4)
    times = np.array([0, 1, 500, 999])
    embedded = [net.time_encoding(T.tensor(times), 256) for T, net in ((tinygen, a), (torch, b))]
    close(*embedded, 1e-4)  # sines of float32 angles up to 999


def test_super_resolution_net(torch):
    """This block imports only `torch.nn.functional`; torch and nn come from the cells before it."""
    before = "import torch\nimport torch.nn as nn\n"
    theirs, ours = both(torch, block("001", "class SuperResolutionGAN"), before)
    a, b = ours["SuperResolutionGAN"]().double(), theirs["SuperResolutionGAN"]().double()
    assert count(a) == count(b)
    copy_weights(b, a)
    x = np.random.default_rng(5).normal(size=(2, 3, 6, 5))
    outputs = [net(T.tensor(x)) for T, net in ((tinygen, a), (torch, b))]
    assert outputs[0].shape == (2, 3, 24, 20)
    close(*outputs, 1e-8)
    for out in outputs:
        (out * out).sum().backward()
    same_gradients(a, b, 1e-6)
    for (name, p), q in zip(a.named_buffers(), b.buffers()):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-10, err_msg=name)
