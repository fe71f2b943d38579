"""Tensors print as in PyTorch, with all options of set_printoptions; sizes know their product."""

import json
import pickle
import re

import numpy as np
import pytest

import tinygen as tg

torch = pytest.importorskip("torch")
DTYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "bool")
SHAPES = [
    (),
    (1,),
    (5,),
    (0,),
    (0, 3),
    (2, 0),
    (3, 4),
    (2, 3, 4),
    (30,),
    (1001,),
    (40, 50),
    (2, 40, 50),
    (1, 1, 1001),
]
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e9, 1e-9, 123456789.0, 1234.5, 0.1, 100.0, -3.0)
OPTIONS = [
    {},
    {"precision": 2},
    {"profile": "short"},
    {"profile": "full"},
    {"threshold": 5, "edgeitems": 1},
    {"linewidth": 40},
    {"sci_mode": True},
    {"sci_mode": False},
]


@pytest.fixture(autouse=True)
def default_options():
    yield
    tg.set_printoptions(profile="default")
    torch.set_printoptions(profile="default")


def arrays():
    random = np.random.default_rng(0)
    yield np.arange(2000, dtype=np.float32)
    for dtype in DTYPES:
        for shape in SHAPES:
            numbers = random.normal(size=shape) * random.choice([1, 3, 100, 1e4, 1e-6])
            yield np.asarray(numbers % 200 if dtype == "uint8" else numbers).astype(dtype)
            yield np.asarray(np.round(numbers % 90)).astype(dtype)
    for value in SPECIAL:
        for dtype in ("float32", "float64"):
            yield from (
                np.array(v, dtype) for v in (value, [value, 1, np.nan, -np.inf], [value, 0, 0], [value] * 3)
            )


def shown(x) -> str:
    """PyTorch's "torch." before a dtype may break the line elsewhere."""
    return re.sub(r",\s+(dtype|size|requires_grad)=", r", \1=", repr(x).replace("torch.", ""))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_as_pytorchs(options):
    tg.set_printoptions(**options)
    torch.set_printoptions(**options)
    for a in arrays():
        if a.size > 1000 and options.get("profile") == "full":
            continue
        x, y = tg.tensor(a), torch.tensor(a)
        assert shown(x) == shown(y)
        if a.dtype.kind == "f":
            assert shown(x.requires_grad_()) == shown(y.requires_grad_())


def test_a_summary_of_whole_floats():
    assert (
        repr(tg.arange(2000.0))
        == "tensor([0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 1.9970e+03, 1.9980e+03,\n"
        "        1.9990e+03])"
    )
    assert repr(tg.arange(500.0)[:3]) == "tensor([0., 1., 2.])"


def test_options_are_read_and_restored():
    before = tg.get_printoptions()
    tg.set_printoptions(precision=1)
    assert tg.get_printoptions()["precision"] == 1 and repr(tg.tensor(0.25)) == "tensor(0.2)"
    tg.set_printoptions(**before)
    assert tg.get_printoptions() == before == torch._tensor_str.get_printoptions()
    with pytest.raises(ValueError, match="set_printoptions: found profile 'long', expected one of default"):
        tg.set_printoptions(profile="long")


def test_sizes():
    x = tg.zeros(2, 3, 4)
    for size in (x.shape, x.size(), tg.Size([2, 3, 4]), pickle.loads(pickle.dumps(x.shape))):
        assert type(size) is tg.Size and size == (2, 3, 4) and hash(size) == hash((2, 3, 4))
        assert size.numel() == 24 and size[1:].numel() == 12 and size[:0].numel() == 1
        assert type(size[1:]) is type(size + (5,)) is tg.Size and type(size[0]) is int
        assert repr(size) == "(2, 3, 4)" and json.dumps(size) == "[2, 3, 4]"
    assert x.size(1) == 3 and tg.zeros(size=x.shape).shape == x.reshape(x.shape[:-1] + (4,)).shape
    assert tg.zeros(()).shape.numel() == 1 and tg.zeros(0, 3).shape.numel() == 0
