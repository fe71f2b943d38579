"""A polynomial's derivative beyond its degree is 0, as in PyTorch; what does not depend on x is still refused."""

import pytest

import tinygen as tg
from tinygen.autograd import grad
from tinygen.nn import functional as F

POLYNOMIALS = {  # (function, its derivatives at 2)
    "x**1": (lambda x: x**1, [1]),
    "x**2": (lambda x: x**2, [4, 2]),
    "x**3": (lambda x: x**3, [12, 12, 6]),
    "x**4": (lambda x: x**4, [32, 48, 48, 24]),
    "x**2.0": (lambda x: x**2.0, [4, 2]),
    "x * x**2": (lambda x: x * x**2, [12, 12, 6]),
    "square": (lambda x: x.square(), [4, 2]),
    "square of square": (lambda x: x.square().square(), [32, 48, 48, 24]),
    "relu": (F.relu, [1]),
    "relu(x)**2": (lambda x: F.relu(x) ** 2, [4, 2]),
    "relu6": (F.relu6, [1]),
    "hardtanh": (lambda x: F.hardtanh(x, -5.0, 5.0), [1]),
    "leaky_relu": (lambda x: F.leaky_relu(-x), [-0.01]),
    "leaky_relu, squared": (lambda x: F.leaky_relu(x) ** 2, [4, 2]),
    "variance": (lambda x: tg.stack([x, -x]).var(), [8, 4]),
    "mse_loss": (lambda x: F.mse_loss(x, tg.zeros((), dtype=tg.float64)), [4, 2]),
}


@pytest.mark.parametrize("f, expected", POLYNOMIALS.values(), ids=POLYNOMIALS)
def test_one_derivative_more_than_the_degree_is_zero(f, expected):
    x = tg.tensor(2.0, dtype=tg.float64, requires_grad=True)
    y = f(x)
    for value in [*expected, 0, 0]:
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(value, abs=1e-12) and y.dtype == x.dtype


def test_the_last_derivative_in_backward():
    x = tg.tensor([1.0, -2.0], requires_grad=True)
    (g,) = grad((x**2).sum(), x, create_graph=True)
    (g,) = grad(g.sum(), x, create_graph=True)
    g.sum().backward()  # nothing to add
    assert x.grad is None or (x.grad == 0).all()


def test_zeros_only_where_the_output_depends_on_the_input():
    x, z = tg.ones(3, requires_grad=True), tg.ones(3, requires_grad=True)
    (g,) = grad(F.relu(x * 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="do not depend on input 0"):
        grad(g.sum(), z, retain_graph=True)
    assert grad(g.sum(), [z, x], allow_unused=True)[0] is None
    (g,) = grad((3 * x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require a gradient"):  # as in PyTorch
        grad(g.sum(), x)


def test_a_penalty_on_the_gradient_of_a_network_is_what_it_was():
    """Flat edges carry no gradient: a second backward runs through the weights alone."""
    w, x = (
        tg.tensor([[1.0, -2.0], [3.0, 1.0]], requires_grad=True),
        tg.tensor([[1.0, 2.0]], requires_grad=True),
    )
    (g,) = grad(F.leaky_relu(x @ w).sum(), x, create_graph=True)
    g.square().sum().backward()
    slope = tg.where(x @ w > 0, 1.0, 0.01)  # g = slope wᵀ, so that d|g|²/dw = 2 gᵀ slope
    assert tg.allclose(w.grad, 2 * g.T @ slope) and x.grad is None
