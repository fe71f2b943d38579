"""In-place methods, item assignment and `inplace=True`: what they write, what the graph knows of it, what they refuse.

The values of the methods are in cases/inplace.py; programs at random are in test_random_programs.py.
"""

import gc
import weakref

import numpy as np
import pytest
from cases import CASES

import tinygen
import tinygen as T
from tinygen import nn
from tinygen.engine import memory
from tinygen.nn import functional as F
from tinygen.ops.tensor import overwrite


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
        (lambda: T.zeros(2).bernoulli_(1.5), RuntimeError, "bernoulli: found an element that is not a probability"),
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


def test_random_fills_stay_in_their_range():
    x = T.empty(1000, dtype=T.float64)
    assert set(x.bernoulli_(0.3).tolist()) == {0, 1} and 0.2 < x.mean() < 0.4
    assert x.bernoulli_(T.linspace(0, 1, 1000)).mean() > 0.4 and x[0] == 0


# what the graph knows: small programs, each of which PyTorch runs as well.  f(torch, x (3, 4), w (4,)) -> results


def _scaled(x):
    return x * 2


PROGRAMS = {
    "linear output": lambda N, x, w: (
        x := x.reshape(3, 2, 2), N.nn.functional.linear(x, w.reshape(2, 2)).add_(x))[1],
    "view of a view": lambda N, x, w: (y := _scaled(x), y.view(-1)[2:8].view(3, 2).mul_(w[:2]))[0],
    "base, then its view is read": lambda N, x, w: (y := _scaled(x), v := y[1:], y.mul_(w), v * w)[3],
    "view, then its base is read": lambda N, x, w: (y := _scaled(x), y[1:].mul_(w), y * y)[2],
    "view, then another view": lambda N, x, w: (y := _scaled(x), v := y[:, 1:], y[1:].mul_(w), v.sum(0) * w[1:])[3],
    "views that do not meet": lambda N, x, w: (y := _scaled(x), v := y[0], y[1:].mul_(w), v * w)[3],
    "rows and columns": lambda N, x, w: (y := _scaled(x), y[:, 0].add_(w[0]), y[0].mul_(w), y.t()[1].sub_(w[:3]), y)[4],
    "transposed": lambda N, x, w: (y := _scaled(x).transpose(0, 1), y.mul_(w[:, None]), y * y)[2],
    "an expanded view sees it": lambda N, x, w: (y := w * 2, v := y.expand(3, 4), y.mul_(w), v * x)[3],
    "every second": lambda N, x, w: (y := _scaled(x), y[..., ::2].mul_(w[:2]), y[::2].add_(w), y)[3],
    "a step of its own": lambda N, x, w: (y := _scaled(x), y.diagonal().mul_(w[:3]), y)[2],
    "zeros that are filled": lambda N, x, w: (
        y := N.zeros(3, 4, dtype=x.dtype), y[0].copy_(w), y[1:].add_(x[1:]), y * y)[3],
    "a view of zeros becomes part of the graph": lambda N, x, w: (
        y := N.zeros(3, 4, dtype=x.dtype), v := y[:2], y[1].add_(w), v * x[:2])[3],
    "twice": lambda N, x, w: (y := _scaled(x), y[0].mul_(w), y[0].mul_(w), y[:2].mul_(y[2].clone()), y)[4],
    "zeroed": lambda N, x, w: (y := x * w, y[1].zero_(), y)[2],
    "zeroed whole": lambda N, x, w: (y := x * w, y.zero_(), y + w)[2],
    "filled from an element": lambda N, x, w: (y := _scaled(x), y[1].fill_(w[2]), y * y)[2],
    "exp_ of a view": lambda N, x, w: (y := x * w, y[:, :2].exp_(), y * y)[2],
    "a view times itself as it was": lambda N, x, w: (y := x * w, y[0].mul_(y[0].clone()), y)[2],
    "x[i] = x[j]": lambda N, x, w: (y := _scaled(x), y.__setitem__(0, y[1].softmax(-1)), y * y)[2],
    "x[:, i] = value": lambda N, x, w: (y := _scaled(x), y.__setitem__((slice(None), 1), w[:3] * w[0]), y * x)[2],
    "x[mask] = value": lambda N, x, w: (y := _scaled(x), y.__setitem__(y > 0.5, w[0]), y * x)[2],
    "x[mask] = values": lambda N, x, w: (y := _scaled(x), y.__setitem__(x > 0.1, (x * w)[x > 0.1]), y * x)[2],
    "x[list] = rows": lambda N, x, w: (y := _scaled(x), y.__setitem__([2, 0], x[:2] * w), y * x)[2],
    "x[i, list] = value": lambda N, x, w: (y := _scaled(x), y.__setitem__((1, [3, 0]), w[:2]), y * x)[2],
    "x[...] = value": lambda N, x, w: (y := _scaled(x), v := y[0], y.__setitem__(Ellipsis, w), v * w)[3],
    "x[i] = number": lambda N, x, w: (y := x * w, y.__setitem__(1, 3), y * x)[2],
    "value with extra dimensions": lambda N, x, w: (y := _scaled(x), y.__setitem__(0, w[None, None]), y)[2],
    "value of another dtype": lambda N, x, w: (y := x.float() * 2, y.__setitem__(0, w), y)[2],
    "in a loop": lambda N, x, w: (
        y := N.zeros(3, 4, dtype=x.dtype), [y.__setitem__(i, x[i] * w + y[i - 1]) for i in range(3)], y)[2],
    "index_put_ of a view": lambda N, x, w: (y := _scaled(x), y[1:].index_put_((N.tensor([1, 0]),), x[:2] * w), y)[2],
    "scatter_add_ into a view": lambda N, x, w: (
        y := _scaled(x), y[0].scatter_add_(0, N.tensor([1, 1, 0]), w[:3]), y * y)[2],
    "detached memory sees it": lambda N, x, w: (y := _scaled(x), d := y.detach(), y.mul_(w), d * w)[3],
    "a residual block": lambda N, x, w: x * w + N.nn.functional.relu((y := x * w), inplace=True) + y,
    "a residual block in place": lambda N, x, w: (y := x * w, y + N.nn.functional.relu(y, inplace=True) * w)[1],
    "no_grad in between": lambda N, x, w: (y := _scaled(x), _without(N, y[0].add_, 1.0), y[0].mul_(w), y)[3],
}  # fmt: skip


