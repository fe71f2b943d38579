"""The dtype rule over every pair of dtypes and every kind of operand; the same under NumPy 1.26 and NumPy 2.

Once against the rule said in other words, which needs no PyTorch, and once against PyTorch.
"""

import itertools

import numpy as np
import pytest

import tinygen as T
from tinygen.engine import dtypes

try:
    import torch
except ImportError:
    torch = None

NAMES = "bool uint8 int8 int16 int32 int64 float16 float32 float64".split()
KINDS = ("tensor", "0-d", "number", "numpy")


def make(namespace, dtype, kind, value=2):
    """An operand of a dtype: a tensor with dimensions, one without, a Python number or a NumPy scalar."""
    if kind == "number":
        return {"b": bool, "u": int, "i": int, "f": float}[np.dtype(dtype).kind](value)
    if kind == "numpy":
        return np.dtype(dtype).type(value)
    return namespace.tensor([value] if kind == "tensor" else value, dtype=getattr(namespace, dtype))


def name_of(x):
    return str(x.dtype).removeprefix("torch.")


def expected_dtype(a, kind_a, b, kind_b):
    """PyTorch's rule in words: the highest category wins; within it, tensors with dimensions before those without,
    those before numbers; then the wider.  Numbers are int64 or the default dtype; their width never counts."""
    order = {"tensor": 0, "0-d": 1, "number": 2, "numpy": 2}
    category = {"b": 0, "u": 1, "i": 1, "f": 2}
    operands = []
    for dtype, kind in ((np.dtype(a), kind_a), (np.dtype(b), kind_b)):
        if order[kind] == 2:
            dtype = {"b": np.dtype(bool), "f": np.dtype(np.float32)}.get(dtype.kind, np.dtype(np.int64))
        operands.append((category[dtype.kind], -order[kind], dtype))
    top = max(c for c, _, _ in operands)
    operands = [o for o in operands if o[0] == top]
    first = max(o for _, o, _ in operands)
    widest = [d for _, o, d in operands if o == first]
    return np.promote_types(*widest).name if len(widest) == 2 else widest[0].name


BINARY = {
    "add": lambda N, x, y: x + y,
    "mul": lambda N, x, y: x * y,
    "div": lambda N, x, y: x / y,
    "where": lambda N, x, y: N.where(N.tensor([True]), x, y),
    "lt": lambda N, x, y: x < y,
    "eq": lambda N, x, y: x == y,
    "pow": lambda N, x, y: x**y,
    "remainder": lambda N, x, y: x % y,
    "floor_divide": lambda N, x, y: x // y,
}


@pytest.mark.parametrize(
    "kinds", [(a, b) for a in KINDS for b in KINDS if {a, b} & {"tensor", "0-d"}], ids="-".join
)
def test_rule(kinds):
    """Addition in every pair of dtypes, without PyTorch."""
    for a, b in itertools.product(NAMES, NAMES):
        x, y = make(T, a, kinds[0]), make(T, b, kinds[1])
        found, expected = name_of(x + y), expected_dtype(a, kinds[0], b, kinds[1])
        assert found == expected, f"{kinds[0]} {a} + {kinds[1]} {b}: found {found}, expected {expected}"
        assert name_of(T.where(T.tensor([True]), x, y)) == expected
        quotient = expected if np.dtype(expected).kind == "f" else "float32"
        assert name_of(x / y) == quotient
        assert name_of(x < y) == "bool"


@pytest.mark.skipif(torch is None, reason="needs torch")
@pytest.mark.parametrize("operation", BINARY)
@pytest.mark.parametrize(
    "kinds", [(a, b) for a in KINDS for b in KINDS if {a, b} & {"tensor", "0-d"}], ids="-".join
)
def test_as_torch(kinds, operation):
    """Dtype and value of every pair as PyTorch has them; what it refuses is left out."""
    f = BINARY[operation]
    compared = 0
    for a, b in itertools.product(NAMES, NAMES):
        if ("numpy", "bool") in ((kinds[0], a), (kinds[1], b)):
            continue  # PyTorch takes NumPy's bool for a float
        try:
            expected = f(torch, make(torch, a, kinds[0], 3), make(torch, b, kinds[1]))
        except (RuntimeError, TypeError):
            continue
        if not isinstance(expected, torch.Tensor):
            continue
        found = f(T, make(T, a, kinds[0], 3), make(T, b, kinds[1]))
        what = f"{kinds[0]} {a} {operation} {kinds[1]} {b}"
        assert name_of(found) == name_of(expected), what
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=2e-3, err_msg=what)
        compared += 1
    assert compared >= 20 or "numpy" in kinds[0]


@pytest.mark.skipif(torch is None, reason="needs torch")
@pytest.mark.parametrize("kind", ["tensor", "empty"])
def test_cat_and_stack_as_torch(kind):
    for a, b in itertools.product(NAMES, NAMES):
        sides = []
        for N in (T, torch):
            x, y = make(N, a, "tensor"), make(N, b, "tensor")
            sides.append(name_of(N.cat([x[:0], y]) if kind == "empty" else N.cat([x, y])))
            sides.append(name_of(N.stack([x, y])))
        assert sides[:2] == sides[2:], (a, b)


