"""nn.init compared with PyTorch's: distributions, fans, gains, rejected arguments."""

import inspect
import math

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


RANDOM = [  # function, arguments
    ("uniform_", (-1.0, 3.0)),
    ("uniform_", ()),
    ("normal_", (2.0, 0.5)),
    ("normal_", ()),
    ("trunc_normal_", ()),
    ("trunc_normal_", (0.3, 0.02)),  # the bounds are far away
    ("trunc_normal_", (0.0, 1.0, -0.5, 0.3)),  # uniform candidates
    ("trunc_normal_", (1.0, 0.5, 1.2, 9.0)),
    ("trunc_normal_", (0.0, 1.0, 1.5, 3.0)),
    ("trunc_normal_", (0.5, 2.0, -1.0, 4.0)),
    ("sparse_", (0.3,)),
    ("sparse_", (0.55, 2.0)),
    ("xavier_uniform_", (1.5,)),
    ("xavier_uniform_", ()),
    ("xavier_normal_", (0.5,)),
    ("kaiming_uniform_", (0.3, "fan_out")),
    ("kaiming_uniform_", (0, "fan_in", "relu")),
    ("kaiming_normal_", (0.3, "FAN_OUT")),
    ("kaiming_normal_", (0, "fan_in", "tanh")),
    ("kaiming_normal_", ()),
    ("kaiming_uniform_", (math.sqrt(5),)),
]
EXACT = [  # function, shape, arguments
    ("constant_", (2, 3), (3.5,)),
    ("ones_", (2, 3), ()),
    ("zeros_", (2, 3), ()),
    ("eye_", (3, 3), ()),
    ("eye_", (2, 4), ()),
    ("eye_", (4, 2), ()),
    ("eye_", (0, 2), ()),
    ("dirac_", (3, 3, 3), ()),
    ("dirac_", (4, 3, 3, 3), ()),
    ("dirac_", (2, 3, 2, 5), ()),
    ("dirac_", (6, 2, 3, 3), (3,)),
    ("dirac_", (4, 3, 1, 2, 3), (2,)),
    ("orthogonal_", (0, 3), ()),
]
ELSEWHERE = {"calculate_gain", "default_linear_"}  # tested below, and with the layers
PUBLIC = sorted(
    n for n, f in vars(nn.init).items() if getattr(f, "__module__", "") == nn.init.__name__ and n[0] != "_"
)


def test_every_public_function_has_a_case():
    assert set(PUBLIC) - ELSEWHERE == {case[0] for case in RANDOM + EXACT}


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "default_linear_"])
def test_arguments_are_pytorchs(name):
    def arguments(f):
        return [(p.name, p.default) for p in inspect.signature(f).parameters.values()]

    assert arguments(getattr(nn.init, name)) == arguments(getattr(tnn.init, name))


SHAPES = {"sparse_": [(500, 60)]}
FANS = [
    (300, 150),
    (80, 50, 3, 3),
    (100, 70, 5),
    (40, 24, 3, 2, 2),
]  # transposed convolutions, (in, out, …), count the same


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", RANDOM, ids=lambda c: f"{c[0]}{c[1]}")
def test_random_initializers_have_pytorchs_distribution(case, dtype):
    """Moments and the Kolmogorov-Smirnov distance, within 5 standard deviations."""
    function, args = case
    tg.manual_seed(0), torch.manual_seed(0)
    for shape in SHAPES.get(function, FANS):
        p = nn.Parameter(tg.full(shape, 7.0, dtype=np.dtype(dtype)))
        ours = getattr(nn.init, function)(p, *args, **({} if function == "sparse_" else {"generator": None}))
        theirs = getattr(tnn.init, function)(torch.zeros(*shape, dtype=getattr(torch, dtype)), *args)
        assert ours is p and p.requires_grad and p.is_leaf and p.dtype == dtype
        a, b = np.sort(p.detach().numpy().ravel()), np.sort(theirs.numpy().ravel())
        n, spread = len(a), b.std()
        assert abs(a.mean() - b.mean()) < 5 * spread * math.sqrt(2 / n)
        assert abs(a.std() / spread - 1) < 8 * math.sqrt(1 / n)
        places = [np.searchsorted(b, a, side) / n for side in ("left", "right")]
        own = [np.searchsorted(a, a, side) / n for side in ("left", "right")]
        assert max(np.abs(x - y).max() for x, y in zip(places, own)) < 2.6 * math.sqrt(2 / n) + 1 / n
        if "uniform" in function:
            assert abs(np.abs(a).max() / np.abs(b).max() - 1) < 2e-3
        if function == "trunc_normal_":
            low, high = (args + (0.0, 1.0, -2.0, 2.0)[len(args) :])[2:]
            assert low <= a[0] and a[-1] <= high
        if function == "sparse_":
            assert ((p.detach().numpy() == 0).sum(0) == math.ceil(args[0] * shape[0])).all()
        if dtype == "float64" and "sparse" not in function:
            assert len(np.unique(a)) == n  # float64 gets all its bits