def _without(N, write, value):
    with N.no_grad():
        write(value)


def _derivatives(N, make, program):
    """The result of a program, its gradients, and the gradients of their squares."""
    x = make(np.linspace(-1, 1.2, 12).reshape(3, 4))
    w = make(np.array([0.3, -0.7, 1.1, 0.9]))
    y = program(N, x, w)
    loss = (y * make(np.cos(np.arange(np.prod(tuple(y.shape)))).reshape(tuple(y.shape))).detach()).sum()
    first = N.autograd.grad(loss, [x, w], create_graph=True, allow_unused=True)
    total = sum((g * g).sum() for g in first if g is not None)
    second = N.autograd.grad(total, [x, w], allow_unused=True) if total.requires_grad else [None, None]
    values = [y, *(N.zeros(1) if g is None else g for g in (*first, *second))]
    return [v.detach().numpy() for v in values]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_graph_knows_what_was_written(name):
    torch = pytest.importorskip("torch", reason="parity needs torch")
    ours = _derivatives(T, lambda a: T.tensor(a, requires_grad=True), PROGRAMS[name])
    theirs = _derivatives(torch, lambda a: torch.tensor(a, requires_grad=True), PROGRAMS[name])
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_operation_that_a_view_becomes():
    """`overwritten` by its definition, and its gradients of both orders."""
    flat = np.arange(24.0)
    for view in (
        flat.reshape(4, 6),
        flat[::2],
        flat[3:9],
        np.broadcast_to(flat[4:8], (3, 4)),
        flat[::-1][:20],
    ):
        for written in (
            flat.reshape(4, 6)[1:3, ::2],
            flat[4:6],
            flat[20:],
            flat.reshape(2, 3, 4).transpose(2, 0, 1),
        ):
            places = tinygen.kernels.common_layout(view, written)
            if not np.shares_memory(view, written):
                assert places is None
                continue
            x, values = T.tensor(view.copy()), T.tensor(np.random.default_rng(0).normal(size=written.shape))
            expected, before = None, flat.copy()
            written[...] = values.numpy()
            expected = view.copy()
            flat[...] = before
            found = overwrite._after_write(x, values, places)
            np.testing.assert_array_equal(found.numpy(), expected)
            x.requires_grad_(), values.requires_grad_()
            assert T.autograd.gradcheck(lambda x, v, p=places: overwrite._after_write(x, v, p), (x, values))
            assert T.autograd.gradgradcheck(
                lambda x, v, p=places: overwrite._after_write(x, v, p) ** 2, (x, values)
            )


