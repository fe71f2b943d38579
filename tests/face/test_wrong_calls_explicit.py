"""Bad calls one by one: layers, optimizers, indexing, the graph.  test_wrong_calls.py derives more of them."""

import warnings

import pytest

import tinygen
from tinygen import nn, optim
from tinygen.nn import functional

try:
    import torch
except ImportError:  # TINYGEN_REQUIRE_TORCH=1 makes this an error, in conftest.py
    torch = None


def calls():
    """The name that the message must contain, and the call."""
    yield "Linear", lambda T: T.nn.Linear(3)
    yield "Linear", lambda T: T.nn.Linear("a", 3)
    yield "Linear", lambda T: T.nn.Linear(3, -1)
    yield "Linear", lambda T: T.nn.Linear(3, 2, nonsense=1)
    yield "Linear", lambda T: T.nn.Linear(3, 2)(T.zeros(2, 4))
    yield "Linear", lambda T: T.nn.Linear(3, 2)([1.0, 2.0, 3.0])
    yield "Conv2d", lambda T: T.nn.Conv2d(3, 4)
    yield "Conv2d", lambda T: T.nn.Conv2d(3, 4, 3, groups=2)
    yield "Conv2d", lambda T: T.nn.Conv2d(3, 4, 3, padding="no")
    yield "Conv2d", lambda T: T.nn.Conv2d(3, 4, 3, padding_mode="no")
    yield "Conv2d", lambda T: T.nn.Conv2d(3, 4, 3)(T.zeros(2, 2, 5, 5))
    yield "Conv2d", lambda T: T.nn.Conv2d(3, 4, 3)(T.zeros(2, 3, 2, 2))
    yield "Conv2d", lambda T: T.nn.Conv2d(3, 4, 3)(T.zeros(2, 3, 5, 5, dtype=T.int64))
    yield "BatchNorm2d", lambda T: T.nn.BatchNorm2d(3)(T.zeros(2, 3))
    yield "BatchNorm1d", lambda T: T.nn.BatchNorm1d(3)(T.zeros(1, 3))
    yield "BatchNorm1d", lambda T: T.nn.BatchNorm1d("a")
    yield "GroupNorm", lambda T: T.nn.GroupNorm(2, 3)
    yield "Dropout", lambda T: T.nn.Dropout(1.5)
    yield "Dropout", lambda T: T.nn.Dropout("a")
    yield "Embedding", lambda T: T.nn.Embedding(3, 2)(T.tensor([3]))
    yield "Embedding", lambda T: T.nn.Embedding(3, 2)(T.tensor([1.0]))
    yield "LayerNorm", lambda T: T.nn.LayerNorm(4)(T.zeros(2, 3))
    yield "Softmax", lambda T: T.nn.Softmax(3)(T.zeros(2, 3))
    yield "ReLU", lambda T: T.nn.ReLU(nonsense=1)
    yield "ReLU", lambda T: T.nn.ReLU()("a")
    yield "CrossEntropyLoss", lambda T: T.nn.CrossEntropyLoss(reduction="no")(T.zeros(2, 3), T.tensor([0, 1]))
    yield "CrossEntropyLoss", lambda T: T.nn.CrossEntropyLoss()(T.zeros(2, 3), T.tensor([0, 3]))
    yield "CrossEntropyLoss", lambda T: T.nn.CrossEntropyLoss()(T.zeros(2, 3), T.tensor([0]))
    yield "Sequential", lambda T: T.nn.Sequential("a")
    yield "Module", lambda T: T.nn.Linear(2, 2).load_state_dict({})
    yield "SGD", lambda T: T.optim.SGD([])
    yield "SGD", lambda T: T.optim.SGD(T.zeros(2))
    yield "SGD", lambda T: T.optim.SGD([1.0])
    yield "SGD", lambda T: T.optim.SGD([T.zeros(2)], lr=-1)
    yield "SGD", lambda T: T.optim.SGD([T.zeros(2)], lr=0.1, momentum=-1)
    yield "SGD", lambda T: T.optim.SGD([T.zeros(2)], nonsense=1)
    yield "SGD", lambda T: T.optim.SGD([T.zeros(2)], lr=0.1, nesterov=True)
    yield "SGD", lambda T: T.optim.SGD()
    yield "Adam", lambda T: T.optim.Adam([T.zeros(2)], betas=(0.9, 1.0))
    yield "Adam", lambda T: T.optim.Adam([T.zeros(2)], eps=-1)
    yield "Adam", lambda T: T.optim.Adam([T.zeros(2)], lr="a")
    yield "setitem", lambda T: T.zeros(2, 3).__setitem__(5, 1)
    yield "setitem", lambda T: T.zeros(2, 3).__setitem__((0, 0, 0), 1)
    yield "setitem", lambda T: T.zeros(2, 3).__setitem__(1.5, 1)
    yield "setitem", lambda T: T.zeros(2, 3).__setitem__(0, T.zeros(4))
    yield "setitem", lambda T: T.zeros(2, 3).__setitem__(0, "a")
    yield "setitem", lambda T: T.zeros(2, 3).__setitem__(0, None)
    yield "setitem", lambda T: T.zeros(2, 3).__setitem__(T.tensor([0, 2]), 1)
    yield "setitem", lambda T: T.zeros(2, 3).__setitem__(T.tensor([True]), 1)
    yield "getitem", lambda T: T.zeros(2, 3)[2]
    yield "getitem", lambda T: T.zeros(2, 3)[0, 0, 0]
    yield "getitem", lambda T: T.zeros(2, 3)[T.tensor([1.0])]
    yield "backward", lambda T: T.zeros(2, requires_grad=True).mul(2).backward()
    yield "backward", lambda T: T.zeros(2).sum().backward()
    yield "backward", lambda T: T.zeros(2, requires_grad=True).mul(2).backward(T.zeros(3))
    yield "backward", lambda T: T.zeros(2, requires_grad=True).mul(2).backward("a")
    yield "backward", lambda T: T.zeros(2, requires_grad=True).sum().backward(nonsense=1)
    yield (
        "grad",
        lambda T: T.autograd.grad(T.zeros(2, requires_grad=True).sum(), T.zeros(2, requires_grad=True)),
    )
    yield "grad", lambda T: T.autograd.grad(T.zeros(2, requires_grad=True).sum(), T.zeros(2))
    yield "grad", lambda T: T.autograd.grad(1.0, T.zeros(2, requires_grad=True))
    yield "grad", lambda T: T.autograd.grad(T.zeros(2, requires_grad=True).sum())
    yield "requires_grad_", lambda T: T.zeros(2, dtype=T.int64).requires_grad_()
    yield "item", lambda T: T.zeros(2).item()
    yield "numpy", lambda T: T.zeros(2, requires_grad=True).numpy()
    yield "len", lambda T: len(T.zeros(()))
    yield "bool", lambda T: bool(T.zeros(2))
    yield "to", lambda T: T.zeros(2).to("nonsense")
    yield "size", lambda T: T.zeros(2).size(3)
    yield "size", lambda T: T.zeros(2).size("a")
    yield "view", lambda T: T.zeros(2, 3).view(4)
    yield "xavier_uniform_", lambda T: T.nn.init.xavier_uniform_(T.zeros(2))
    yield "kaiming_normal_", lambda T: T.nn.init.kaiming_normal_(T.zeros(2, 2), mode="no")


