"""Names of older programs: tensor types, Variable, device queries; compared with PyTorch where it has them."""

import numpy as np
import pytest

import tinygen as tg
from tinygen.autograd import Variable

TYPES = {
    "HalfTensor": "float16",
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "ByteTensor": "uint8",
    "CharTensor": "int8",
    "ShortTensor": "int16",
    "IntTensor": "int32",
    "LongTensor": "int64",
    "BoolTensor": "bool",
}


@pytest.mark.parametrize("name", TYPES)
def test_a_tensor_type_is_a_constructor_a_test_and_a_target(name):
    torch = pytest.importorskip("torch")
    for array in np.array([[0.0, 1.6, 2.0]]), np.array([1, 0, 3], "int32"), np.zeros((2, 0)):
        ours, theirs = getattr(tg, name)(array), getattr(torch, name)(array)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), strict=True)
        assert ours.dtype == TYPES[name]
        cast, theirs = (
            tg.tensor(array).type(getattr(tg, name)),
            torch.tensor(array).type(getattr(torch, name)),
        )
        np.testing.assert_array_equal(cast.numpy(), theirs.numpy(), strict=True)
    kind = getattr(tg, name)
    np.testing.assert_array_equal(kind([[1, 0]]).numpy(), np.array([[1, 0]], TYPES[name]), strict=True)
    assert kind(2, 3).shape == (2, 3) and kind(2).shape == (2,) and kind().shape == (0,)
    assert [n for n in TYPES if isinstance(kind(1), getattr(tg, n))] == [name]


def test_a_tensor_type_copies_arrays_and_shares_tensors():
    array, tensor = np.zeros(2, np.float32), tg.zeros(2)
    copy, shared = tg.FloatTensor(array), tg.FloatTensor(tensor)
    copy.fill_(1), shared.fill_(1)
    assert array.tolist() == [0, 0] and tensor.tolist() == [1, 1]
    assert tg.FloatTensor(np.int64(3)).shape == (3,)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((2.5,), TypeError, "FloatTensor: expected whole numbers as sizes, or one list or array"),
        ((True,), TypeError, "expected whole numbers"),
        ((2, [1]), TypeError, "expected whole numbers"),
        (("a",), TypeError, "expected whole numbers"),
        ((None,), TypeError, "expected whole numbers"),
        ((tg.zeros(2, dtype=tg.float64),), TypeError, "found a Tensor of float64, expected float32"),
        ((-1,), RuntimeError, "found the sizes"),
    ],
    ids=str,
)
def test_wrong_arguments_of_a_tensor_type(arguments, error, message):
    """PyTorch raises the same types"""
    with pytest.raises(error, match=message):
        tg.FloatTensor(*arguments)
    torch = pytest.importorskip("torch")
    with pytest.raises(error):
        torch.FloatTensor(*(torch.tensor(a.numpy()) if isinstance(a, tg.Tensor) else a for a in arguments))


@pytest.mark.parametrize("kind", [tg.Tensor, tg.FloatTensor])
def test_sizes_in_a_tuple_are_refused(kind):
    """PyTorch reads a torch.Size as sizes and any other tuple as values; here x.shape is a tuple."""
    with pytest.raises(NotImplementedError, match=r"use (Float)?Tensor\(\*size\), or tensor\(values\)"):
        kind(tg.zeros(2, 3).shape)
    assert kind((1.0, 2.0)).tolist() == [1, 2]


def test_type_names_are_refused():
    for call in (lambda: tg.zeros(1).type(), lambda: tg.zeros(1).type("torch.LongTensor")):
        with pytest.raises(NotImplementedError, match=r"x\.dtype"):
            call()


@pytest.mark.parametrize("requires_grad", [False, True])
def test_variable_is_a_leaf_over_the_same_memory(requires_grad):
    torch = pytest.importorskip("torch")
    for T, V in (tg, Variable), (torch, torch.autograd.Variable):
        x = T.ones(2, requires_grad=True)
        y = x * 2
        v = V(y, requires_grad=requires_grad)
        assert isinstance(v, V) and isinstance(x, V) and isinstance(v, T.Tensor) and not isinstance(1.0, V)
        assert v.requires_grad == requires_grad and v.is_leaf and v is not y
        y.detach().fill_(7)
        assert v.tolist() == [7, 7]
        if requires_grad:
            (v * v).sum().backward()
            assert v.grad.tolist() == [14, 14] and x.grad is None


def test_wrong_variables():
    with pytest.raises(TypeError, match="Variable: found a list, expected a Tensor"):
        Variable([1.0])
    with pytest.raises(RuntimeError, match="expected a floating dtype"):
        Variable(tg.tensor([1]), requires_grad=True)
    with pytest.raises(NotImplementedError, match=r"no_grad\(\)"):
        Variable(tg.ones(1), volatile=True)


def test_there_is_no_accelerator():
    assert not tg.accelerator.is_available() and not tg.cuda.is_available()
    assert tg.accelerator.device_count() == 0 and tg.accelerator.current_accelerator() is None
    assert not tg.zeros(1).is_cuda and not tg.zeros(1).is_xpu