def test_layouts_that_do_not_meet():
    flat = np.arange(12.0)
    common = tinygen.kernels.common_layout
    assert common(flat[:4], flat[4:]) is None and common(flat[::2], flat[1::2]) is None
    assert (
        common(flat[:0], flat) is None
        and common(flat.reshape(3, 4)[:, :2], flat.reshape(3, 4)[:, 2:]) is None
    )
    size, own, written = common(flat[2:6], flat[::-1])
    assert (size, own, written) == (12, (2, (4,), (1,)), (11, (12,), (-1,)))


def test_a_chunk_may_be_written_to():
    """PyTorch refuses what split, chunk and unbind return, for reasons of its own."""
    x = T.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    y = x * 2
    first, second = y.chunk(2)
    first *= x[2:]
    second.sub_(1)
    assert y.tolist() == [6, 16, 5, 7] and first.tolist() == [6, 16]
    y.sum().backward()
    assert x.grad.tolist() == [6, 8, 4, 6]


@pytest.mark.parametrize(
    "write", [lambda v: v.mul_(2), lambda v: v[:1].mul_(2), lambda v: v.__setitem__(0, 1.0), lambda v: v.zero_()]
)  # fmt: skip
def test_a_view_made_under_no_grad_is_not_written_to_unseen(write):
    y = T.ones(2, 3, requires_grad=True) * 2
    with T.no_grad():
        view = y[0]
        write(view)  # no gradient asked for, none given
    with pytest.raises(
        RuntimeError, match="is a view, made under no_grad, of a Tensor that requires a gradient"
    ):
        write(view)
    assert not view.requires_grad


def test_what_was_saved_before_a_write_is_refused_at_backward():
    x = T.tensor([0.5, 1.5], requires_grad=True)
    y = x.exp()
    view = y.view(2, 1)
    view += 1
    with pytest.raises(RuntimeError, match=r"backward of exp: its output \(2,\) was changed in place"):
        y.sum().backward()
    y = x * 2
    view, z = y[:1], y * y
    y[0] = 5.0
    with pytest.raises(RuntimeError, match=r"backward of mul: .* was changed in place"):
        (z + view).sum().backward()
    y = x * 2  # memory that nobody else sees is not overwritten: z has the old values
    z = y * y
    y += 100
    (z + y).sum().backward()
    assert x.grad.tolist() == [4 + 2, 12 + 2]


def test_a_retained_gradient_is_that_of_the_last_write():
    x = T.ones(2, 2, requires_grad=True)
    y = x * 2
    view = y[0]
    y.retain_grad(), view.retain_grad()
    view *= 3
    (y * 5).sum().backward()
    assert y.grad.tolist() == [[5, 5], [5, 5]] and x.grad.tolist() == [[30, 30], [10, 10]]


def test_leaves_and_their_views():
    w, x = T.ones(3, requires_grad=True), T.zeros(3)
    x[0] = w[0]
    assert x.requires_grad and x.tolist() == [1, 0, 0]
    with T.no_grad():
        w[0] = 5.0
    assert w.tolist() == [5, 1, 1] and w.is_leaf
    buffer = T.ones(3)  # an average of code books: PyTorch's programs write to `.data`
    buffer.data.mul_(0.5).add_(w * 2, alpha=0.5)
    assert buffer.tolist() == [5.5, 1.5, 1.5] and not buffer.requires_grad


def test_views_of_a_parameter_do_not_pile_up():
    w = nn.Linear(4, 4).weight
    for _ in range(1000):
        w.t() @ w
    assert len(w._guard.holders) < 20
    kept = [w[i] for i in range(4)] * 20
    assert set(map(id, memory.other_views(w))) >= set(map(id, kept))


def test_a_write_leaves_no_cycle():
    gc.collect()
    gc.disable()
    try:
        x = T.ones(50, requires_grad=True)
        y = x * 2
        y[::2].mul_(x[:25])
        y[0] = x[1]
        array = weakref.ref(memory.owner(y._data))
        loss = y.sum()
        del y
        loss.backward()
        del loss
        assert array() is None
    finally:
        gc.enable()