@pytest.mark.parametrize("default", ["float32", "float64"])
def test_default_dtype(default):
    """What has no dtype of its own takes the default: numbers, lists, creation, integers that are divided."""
    before = T.get_default_dtype()
    try:
        T.set_default_dtype(default)
        made = [
            T.tensor(1.5),
            T.tensor([1.5, 2]),
            T.zeros(2),
            T.rand(2),
            T.randn(2),
            T.arange(0.5, 2),
            T.eye(2),
        ]
        made += [T.tensor([1, 2]) / 2, T.tensor([1, 2]) * 0.5, T.tensor([True]).exp(), T.full((2,), 0.5)]
        made += [T.where(T.tensor([True]), 1.0, 2.0), T.linspace(0, 1, 3), T.tensor([]), T.tensor(1) + 0.5]
        assert {x.dtype.name for x in made} == {default}
        assert (T.ones(2, dtype=T.float16) * 0.5).dtype == T.float16
    finally:
        T.set_default_dtype(before)
    with pytest.raises(T.DtypeError, match="set_default_dtype: found int64, expected a floating dtype"):
        T.set_default_dtype("int64")


def test_dtype_of_new_tensors():
    for data, expected in [
        (1, "int64"), (1.0, "float32"), (True, "bool"), ([1, 2.0], "float32"), ([True, 2], "int64"), ([], "float32"),
        (np.float64(1), "float64"), (np.float32(1), "float32"), (np.ones(2), "float64"), (np.int32(1), "int32"),
        ([np.float64(1), 2.0], "float64"), (np.ones(2, np.uint8), "uint8"), ([[1, 2], [3, 4]], "int64"),
        ([T.tensor(1.0), T.tensor(2.0)], "float32"), ([T.tensor(1.0, dtype=T.float64)], "float64"),
    ]:  # fmt: skip
        assert T.tensor(data).dtype.name == expected, data
    for bad in (np.ones(2, complex), ["a"], [None], object(), np.array(["2020"], "M8")):
        with pytest.raises((TypeError, ValueError)):
            T.tensor(bad)
    with pytest.raises(ValueError):
        T.tensor([[1, 2], [3]])


def test_numbers_that_do_not_fit_are_refused():
    """NumPy 1.26 would wrap them silently, and PyTorch does."""
    for f in (lambda u: u + 300, lambda u: u > -1, lambda u: u * -1, lambda u: u == 256):
        with pytest.raises(OverflowError, match=r"the number -?\d+ does not fit into uint8"):
            f(T.tensor([1, 200], dtype=T.uint8))


def test_whole_numbers_do_not_divide_by_zero():
    """PyTorch raises; NumPy answers 0."""
    for f in (
        lambda n: n // 0,
        lambda n: n % 0,
        lambda n: n // T.tensor([0, 1]),
        lambda n: T.div(n, 0, rounding_mode="trunc"),
    ):
        with pytest.raises(ZeroDivisionError, match="division of whole numbers by zero"):
            f(T.tensor([1, 2]))
    assert (T.tensor([1, -1]) / 0).tolist() == [np.inf, -np.inf]
    assert (T.tensor([1.0, -1.0]) // 0).tolist() == [np.inf, -np.inf]


def test_matrix_products_and_losses_want_one_dtype():
    with pytest.raises(
        T.DtypeError, match="matmul: expected Tensors of one dtype, found x float32, w float64"
    ):
        T.ones(2, 2) @ T.ones(2, 2, dtype=T.float64)


def test_gradients_come_back_in_each_inputs_dtype():
    x = T.ones(2, requires_grad=True)
    w = T.ones(2, dtype=T.float64, requires_grad=True)
    h = T.ones(2, dtype=T.float16, requires_grad=True)
    n = T.tensor([1, 2])
    y = x * w * h * n
    assert y.dtype == T.float64
    y.sum().backward()
    assert [g.grad.dtype.name for g in (x, w, h)] == ["float32", "float64", "float16"]
    assert h.grad.tolist() == [1, 2]


def test_numbers_are_as_exact_as_the_result():
    """0.1 in a float64 computation is 0.1, in its gradient too, though the default dtype is float32."""
    x = T.ones(1, dtype=T.float64, requires_grad=True)
    (g,) = T.autograd.grad((x * 0.1) * (0.3 / x) + x**0.7, x)
    assert (x * 0.1).item() == 0.1 and abs(g.item() - 0.7) < 1e-15
    (g,) = T.autograd.grad(0.1 * x, x)
    assert g.item() == 0.1


def test_category_of_unknown_dtypes():
    with pytest.raises(T.DtypeError, match=r"dtype complex64 is not supported; expected one of bool, uint8"):
        dtypes.category(np.dtype(np.complex64))