CALLS = list(calls())
# the message names the function that a layer calls, or shows the expression
ALSO = {
    "Linear": "linear", "Conv2d": "conv2d", "BatchNorm2d": "batch_norm", "BatchNorm1d": "batch_norm",
    "Embedding": "embedding", "LayerNorm": "layer_norm", "Softmax": "softmax", "ReLU": "relu",
    "CrossEntropyLoss": "cross_entropy", "setitem": "x[", "getitem": "x[", "view": "reshape",
    "Module": "load_state_dict",    "kaiming_normal_": "kaiming",
    "xavier_uniform_": "fan in", "ModuleList": "ModuleList", "Sequential": "Sequential",
}  # fmt: skip


@pytest.mark.parametrize("k", range(len(CALLS)), ids=[f"{name}-{k}" for k, (name, _) in enumerate(CALLS)])
def test_explicit(k):
    name, call = CALLS[k]
    with pytest.raises(Exception) as raised:
        call(tinygen)
    text = str(raised.value)
    assert name in text or ALSO.get(name, name) in text
    if torch is None:
        return
    with pytest.raises(Exception) as expected, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(torch)
    assert isinstance(raised.value, (expected.type, NotImplementedError)), (raised.value, expected.value)


@pytest.mark.parametrize("module", [tinygen, functional, nn, optim])
def test_a_name_that_is_not_there(module):
    assert not hasattr(module, "nonsense") and not hasattr(module, "__nonsense__")
    with pytest.raises(AttributeError, match=r"tinygen.* does not have 'nonsense'"):
        _ = module.nonsense


def test_close_names_are_named():
    with pytest.raises(AttributeError, match=r"tinygen does not have 'maxmium'; .* maximum"):
        _ = tinygen.maxmium
    with pytest.raises(AttributeError, match=r"tinygen.nn does not have 'Convolution2d'; .* Conv2d"):
        _ = nn.Convolution2d
    with pytest.raises(ImportError):
        exec("from tinygen import nonsense")


