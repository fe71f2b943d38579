"""The checkers themselves: they accept right derivatives, reject every kind of wrong one, and name the input."""

import numpy as np
import pytest

import tinygen as T
from tinygen import ops
from tinygen.autograd import GradcheckError, gradcheck, gradgradcheck
from tinygen.engine.primitive import primitive


def x_of(*shape):
    return T.tensor(np.random.default_rng(0).uniform(0.5, 1.5, shape), requires_grad=True)


def make_cube(row, name="cube"):
    """x^3 with the derivative row under test."""

    @primitive(name=name)
    def cube(x):
        return x * x * x

    cube.vjp(row)
    return cube


RIGHT = make_cube(lambda g, x: g * (3 * x * x))
WRONG = make_cube(lambda g, x: g * (2 * x * x), "wrong first")
DETACHED = make_cube(lambda g, x: g * (3 * x * x).detach(), "drops a dependence on x")
NO_G = make_cube(lambda g, x: g.detach() * (3 * x * x), "drops a dependence on g")
ONE_ELEMENT = make_cube(
    lambda g, x: g * (3 * x * x) * T.where(T.arange(x.numel()).reshape(x.shape) == 1, 1.01, 1.0),
    "one element",
)


@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (40, 10)])
def test_right_rules_pass(shape):
    assert gradcheck(RIGHT, x_of(*shape)) and gradgradcheck(RIGHT, x_of(*shape))


@pytest.mark.parametrize("shape", [(2,), (3, 4), (40, 10)])
def test_a_wrong_first_derivative_is_rejected(shape):
    with pytest.raises(
        GradcheckError, match=r"gradcheck: wrong, input 0 of shape .*found the derivative .*expected"
    ):
        gradcheck(_named(WRONG, "wrong"), x_of(*shape))
    assert not gradcheck(WRONG, x_of(*shape), raise_exception=False)


def test_one_wrong_element_is_rejected():
    with pytest.raises(GradcheckError):
        gradcheck(ONE_ELEMENT, x_of(2, 3))


@pytest.mark.parametrize("rule", [DETACHED, NO_G], ids=["x", "g"])
@pytest.mark.parametrize("shape", [(2,), (3, 4), (40, 10)])
def test_a_right_first_with_a_wrong_second_derivative_is_rejected(rule, shape):
    assert gradcheck(rule, x_of(*shape))
    with pytest.raises(GradcheckError, match="gradgradcheck: gradient of f, input"):
        gradgradcheck(_named(rule, "f"), x_of(*shape))
    assert not gradgradcheck(rule, x_of(*shape), raise_exception=False)


def _named(f, name):
    def call(*xs):
        return f(*xs)

    call.__name__ = name
    return call


def test_the_error_names_the_input_and_the_output():
    @primitive
    def f(x, w):
        return x * w

    f.vjp(lambda g, w: g * w, lambda g, x: g * x * 1.1)
    with pytest.raises(GradcheckError, match=r"input 1 of shape \(4,\), output 1, random direction 0: found"):
        gradcheck(lambda x, w: (x * w, f(x, w)), (x_of(4), x_of(4)))


def test_only_float64():
    with pytest.raises(TypeError, match=r"gradcheck: input 1 of shape \(3,\) is float32, expected float64"):
        gradcheck(lambda x, w: x * w, (x_of(3), T.ones(3, requires_grad=True)))
    with pytest.raises(
        ValueError, match="gradcheck: none of the 1 inputs is a Tensor that requires a gradient"
    ):
        gradcheck(T.exp, T.ones(3))
    with pytest.raises(ValueError, match="gradgradcheck: none of the 2 inputs"):
        gradgradcheck(T.add, (T.ones(3), 2.0))


def test_inputs_that_are_not_checked():
    """Integers, masks, numbers and constants go through as they are."""
    i, c = T.tensor([2, 0]), T.ones(3, dtype=T.float64)
    assert gradcheck(lambda x, i, k, c: x[i] * k + c[i], (x_of(3), i, 2.5, c))
    assert gradgradcheck(lambda x, i, k, c: x[i] ** 2 * k + c[i], (x_of(3), i, 2.5, c))


def test_outputs_of_other_kinds():
    """Several outputs, one of integers, one that does not depend on the input."""

    def f(x):
        values, indices = x.max(0)
        return values, indices, T.ones(2, dtype=T.float64), x > 1

    assert gradcheck(f, x_of(3, 2)) and gradgradcheck(f, x_of(3, 2))
    with pytest.raises(ValueError, match="returns no Tensor of a floating dtype"):
        gradcheck(lambda x: x > 1, x_of(2))
    with pytest.raises(GradcheckError, match="found the derivative 0"):
        gradcheck(lambda x: x.detach() * 2, x_of(2))
    with pytest.raises(ValueError, match=r"no output of .* requires a gradient"):
        gradgradcheck(lambda x: x.detach() * 2, x_of(2))


def test_an_unused_input_has_derivative_zero():
    assert gradcheck(lambda x, w: x * 2, (x_of(2), x_of(3)))
    assert gradgradcheck(lambda x, w: x * x, (x_of(2), x_of(3)))


def test_nan_is_rejected():
    nan = make_cube(lambda g, x: g * np.nan, "nan")
    with pytest.raises(GradcheckError):
        gradcheck(nan, x_of(2))


def test_a_function_that_writes_to_its_input_is_rejected():
    def f(x):
        x.data.mul_(1.5)
        return x.clone()

    with pytest.raises(GradcheckError, match="changed its input 0"):
        gradcheck(f, x_of(2))


def test_grad_outputs_and_tolerances():
    v = T.tensor(np.array([1.0, -2.0]))
    assert gradgradcheck(RIGHT, x_of(2), v) and not v.requires_grad
    slightly = make_cube(lambda g, x: g * (3.001 * x * x))
    assert gradcheck(slightly, x_of(2), rtol=1e-2) and not gradcheck(
        slightly, x_of(2), rtol=1e-5, raise_exception=False
    )


def test_works_where_the_tape_is_off():
    with T.no_grad():
        assert gradcheck(RIGHT, x_of(2)) and gradgradcheck(RIGHT, x_of(2))
        assert not gradcheck(WRONG, x_of(2), raise_exception=False)


def test_inputs_are_left_as_they_were():
    x = x_of(2)
    gradcheck(RIGHT, x)
    gradgradcheck(RIGHT, x)
    assert x.grad is None and x.is_leaf and x.requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_gradient_penalty_through_conv_batch_norm_and_max_pool(training):
    """The norm of an input gradient (WGAN-GP), differentiated by every parameter, against finite differences."""
    random = np.random.default_rng(0)
    x, w, gamma, beta, v = (
        T.tensor(random.standard_normal(shape), requires_grad=True)
        for shape in ((2, 2, 7, 6), (3, 2, 3, 3), (3,), (3,), (3,))
    )
    mean, var = T.tensor(random.standard_normal(3)), T.tensor(random.uniform(0.5, 2, 3))

    def penalty(x, w, gamma, beta, v):
        with T.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            h = ops.conv2d(x, w, stride=1, padding=1)
            h = ops.batch_norm(h, mean.clone(), var.clone(), gamma, beta, training)
            h = T.tanh(ops.max_pool2d(h, 2))
            score = (h.mean((2, 3)) @ v).sum()
            (g,) = T.autograd.grad(score, x, create_graph=True)
        return ((g.flatten(1).norm(2, 1) - 1) ** 2).mean()

    assert penalty(x, w, gamma, beta, v).item() > 1e-3
    assert gradcheck(penalty, (x, w, gamma, beta, v), eps=1e-5)
