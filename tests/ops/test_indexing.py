"""x[index] and x[index] = value: PyTorch's meaning, gradients of every order, and random indices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as T
from tinygen.autograd import gradcheck, gradgradcheck

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="parity needs torch")
SHAPE = (3, 4, 2, 5)
A, S = np.array, slice
MASK = A([True, False, True])
MASK2 = np.arange(12).reshape(3, 4) % 3 == 0
INDICES = {
    "int": 1, "negative": -1, "numpy int": np.int64(2), "ints": (1, 2), "all ints": (1, 2, 0, 4),
    "slice": S(1, None), "step": S(None, None, 2), "slices": (S(None), S(1, 3), S(0, 1)),
    "empty slice": S(2, 1), "beyond": S(1, 99), "negative slice": (S(-2, None), S(None, -1)), "None": None,
    "Ellipsis": ..., "Ellipsis last": (..., 1), "Ellipsis between": (0, ..., 2),
    "None and int": (None, 1, None), "Ellipsis None": (..., None), "empty tuple": (),
    "int array": A([2, 0, 0]), "negative array": A([-1, 2, -1]), "2-d array": A([[0, 1], [2, 2]]),
    "empty array": A([], np.int64), "int32 array": A([2, 0], np.int32), "list": [2, 0], "one element": A([1]),
    "array second": (S(None), A([3, 0])), "array last": (..., A([4, 0, 4])),
    "two arrays": (A([0, 2]), A([3, 1])), "broadcast arrays": (A([[0], [2]]), A([3, 1, 1])),
    "arrays apart": (A([0, 2]), S(None), A([1, 0])), "arrays apart and Ellipsis": (A([0, 2]), ..., A([4, 0])),
    "int and array": (0, S(None), [0, 1]), "array and int": (A([0, 1]), S(None), 1),
    "int between arrays": (A([0, 1]), 1, A([0, 1])), "array then slice": (A([0, 1]), S(1, 3)),
    "slice then array": (S(1, 3), A([0, 1])), "None and array": (None, A([0, 2])),
    "array and None": (A([0, 2]), None), "array None array": (A([0, 2]), None, A([1, 0])),
    "slices around": (S(0, 2), A([1, 1]), S(None), S(1, 4)), "mask": MASK, "mask 2-d": MASK2,
    "mask second": (S(None), A([True, False, True, True])), "mask and array": (MASK, A([1, 2])),
    "mask and int": (MASK, 1), "mask none": np.zeros(3, bool), "mask apart": (MASK, S(None), A([1, 0])),
    "mask list": [True, False, True], "mask full": np.arange(120).reshape(SHAPE) % 7 == 0,
    "mask and Ellipsis": (..., np.arange(5) > 2), "range": range(2),
    "int int slice array": (1, 2, S(None), A([0, 0])), "0-d array": A(1),
    "array and step": (A([0, 1]), S(None, None, 2)), "True": True, "0-d mask": A(True), "0-d mask none": A(False),
    "0-d mask and int": (A(True), 1), "0-d mask and slice": (S(1, 3), A(True)),
    "0-d mask and Ellipsis": (..., A(True)),
}  # fmt: skip


def as_tensors(index, namespace):
    """NumPy arrays of an index, some of them as tensors: both are allowed."""
    if isinstance(index, tuple):
        return tuple(as_tensors(i, namespace) for i in index)
    return namespace.tensor(index) if isinstance(index, np.ndarray) else index


@needs_torch
@pytest.mark.parametrize("kind", ["arrays", "tensors"])
@pytest.mark.parametrize("name", INDICES)
def test_parity(name, kind):
    """Values, gradient and gradient of the gradient (of the squares)."""
    index = INDICES[name]
    numbers = np.random.default_rng(0).standard_normal(SHAPE)
    found = []
    for N, own in ((T, T.autograd.grad), (torch, torch.autograd.grad)):
        i = as_tensors(index, N) if kind == "tensors" or N is torch else index
        x = N.tensor(numbers)
        x.requires_grad = True
        y = x[i]
        (g,) = own((y**3).sum(), x, create_graph=True)
        (gg,) = own((g * g).sum(), x)
        found.append([a.detach().numpy() for a in (y, g, gg)])
    for a, b in zip(*found):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in INDICES if "none" not in n and "empty" not in n])
def test_gradcheck(name):
    x = T.tensor(np.random.default_rng(0).standard_normal(SHAPE), requires_grad=True)
    assert gradcheck(lambda x: x[INDICES[name]], x)
    assert gradgradcheck(lambda x: x[INDICES[name]] ** 2, x)


@needs_torch
@pytest.mark.parametrize("name", INDICES)
def test_assignment(name):
    """A number, a row that broadcasts, and a whole block."""
    index = INDICES[name]
    numbers = np.random.default_rng(0).standard_normal(SHAPE)
    block = numbers[index if not isinstance(index, range) else list(index)] * 0
    shape = tuple(torch.tensor(numbers)[as_tensors(index, torch)].shape)
    for value in (
        7.0,
        np.arange(shape[-1]) * 1.0 if shape else 1.0,
        np.arange(block.size).reshape(shape) * 1.0,
    ):
        x, t = T.tensor(numbers), torch.tensor(numbers)
        arrays = [
            a for a in (index if isinstance(index, tuple) else (index,)) if isinstance(a, (np.ndarray, list))
        ]
        if np.ndim(value) and any(
            len(np.unique(a)) < np.size(a) for a in arrays if np.asarray(a).dtype != bool
        ):
            continue  # which of two values wins is not defined
        x[index] = T.tensor(value) if np.ndim(value) else value
        t[as_tensors(index, torch)] = torch.tensor(value) if np.ndim(value) else value
        np.testing.assert_array_equal(x.numpy(), t.numpy())


def test_repeated_and_negative_indices_add_up():
    """Rows -1 and 2 of three rows are the same: both gradients count."""
    for index in ([-1, 2, 2, 0], (slice(None), [-1, 1, 1])):
        x = T.tensor(np.ones((3, 2)), requires_grad=True)
        (g,) = T.autograd.grad(x[index].sum(), x)
        expected = np.zeros((3, 2))
        np.add.at(expected, index, 1)
        np.testing.assert_array_equal(g.numpy(), expected)


def test_views_share_memory_and_copies_do_not():
    x = T.zeros(3, 4)
    for index in (1, (1, 2), slice(1), (..., 0), None, (slice(None, None, 2), 3)):
        v = x[index]
        v.fill_(5)
        assert (x[index] == 5).all(), index
    x.zero_()
    for index in ([0, 1], T.tensor([0, 1]), x == 0):
        x[index].fill_(5)
    assert not x.any()
    first, second = x.chunk(2, 1)
    first.fill_(1)
    x.t()[2:].fill_(2)
    x.view(-1)[0] = 9
    assert x.tolist() == [[9, 1, 2, 2], [1, 1, 2, 2], [1, 1, 2, 2]] and second[0, 0].item() == 2


def test_a_view_of_a_saved_tensor_cannot_be_written_unseen():
    w, x = T.ones(4, requires_grad=True), T.ones(2, 4)
    row = x[0]
    for write in (lambda: row.__setitem__(..., 3.0), lambda: row.add_(1)):
        y = (x * w).sum()
        write()
        with pytest.raises(RuntimeError, match=r"backward of mul: x .* was changed in place"):
            y.backward()


@pytest.mark.parametrize(
    "index, message",
    [
        (3, r"index 3 is out of bounds"),
        ((0, 9), r"index 9 is out of bounds"),
        ([0, 3], r"an index is outside -3..2, dimension 0 of x \(3, 4\)"),
        ((slice(None), [-5]), r"an index is outside -4..3, dimension 1"),
        ((0, 0, 0), r"found 3 indices for 2 dimensions"),
        (1.5, r"found an index of type float"),
        ("a", r"found an index of type str"),
        (A([0.5]), r"found an index of type float64"),
        (A([True, False]), r"the mask \(2,\) does not fit x \(3, 4\) from dimension 0"),
        ((..., ...), r"found ... more than once"),
        (A([1, 0, 1], np.uint8), r"uint8 is a mask to PyTorch and a number to NumPy"),
        ([[0, 1], [1, 0]], r"PyTorch and NumPy disagree on lists within a list"),
    ],
)
def test_what_is_no_index(index, message):
    x = T.zeros(3, 4)
    with pytest.raises(IndexError, match=message):
        x[index]
    with pytest.raises(IndexError, match=message):
        x[index] = 1.0
    assert not x.any()


def items(size):
    """A random index for a dimension of this size."""
    number = st.integers(-size, size - 1)
    return st.one_of(
        number,
        st.builds(
            slice,
            *[st.one_of(st.none(), st.integers(-size - 1, size + 1))] * 2,
            st.sampled_from([None, 1, 2]),
        ),
        st.lists(number, min_size=3, max_size=3).map(np.array),
        st.lists(number, min_size=1, max_size=1).map(np.array),
    )


@st.composite
def indices(draw):
    used = draw(st.integers(0, 4))
    index = [draw(items(n)) for n in SHAPE[:used]]
    for _ in range(draw(st.integers(0, 2))):
        index.insert(draw(st.integers(0, len(index))), None)
    if draw(st.booleans()) and used < 4:
        index.append(...)
    return tuple(index)


@needs_torch
@settings(max_examples=200, deadline=None, derandomize=True)
@given(indices())
def test_random_indices(index):
    numbers = np.arange(120.0).reshape(SHAPE)
    x, t = T.tensor(numbers, requires_grad=True), torch.tensor(numbers, requires_grad=True)
    y, u = x[index], t[as_tensors(index, torch)]
    np.testing.assert_array_equal(y.detach().numpy(), u.detach().numpy())
    (y * y).sum().backward()
    (u * u).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), t.grad.numpy())


def test_memory_of_another_kind_of_array(tmp_path):
    """np.memmap is a class of its own: it is indexed, shared and guarded like other arrays."""
    file = np.memmap(tmp_path / "numbers", np.float32, "w+", shape=(3, 4))
    x = T.from_numpy(file)
    assert x[[0, 2]].shape == (2, 4) and x[x == 0].shape == (12,) and x[T.tensor([1])].shape == (1, 4)
    x[[1]] = 5
    assert file[1].tolist() == [5] * 4
    w = T.ones(4, requires_grad=True)
    y = (w * x[1]).sum()
    x[1:] = 7
    y.backward()
    assert w.grad.tolist() == [5] * 4
