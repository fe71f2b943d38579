"""What in-place methods and item assignment refuse, and with which error; the values are in cases/inplace.py."""

import numpy as np
import pytest

import tinygen as T


def test_the_method_returns_its_tensor_and_writes_its_memory():
    x = T.tensor([1.0, 4.0])
    row = x[1:]
    assert x.sqrt_() is x and x.tolist() == [1, 2] and row.tolist() == [2]
    assert x.masked_fill_(x == 2, 5).tolist() == [1, 5] and row.tolist() == [5]
    assert x.clip_(max=3).tolist() == [1, 3] and x.pow_(2).tolist() == [1, 9]
    x **= 0.5
    assert row.tolist() == [3]


@pytest.mark.parametrize("name", ["squeeze_", "unsqueeze_", "transpose_", "t_"])
def test_a_shape_does_not_change_in_place(name):
    with pytest.raises(NotImplementedError, match=rf"{name}: .* use x = x\.{name[:-1]}\("):
        getattr(T.zeros(1, 2), name)(0)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: T.tensor([1]).exp_(), RuntimeError, "exp_: a result of dtype float32 cannot be stored in x int64"),
        (lambda: T.zeros(2).add_(T.zeros(3, 2)), RuntimeError, r"add_: the result \(3, 2\) does not fit"),
        (lambda: T.zeros(2).fill_(T.zeros(2)), RuntimeError, r"fill_: found value \(2,\)"),
        (lambda: T.zeros(2, dtype=T.uint8).fill_(300), RuntimeError, "fill_: the value 300 does not fit into uint8"),
        (lambda: T.zeros(2).bernoulli_(1.5), RuntimeError, "bernoulli: found an element that is no probability"),
        (lambda: T.zeros(2).copy_(T.zeros(3)), RuntimeError, r"\(3,\) cannot be expanded to \(2,\)"),
        (lambda: T.zeros(2, requires_grad=True).relu_(), RuntimeError, "relu_: a leaf that requires a gradient"),
    ],
)  # fmt: skip
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    "value, kind, message",
    [
        (T.ones(2), RuntimeError, r"x\[...\] = value: found value \(2,\), expected a shape that broadcasts to \(3,\)"),
        (np.ones((2, 3)), ValueError, r"found value \(2, 3\), expected a shape that broadcasts to \(3,\)"),
        ("a", TypeError, r"x\[...\] = value: found a str, expected a number or a Tensor"),
        (None, TypeError, r"x\[...\] = value: found a NoneType"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit(value, kind, message):
    x = T.zeros(2, 3)
    with pytest.raises(kind, match=message):
        x[0] = value
    assert not x.any()


def test_assignment_that_a_graph_would_need_names_what_to_use():
    x, w = T.zeros(3), T.ones(3, requires_grad=True)
    with pytest.raises(NotImplementedError, match=r"requires a gradient; write y = x.index_put"):
        w[0] = 1.0
    with pytest.raises(NotImplementedError, match=r"the value requires a gradient; write y = x.index_put"):
        x[0] = w[0]
    y = x * w
    with pytest.raises(NotImplementedError, match=r"is saved for the backward .* write to x.clone\(\)"):
        x[0] = 1.0
    del y
    x[0] = 1.0
    with T.no_grad():
        w[0] = x[1]
    assert x.tolist() == [1, 0, 0] and w.tolist() == [0, 1, 1]


def test_random_fills_stay_in_their_range():
    x = T.empty(1000, dtype=T.float64)
    assert set(x.bernoulli_(0.3).tolist()) == {0, 1} and 0.2 < x.mean() < 0.4
    assert x.bernoulli_(T.linspace(0, 1, 1000)).mean() > 0.4 and x[0] == 0
