"""A network to test, and comparisons of tinygen with PyTorch."""

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


rng = np.random.default_rng(0)


def close(ours, theirs, tolerance=1e-10):
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def same_state(ours, theirs, tolerance=1e-10):
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    for name in a:
        close(a[name], b[name], tolerance)


def randomize(theirs):
    """Random weights, because normalizations start with ones and zeros."""
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(rng.uniform(-1, 1, size=p.shape)))
        for name, b in theirs.named_buffers():
            if name.endswith("running_var"):
                b.copy_(torch.tensor(rng.uniform(0.5, 2, size=b.shape)))


def network(T, N):
    """A network with a shared parameter, a shared module, buffers of both kinds, and None as values."""

    class Net(N.Module):
        def __init__(self):
            super().__init__()
            self.scale = N.Parameter(T.ones(2))
            self.body = N.Sequential(N.Linear(3, 4), N.ReLU(), N.BatchNorm1d(4), N.Linear(4, 3, bias=False))
            self.heads = N.ModuleList([N.Linear(3, 2), N.Linear(3, 2)])
            self.heads[1].weight = self.heads[0].weight
            self.again = self.body[0]
            self.register_buffer("count", T.zeros(2))
            self.register_buffer("scratch", T.zeros(5), persistent=False)
            self.register_parameter("nothing", None)

        def forward(self, x):
            return self.heads[1](self.body(x)) * self.scale

    return Net()


def Net():
    return network(tg, nn)
