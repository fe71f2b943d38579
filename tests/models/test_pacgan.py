"""PacGAN: data, measures, networks and training step as the authors define them; runs that resume."""

import contextlib
import json
import math

import numpy as np
import pytest
from support.gpu import gpu

import tinygen as tg
from tinygen.cli import main
from tinygen.data import toy, toy_centers
from tinygen.data.toys import STD
from tinygen.metrics import MetricError, mode_measures
from tinygen.models import pacgan
from tinygen.models.pacgan import Config
from tinygen.random import Generator as Random
from tinygen.run import checkpoint, pictures
from tinygen.run.training import Run


def test_the_toys_are_pacgans():
    ring = [(math.cos(i * math.pi * 2 / 8), math.sin(i * math.pi * 2 / 8)) for i in range(8)]
    np.testing.assert_allclose(toy_centers("ring8"), ring, atol=1e-12)
    grid = {(float(x), float(y)) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}
    assert set(map(tuple, toy_centers("grid25"))) == grid
    assert STD["ring8"] == 0.01 and STD["grid25"] == 0.05
    for name in "ring8", "grid25":
        points = toy(name, 20_000, Random(0).at("x"))
        distance = points[:, None] - toy_centers(name)
        nearest = np.take_along_axis(distance, (distance**2).sum(2).argmin(1)[:, None, None], 1)[:, 0]
        np.testing.assert_allclose(nearest.std(0), STD[name], rtol=0.02)


# Measures


def test_modes_of_real_data():
    """A sample of a 2-D Gaussian is within 3 standard deviations with probability 1 - exp(-9/2)."""
    for name in "ring8", "grid25":
        found = mode_measures(toy(name, 2500, Random(1).at("x")), toy_centers(name), STD[name])
        assert found["modes"] == len(toy_centers(name))
        assert abs(found["high_quality"] - (1 - math.exp(-4.5))) < 4 * math.sqrt(0.011 / 2500)
        assert 0 < found["reverse_kl"] < 0.02


def test_modes_by_hand():
    centers = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    points = np.repeat(centers[[0, 0, 0, 1]], 25, axis=0)
    points[:50, 0] += 2.9  # within 3 of the first center
    points[50:75, 0] += 3.1  # of no center
    found = mode_measures(points, centers, 1.0)
    assert found["modes"] == 2 and found["high_quality"] == 0.75
    p = np.array([50, 25]) / 75
    assert found["reverse_kl"] == pytest.approx((p * np.log(p / 0.25)).sum(), rel=1e-12)


def test_modes_in_extreme_cases():
    centers = toy_centers("ring8")
    assert mode_measures(np.repeat(centers, 20, axis=0), centers, 0.01) == {
        "modes": 8,
        "high_quality": 1.0,
        "reverse_kl": 0.0,
    }
    one = mode_measures(np.repeat(centers[:1], 100, axis=0), centers, 0.01)
    assert one["modes"] == 1 and one["reverse_kl"] == pytest.approx(math.log(8))
    none = mode_measures(np.full((100, 2), 5.0), centers, 0.01)
    assert none["modes"] == 0 and none["high_quality"] == 0 and math.isnan(none["reverse_kl"])


def test_modes_of_bad_input():
    with pytest.raises(MetricError, match=r"modes: found 79 samples, expected 80 or more"):
        mode_measures(np.zeros((79, 2)), toy_centers("ring8"), 0.01)
    with pytest.raises(MetricError, match=r"found points \(80, 3\), expected \(N, 2\)"):
        mode_measures(np.zeros((80, 3)), toy_centers("ring8"), 0.01)


# Networks