# inplace=True

ACTIVATIONS = {
    "relu": {}, "leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 0.7}, "silu": {}, "mish": {}, "relu6": {},
    "selu": {}, "hardtanh": {"min_val": -0.4, "max_val": 0.6},
}  # fmt: skip
LAYERS = {
    "relu": nn.ReLU(True), "leaky_relu": nn.LeakyReLU(0.2, True), "elu": nn.ELU(0.7, True), "silu": nn.SiLU(True),
    "mish": nn.Mish(True), "relu6": nn.ReLU6(True), "selu": nn.SELU(True), "hardtanh": nn.Hardtanh(-0.4, 0.6, True),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shared", [False, True])
def test_an_activation_in_place_writes_its_input(name, shared):
    function, options = getattr(F, name), ACTIVATIONS[name]
    base = T.tensor(np.linspace(-2, 7, 12).reshape(3, 4), requires_grad=True)
    expected = function(base * 1, **options)
    (gradient,) = T.autograd.grad((expected * expected).sum(), base)
    for call in (lambda x: function(x, **options, inplace=True), LAYERS[name]):
        x = base * 1
        views = [x.view(-1), x[1]] if shared else []
        assert call(x) is x and x.tolist() == expected.tolist()
        assert not views or views[1].tolist() == expected[1].tolist()
        (found,) = T.autograd.grad((x * x).sum(), base)
        np.testing.assert_array_equal(found.numpy(), gradient.numpy())
        plain = base.detach().clone()  # outside the graph: the memory itself
        memory_of = plain.numpy()
        call(plain)
        assert memory_of.tolist() == expected.tolist()
    with pytest.raises(RuntimeError, match="a leaf that requires a gradient"):
        function(base, **options, inplace=True)


@pytest.mark.parametrize("function, layer", [(F.dropout, nn.Dropout), (F.dropout2d, nn.Dropout2d)])
def test_dropout_in_place(function, layer):
    base = T.ones(2, 30, 2, 2, requires_grad=True)
    T.manual_seed(3)
    expected = function(base, 0.4)
    for call in (lambda x: function(x, 0.4, inplace=True), layer(0.4, inplace=True)):
        T.manual_seed(3)
        x = base * 1
        view = x[0]
        assert call(x) is x and x.tolist() == expected.tolist() and view.tolist() == expected[0].tolist()
        assert T.autograd.grad(x.sum(), base)[0].tolist() == expected.tolist()
    x = T.ones(2, 3, 1, 1)
    assert function(x, 0.4, False, True) is x and x.tolist() == T.ones(2, 3, 1, 1).tolist()
    assert function(x, 1.0, True, True) is x and not x.any()


def test_every_option_inplace_writes():
    """No function or layer accepts `inplace` and leaves its input unchanged."""
    import inspect

    for name, function in vars(F).items():
        if (
            name.startswith("_")
            or not callable(function)
            or "inplace" not in inspect.signature(function).parameters
        ):
            continue
        assert name in ACTIVATIONS or name in ("dropout", "dropout2d"), name
    with pytest.raises(NotImplementedError, match="inplace=True is not supported"):
        F.softplus(T.ones(2), inplace=True)


# which results share their input's memory


@pytest.mark.parametrize("key", [k for k, c in CASES.items() if c.inputs and c.parity])
def test_the_views_are_pytorchs(key):
    """Writing to a result reaches the input where it does in PyTorch, and nowhere else."""
    torch = pytest.importorskip("torch", reason="parity needs torch")
    case = CASES[key]
    found = []
    for N, call, make in ((T, case.call, T.tensor), (torch, case.torch, torch.tensor)):
        functional = F if N is T else torch.nn.functional
        xs = [make(a) for a in case.arrays()]
        ys = call(N, functional, *xs)
        ys = [y for y in (ys if isinstance(ys, (tuple, list)) else [ys]) if isinstance(y, N.Tensor)]
        found.append([[y is x or _overlap(N, y, x) for x in xs] for y in ys])
    assert found[0] == found[1] or key in COPIED, f"{found[0]} for PyTorch's {found[1]}"


def _overlap(N, y, x) -> bool:
    if N is T:
        return bool(y.numel()) and np.shares_memory(y._data, x._data)
    return bool(y.numel()) and y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


COPIED: dict = {}
