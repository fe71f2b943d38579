"""The weights that layers start with, compared with the distributions of PyTorch's."""

import math

import numpy as np
import pytest
from compared import same_state

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


def weights(layer):
    return {name: p.detach().numpy() for name, p in layer.named_parameters()}


@pytest.mark.parametrize(
    "make, fan_in",
    [
        (lambda N: N.Linear(100, 300), 100),
        (lambda N: N.Conv2d(12, 60, 5), 12 * 25),
        (lambda N: N.Conv2d(12, 60, (5, 3), groups=3), 4 * 15),
        (lambda N: N.ConvTranspose2d(60, 12, 5), 12 * 25),
        (lambda N: N.ConvTranspose2d(60, 12, (5, 3), groups=3), 4 * 15),
    ],
    ids=["Linear", "Conv2d", "Conv2d-groups", "ConvTranspose2d", "ConvTranspose2d-groups"],
)
def test_default_weights_have_pytorchs_distribution(make, fan_in):
    tg.manual_seed(1), torch.manual_seed(1)
    ours, theirs = [weights(make(nn)) for _ in range(6)], [weights(make(tnn)) for _ in range(6)]
    bound = 1 / math.sqrt(fan_in)
    for name in ("weight", "bias"):
        a = np.sort(np.concatenate([w[name].ravel() for w in ours]))
        b = np.sort(np.concatenate([w[name].ravel() for w in theirs]))
        n = len(a)
        assert np.abs(a).max() <= bound * (1 + 1e-6)
        # the probability that no draw comes this near to the bound is e^-20
        assert np.abs(a).max() > bound * (1 - 20 / n)
        assert abs(a.mean()) < 5 * bound / math.sqrt(3 * n)
        assert abs(a.var() / (bound**2 / 3) - 1) < 5 * math.sqrt(0.8 / n)
        places = np.searchsorted(b, a) / n  # Kolmogorov-Smirnov: P(distance > 2.2 sqrt(2/n)) = 1e-4
        assert np.abs(places - np.arange(n) / n).max() < 2.2 * math.sqrt(2 / n) + 1 / n


def test_other_layers_start_as_pytorchs():
    for make in (
        lambda N: N.BatchNorm2d(3),
        lambda N: N.LayerNorm((2, 3)),
        lambda N: N.GroupNorm(2, 4),
        lambda N: N.PReLU(3, 0.1),
    ):
        same_state(make(nn), make(tnn), 0)
    tg.manual_seed(0)
    table = weights(nn.Embedding(200, 200, padding_idx=3))["weight"]
    assert not table[3].any() and table[2].any()
    assert abs(table.std() - 1) < 0.02 and abs(table.mean()) < 0.02 and np.abs(table).max() > 3.5


def test_reset_parameters():
    for layer in (
        nn.Linear(2, 2),
        nn.Conv2d(1, 1, 3),
        nn.Embedding(3, 2, 1),
        nn.BatchNorm1d(2),
        nn.LayerNorm(2),
    ):
        before = {n: t.numpy().copy() for n, t in layer.state_dict().items()}
        layer.load_state_dict({n: np.full_like(a, 5) for n, a in before.items()})
        layer.reset_parameters()
        for n, t in layer.state_dict().items():
            assert not (t.numpy() == 5).any(), n
            if "Norm" in type(layer).__name__:
                np.testing.assert_array_equal(t.numpy(), before[n])


def test_the_seed_decides_the_weights():
    def made(seed):
        tg.manual_seed(seed)
        return np.concatenate(
            [w.ravel() for w in weights(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))).values()]
        )

    np.testing.assert_array_equal(made(3), made(3))
    assert (made(3) != made(4)).all()
    tg.manual_seed(3)
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    assert (first.weight.detach().numpy() != second.weight.detach().numpy()).all()