def test_maxout_is_the_largest_of_its_maps():
    tg.manual_seed(0)
    layer = pacgan.Maxout(3, 4, pieces=5)
    x = tg.randn(7, 3)
    w, b = (
        layer.linear.weight.detach().numpy().reshape(5, 4, 3),
        layer.linear.bias.detach().numpy().reshape(5, 4),
    )
    maps = np.stack([x.numpy() @ w[k].T + b[k] for k in range(5)])
    np.testing.assert_allclose(layer(x).detach().numpy(), maps.max(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("packing", [1, 3])
def test_sizes_and_initial_weights(packing):
    generator, discriminator = pacgan.initial_networks(Config(packing=packing))
    sizes = [sum(p.numel() for p in net.parameters()) for net in (generator, discriminator)]
    assert sizes == [
        2 * 400 + 3 * 400 * 400 + 4 * 2 * 400 + 400 * 2 + 2,  # no bias before BatchNorm
        (2 * packing + 1) * 1000 + 2 * 201 * 1000 + 201,
    ]
    for name, p in [*generator.named_parameters(), *discriminator.named_parameters()]:
        if p.ndim == 2:
            assert p.detach().numpy().std() == pytest.approx(0.02, rel=0.1), name
        else:
            assert len(np.unique(p.detach().numpy())) == 1, name


def test_packs_are_independent_draws_of_the_training_set():
    packs = pacgan.training_packs(Config(packing=3)).reshape(100_000, 3, 2)
    points = set(map(bytes, toy("ring8", 100_000, Random(0).at("data"))))
    assert all(bytes(p) in points for p in packs[:200].reshape(-1, 2))
    mode = ((packs[:, :, None] - toy_centers("ring8")) ** 2).sum(3).argmin(2)
    same = (mode[:, 0] == mode[:, 1]).mean(), (mode[:, 1] == mode[:, 2]).mean()
    np.testing.assert_allclose(same, 1 / 8, atol=5 * math.sqrt(1 / 8 * 7 / 8 / 1e5))


@pytest.mark.parametrize("packing", [1, 2])
def test_three_steps_are_those_of_pytorch(packing, tmp_path):
    """The authors' step: softplus losses, both gradients at the same parameters, Adam with beta1 0.8."""
    torch = pytest.importorskip("torch")
    config = Config(packing=packing, steps=3, batch=20, lr=0.01)
    run = pacgan.train(config, Run.create("pacgan", config, tmp_path / "run"))
    found, _ = checkpoint.read(run.path("checkpoint.safetensors"))

    class Maxout(torch.nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.linear = torch.nn.Linear(inputs, 1000)

        def forward(self, x):
            return self.linear(x).reshape(-1, 5, 200).max(1).values

    layers = []
    for inputs in 2, 400, 400, 400:
        norm = torch.nn.BatchNorm1d(400, eps=1e-4, momentum=0.05)
        layers += [torch.nn.Linear(inputs, 400, bias=False), norm, torch.nn.ReLU()]
    g = torch.nn.Sequential(*layers, torch.nn.Linear(400, 2))
    d = torch.nn.Sequential(Maxout(2 * packing), Maxout(200), Maxout(200), torch.nn.Linear(200, 1))
    for net, ours in zip((g, d), pacgan.initial_networks(config)):
        state = {k.removeprefix("model."): torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
        net.load_state_dict(state)
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), 0.01, betas=(0.8, 0.999)) for net in (g, d))
    packs, softplus = pacgan.training_packs(config), torch.nn.functional.softplus
    for step in range(3):
        x = torch.tensor(packs[tg.data.batch_indices(100_000, 20, 0, step)])
        z = torch.tensor(Random(0).at("z", step).normal((packing, 20, 2)))
        logits = d(torch.cat([x, torch.cat([g(part) for part in z], 1)]))[:, 0]
        loss_d = (softplus(-logits[:20]) + softplus(logits[20:])).mean()
        loss_g = (softplus(logits[:20]) + softplus(-logits[20:])).mean()
        of_d = torch.autograd.grad(loss_d, list(d.parameters()), retain_graph=True)
        of_g = torch.autograd.grad(loss_g, list(g.parameters()))
        for p, gradient in zip([*d.parameters(), *g.parameters()], of_d + of_g):
            p.grad = gradient
        adam_g.step()
        adam_d.step()
    for prefix, net in ("net.model.", g), ("discriminator.model.", d):
        for name, value in net.state_dict().items():
            if "weight" in name or "running" in name:
                difference = np.abs(found[prefix + name] - value.numpy())
                assert np.mean(difference > 1e-4 + 1e-3 * value.abs().numpy()) < 2e-3, name


# Runs


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    config = Config(steps=4, batch=10, pictures_every=2)
    folder = tmp_path_factory.mktemp("pacgan") / "whole"
    return pacgan.train(config, Run.create("pacgan", config, folder))


def test_resuming_for_more_steps_gives_the_same_bits(whole, tmp_path):
    for steps in 2, 4:
        config = Config(steps=steps, batch=10, pictures_every=2)
        free = pacgan.resumable_changes(config)
        run = Run.create("pacgan", config, tmp_path / "run", resume=steps == 4, free=free)
        pacgan.train(config, run)
    (a, _), (b, _) = (checkpoint.read(r.path("checkpoint.safetensors")) for r in (whole, run))
    assert a.keys() == b.keys() and "frames.points" in a
    assert all(np.array_equal(a[name], b[name]) for name in a)
    names = [f"{name}-00000{step}.png" for name in ("discriminator", "training") for step in (2, 4)]
    assert sorted(p.name for p in run.path("samples").iterdir()) == names


def test_sample_and_evaluate(whole):
    points = pacgan.sample(whole, 100)
    assert points.shape == (100, 2)
    # each point depends on its z alone, because BatchNorm uses its running statistics
    np.testing.assert_allclose(points[:7], pacgan.sample(whole, 7), rtol=1e-5, atol=1e-7)
    assert not np.array_equal(points, pacgan.sample(whole, 100, seed=1))
    found = pacgan.evaluate(whole, samples=500)
    assert found.keys() == {"images", "modes", "high_quality", "reverse_kl"} and found["images"] == 500


def test_the_surface_shows_where_the_discriminator_says_real():
    discriminator = pacgan.Discriminator(2)
    discriminator.forward = lambda packs: packs[:, 0] * 3 + packs[:, 1]
    shown = pacgan.discriminator_surface(discriminator, Config(packing=2), 1.0, n=5)
    x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    np.testing.assert_allclose(shown, 1 / (1 + np.exp(-3 * x - y)), rtol=1e-5)


def test_the_command_line(whole, tmp_path, capsys):
    out = tmp_path / "points.png"
    assert main(["sample", str(whole.folder), "-n", "50", "-o", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["eval", str(whole.folder)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["images"] == 2500 and printed["data"] == "ring8"
    for argv, says in [
        (["train", "pacgan", "--data", "mnist"], "--data: unknown value 'mnist'; known: ring8, grid25"),
        (["train", "pacgan", "--data", "moons"], "--data: unknown value 'moons'"),
        (["train", "pacgan", "--packing", "5"], "--packing: unknown value '5'; known: 1, 2, 3, 4"),
        (["eval", str(whole.folder), "--samples", "20"], "modes: found 20 samples, expected 80 or more"),
        (["sample", str(whole.folder), "--label", "3"], "--label: pacgan has no labels"),
    ]:
        assert main(argv) == 2
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1, said


def test_pictures_of_points():
    for frames in np.zeros((3, 4, 2)), np.ones((4, 2)):
        assert pictures.points(frames, centers=[[0, 0]]).startswith(b"\x89PNG")
    assert pictures.surface(np.zeros((3, 3)), 1.0, "D", np.zeros((2, 2))).startswith(b"\x89PNG")


def test_both_devices_train_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(pacgan, "DATA_SIZE", 200)
    config = Config(steps=3, batch=8, pictures_every=3)
    lines, points = {}, {}
    for device in "cpu", "cuda":
        with gpu() if device == "cuda" else contextlib.nullcontext():
            run = pacgan.train(config, Run.create("pacgan", config, tmp_path / device, device=device))
            lines[device] = [run.metrics()[-1][name] for name in ("loss_d", "loss_g", "p_real", "p_fake")]
            points[device] = pacgan.sample(run, 5)
    np.testing.assert_allclose(lines["cuda"], lines["cpu"], rtol=1e-5)
    np.testing.assert_allclose(points["cuda"], points["cpu"], rtol=1e-4, atol=1e-6)
