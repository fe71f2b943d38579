"""Small programs that both libraries run."""

import pytest

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


def described(x):
    """A result in a form that both libraries share."""
    if isinstance(x, (nn.Module, tnn.Module)):
        return repr(x).replace("torch.float32", "float32")
    if isinstance(x, (tg.Tensor, torch.Tensor)):
        return tuple(x.shape), type(x).__name__ == "Parameter", x.detach().numpy().tolist()
    if isinstance(x, (list, tuple)):
        return [described(v) for v in x]
    return x


def names(pairs):
    return [name for name, _ in pairs]


def layers(N, *kinds):
    made = {
        "l": lambda: N.Linear(2, 3),
        "r": lambda: N.ReLU(),
        "t": lambda: N.Tanh(),
        "s": lambda: N.Sequential(N.Tanh(), N.ReLU()),
    }
    return [made[kind]() for kind in kinds]


def both(program):
    """Run a program with both libraries: it must give the same results, or errors of the same type."""
    results = []
    for T, N in ((tg, nn), (torch, tnn)):
        try:
            results.append(described(program(T, N)))
        except Exception as error:
            results.append(type(error))
    return results
