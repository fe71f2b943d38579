"""Derivatives at 0, inf and nan: the limit if it exists, else PyTorch's convention."""

import numpy as np
import pytest

import tinygen as tg
from tinygen.nn import functional as F

inf, nan = np.inf, np.nan


def value_and_gradient(f, values):
    x = tg.tensor(values, dtype=tg.float64, requires_grad=True)
    y = f(x)
    y.sum().backward()
    return y.tolist(), x.grad.tolist()


def same(found, expected):
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-12)


PRODUCTS = [  # (x, product, its gradient: the product of the others)
    ([2, inf, 3], inf, [inf, 6, inf]),
    ([inf, 2, 3], inf, [6, inf, inf]),
    ([-inf, inf], -inf, [inf, -inf]),
    ([2, 0, inf], nan, [nan, inf, 0]),
    ([0, 2, 0], 0, [0, 0, 0]),
    ([0, 2, 3], 0, [6, 0, 0]),
    ([1, nan, 2], nan, [nan, 2, nan]),
    ([1e300, 1e300], inf, [1e300, 1e300]),
]


@pytest.mark.parametrize("x, product, gradient", PRODUCTS)
def test_products_with_infinities_and_zeros(x, product, gradient):
    same(value_and_gradient(lambda x: x.prod(), x), (product, gradient))
    same(value_and_gradient(lambda x: x.prod(0, True), x), ([product], gradient))
    same(value_and_gradient(lambda x: x.cumprod(0)[-1], x), (product, gradient))


def test_running_products_with_infinities():
    same(value_and_gradient(lambda x: x.cumprod(0), [2, inf, 3]), ([2, inf, inf], [inf, 8, inf]))
    same(value_and_gradient(lambda x: x.cumprod(0), [inf, inf]), ([inf, inf], [inf, inf]))
    same(value_and_gradient(lambda x: x.cumprod(0), [3, 2]), ([3, 6], [3, 3]))


@pytest.mark.parametrize("p", [0.5, 0.9, 1, 1.5, 2, 3, inf, -0.5, -1, -2, -inf])
def test_norms_of_zeros_and_of_vectors_with_a_zero(p):
    zero = value_and_gradient(lambda x: x.norm(p), [0.0, 0.0, 0.0])
    assert zero[0] == 0 and zero[1] == [0, 0, 0]
    value, gradient = value_and_gradient(lambda x: x.norm(p), [0.0, 3.0, -4.0])
    assert gradient[0] == 0 and np.isfinite(gradient).all() and np.isfinite(value)
    if 0 < p < inf:
        others = value_and_gradient(lambda x: x.norm(p), [3.0, -4.0])
        same((value, gradient[1:]), others)


@pytest.mark.parametrize("p", [0.5, 1, 2, -1, -2])
def test_distances_and_directions_where_a_difference_is_zero(p):
    def distance(x):
        return F.pairwise_distance(
            x.reshape(1, 3), tg.tensor([[0.0, 1.0, 2.0]], dtype=tg.float64), p, eps=0.0
        )

    assert np.isfinite(value_and_gradient(distance, [0.0, 1.0, 4.0])[1]).all()
    if p > 0:
        assert np.isfinite(value_and_gradient(lambda x: F.normalize(x, p, 0), [0.0, 1.0, -4.0])[1]).all()
        assert np.isfinite(value_and_gradient(lambda x: F.normalize(x, p, 0), [0.0, 0.0])[1]).all()


def test_the_gradient_of_logsumexp_is_a_softmax_or_nan():
    f = lambda x: x.logsumexp(0)
    same(value_and_gradient(f, [inf, 1.0, 2.0]), (inf, [nan, 0, 0]))
    same(value_and_gradient(f, [-inf, 1.0]), (1, [0, 1]))
    same(value_and_gradient(f, [nan, 1.0]), (nan, [nan, nan]))
    same(value_and_gradient(f, [-inf, -inf]), (-inf, [0, 0]))  # PyTorch: nan


def test_other_derivatives_that_were_nan():
    zero = tg.zeros((), dtype=tg.float64)
    same(value_and_gradient(lambda x: tg.atan2(x, zero), [0.0]), ([0], [0]))
    same(value_and_gradient(lambda x: tg.atan2(zero, x), [0.0]), ([0], [0]))
    zero = tg.zeros(3, dtype=tg.float64)
    same(
        value_and_gradient(lambda x: F.huber_loss(x, zero, "none", 2.0), [inf, -inf, 1.0]),
        ([inf, inf, 0.5], [2, -2, 1]),
    )
    same(
        value_and_gradient(lambda x: F.smooth_l1_loss(x, zero, reduction="none", beta=2.0), [inf, -inf, 1.0]),
        ([inf, inf, 0.25], [1, -1, 0.5]),
    )
    weight = tg.tensor([inf], dtype=tg.float64)
    same(value_and_gradient(lambda x: F.prelu(x, weight), [2.0, -1.0]), ([2, -inf], [1, inf]))
    same(
        value_and_gradient(lambda w: F.prelu(tg.tensor([inf, -2.0], dtype=tg.float64), w), [0.5]),
        ([inf, -1], [-2]),
    )
    same(value_and_gradient(F.elu, [nan, inf, -inf]), ([nan, inf, -1], [1, 1, 0]))
    same(value_and_gradient(lambda x: x.max(), [nan, 1.0, nan]), (nan, [0.5, 0, 0.5]))
    same(value_and_gradient(lambda x: x.amin(0), [1.0, nan]), (nan, [0, 1]))


def test_a_nan_is_never_lost_in_a_loss():
    target = tg.tensor([0.0, inf], dtype=tg.float64)
    for loss in (F.huber_loss, F.smooth_l1_loss, F.mse_loss):
        same(
            value_and_gradient(lambda x: loss(x, target, reduction="none"), [nan, inf]),
            ([nan, nan], [nan, nan]),
        )


def test_clamp_between_a_number_and_a_tensor():
    bound = tg.tensor([0.0, 2.0, 2.0], requires_grad=True)
    x = tg.tensor([-1.0, 0.5, 3.0], requires_grad=True)
    assert x.clamp(0, bound).tolist() == [0, 0.5, 2] and x.clamp(bound, 2.5).tolist() == [0, 2, 2.5]
    x.clamp(min=bound, max=2.5).sum().backward()
    assert x.grad.tolist() == [0, 0, 0] and bound.grad.tolist() == [1, 1, 0]
    whole = tg.tensor([1, 5, 9])
    assert whole.clamp(2, tg.tensor([3, 3, 3])).dtype == tg.int64
    assert whole.clamp(2.5, tg.tensor([3, 3, 3])).tolist() == [2.5, 3, 3]
    assert tg.tensor([1.0, 5.0]).clamp_(min=tg.tensor(2.0), max=4).tolist() == [2, 4]
    assert tg.clamp(tg.tensor([1.0, 5.0]), max=tg.tensor(2.0), min=1.5).tolist() == [1.5, 2]