@pytest.mark.parametrize("case", EXACT, ids=str)
def test_the_other_initializers_give_pytorchs_values(case):
    function, shape, args = case
    p = nn.Parameter(tg.full(shape, 7.0))
    assert getattr(nn.init, function)(p, *args) is p and p.requires_grad
    theirs = getattr(tnn.init, function)(torch.full(shape, 7.0), *args)
    np.testing.assert_array_equal(p.detach().numpy(), theirs.numpy())


@pytest.mark.parametrize("shape", [(3, 4), (5, 2, 3), (6, 4, 3, 3), (2, 3, 4, 5, 6), (0, 3)])
def test_fans(shape):
    ours, theirs = tg.zeros(*shape), torch.zeros(*shape)
    assert nn.init._calculate_fan_in_and_fan_out(ours) == tnn.init._calculate_fan_in_and_fan_out(theirs)
    for mode in ("fan_in", "fan_out"):
        assert nn.init._calculate_correct_fan(ours, mode) == tnn.init._calculate_correct_fan(theirs, mode)


def test_gains():
    dims = [f"conv{kind}{d}d" for kind in ("", "_transpose") for d in (1, 2, 3)]
    for name in ("linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu", *dims):
        assert nn.init.calculate_gain(name) == tnn.init.calculate_gain(name)
    for slope in (0.2, 0, 3):
        assert nn.init.calculate_gain("leaky_relu", slope) == tnn.init.calculate_gain("leaky_relu", slope)


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (9, 4), (6, 2, 3, 3), (40, 2, 3)])
def test_orthogonal(shape):
    w = nn.init.orthogonal_(tg.zeros(*shape, dtype=tg.float64), gain=2.0).numpy().reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)


@pytest.mark.parametrize(
    "name, shape, args",
    [
        ("kaiming_normal_", (2, 2), (0, "fan")),
        ("kaiming_uniform_", (2, 2), (0, "fan_in", "swish")),
        ("kaiming_uniform_", (2, 2), (True,)),
        ("xavier_normal_", (3,), ()),
        ("kaiming_normal_", (3,), ()),
        ("orthogonal_", (3,), ()),
        ("eye_", (2, 2, 2), ()),
        ("eye_", (2,), ()),
        ("dirac_", (2, 2), ()),
        ("dirac_", (3, 2, 3), (2,)),
        ("sparse_", (3,), (0.1,)),
        ("uniform_", (3,), (2.0, 1.0)),
        ("normal_", (3,), (0.0, -1.0)),
    ],
)
def test_wrong_calls_raise_as_pytorchs(name, shape, args):
    p = tg.full(shape, 7.0)
    with pytest.raises(Exception) as theirs:
        getattr(tnn.init, name)(torch.zeros(*shape), *args)
    with pytest.raises(theirs.type, match="found"):
        getattr(nn.init, name)(p, *args)
    assert (p.numpy() == 7).all()


def test_a_generator_is_refused_and_a_far_mean_is_warned_of():
    for name, args in {case[0]: case[1] for case in RANDOM}.items():
        with pytest.raises(NotImplementedError, match=r"_: generator=.*manual_seed"):
            getattr(nn.init, name)(tg.zeros(4, 4), *args, generator=object())
    with pytest.warns(UserWarning, match="more than 2 std"):
        p = nn.init.trunc_normal_(tg.zeros(50), mean=5.0)
    assert p.numpy().max() <= 2 and p.numpy().mean() > 1.4


def test_the_weight_initialization_of_dcgan():
    p = nn.Parameter(tg.zeros(2, 3))
    nn.init.normal_(p.data, 1.0)
    assert (p.detach().numpy() != 0).all()