def test_keywords_that_only_pytorch_has():
    x = tinygen.ones(2, 3)
    assert x.sum(0, out=None).shape == x.sum(axis=0).shape == x.exp(out=None).sum(dim=0).shape == (3,)
    assert x.sum(axis=1, keepdims=True).shape == (2, 1) and tinygen.zeros(2, pin_memory=False).shape == (2,)
    for call in (
        lambda: x.sum(0, out=x), lambda: x.exp(out=x), lambda: tinygen.randn(2, generator=1),
        lambda: tinygen.zeros(2, pin_memory=True), lambda: x.contiguous(memory_format=1),
        lambda: nn.init.normal_(x, generator=1),
    ):  # fmt: skip
        with pytest.raises(
            NotImplementedError, match=r"(out|generator|pin_memory|memory_format)=.* is not supported; .+"
        ):
            call()


def test_functions_refuse_numpy_arrays_and_operators_take_them():
    x, array = tinygen.ones(2, dtype=tinygen.float64), tinygen.ones(2, dtype=tinygen.float64).numpy()
    assert (x * array).dtype == x.dtype and (array * x).shape == (2,) and bool((x == array).all())
    for call in (
        lambda: x.mul(array),
        lambda: tinygen.exp(array),
        lambda: tinygen.sum(array),
        lambda: x.maximum(array),
    ):
        with pytest.raises(TypeError, match=r"(mul|exp|sum|maximum): \w+ is a ndarray, expected a Tensor"):
            call()


@pytest.mark.parametrize(
    "module, name, said",
    [
        (tinygen, "linalg", "; use NumPy's, numpy.linalg, on x.detach().numpy()"),
        (tinygen, "hstack", "; use cat or stack"),
        (tinygen, "softplus", "; there is tinygen.nn.functional.softplus"),
        (tinygen, "sigmoid_", "; there is the method x.sigmoid_(…)"),
        (tinygen, "zeros_lik", "; the closest names are zeros_like"),
        (tinygen, "kron", ""),
        (tinygen, "fft", "; use numpy.fft on x.detach().numpy()"),
        (nn, "Adam", "; there is tinygen.optim.Adam"),
        (nn, "relu", "; there is tinygen.relu"),
        (nn, "GRU", "; write the step with Linear"),
        (functional, "Linear", "; there is tinygen.nn.Linear"),
        (optim, "Lion", ""),
    ],
)
def test_what_is_there_instead(module, name, said):
    """For a missing name, the hint says where it is or which names are spelled alike; shared letters are not enough."""
    with pytest.raises(AttributeError) as raised:
        getattr(module, name)
    assert str(raised.value) == f"{module.__name__} does not have {name!r}{said}"


def test_a_good_reason_is_not_followed_by_a_signature():
    x = tinygen.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    for again in (y.backward, lambda: tinygen.autograd.grad(y, x), lambda: tinygen.autograd.backward(y)):
        with pytest.raises(RuntimeError) as raised:
            again()
        assert str(raised.value) == (
            "backward through mul a second time: what it saved was freed by the first; "
            "call the first with retain_graph=True"
        )
    with pytest.raises(NotImplementedError) as raised:
        x.squeeze_()
    assert str(raised.value).startswith(
        "squeeze_: a Tensor does not change its shape in place; use x = x.squeeze"
    )
    with pytest.raises(TypeError, match="Generator: found seed 'a', expected a whole number"):
        tinygen.manual_seed("a")


@pytest.mark.parametrize("draw", ["plot", "scatter", "hist", "imshow", "bar"])
def test_a_plot_of_what_requires_a_gradient_ends_in_one_sentence(draw):
    figure = pytest.importorskip("matplotlib.figure")
    axes = figure.Figure().add_subplot()
    for x in (tinygen.ones(2, 2, requires_grad=True), tinygen.ones(2, 2, requires_grad=True) * 2):
        x = x if draw in ("imshow", "plot") else x[0]
        with pytest.raises(RuntimeError, match=r"use x\.detach\(\)") as raised:
            getattr(axes, draw)(*[x] * (2 if draw in ("scatter", "bar") else 1))
        assert raised.value.__context__ is None and "\n" not in str(raised.value)
        getattr(axes, draw)(*[x.detach()] * (2 if draw in ("scatter", "bar") else 1))
    assert draw != "plot" or len(axes.plot(tinygen.arange(3.0), tinygen.ones(3, 4))) == 4
