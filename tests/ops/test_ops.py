"""Every operation of the case table: results as in PyTorch, derivatives by finite differences, dtypes by the rule."""

import inspect

import numpy as np
import pytest
from cases import CASES

import tinygen
from tinygen import ops
from tinygen.autograd import grad, gradcheck, gradgradcheck
from tinygen.engine.tensor import Tensor
from tinygen.nn import functional

try:
    import torch
except ImportError:  # TINYGEN_REQUIRE_TORCH=1 makes this an error, in conftest.py
    torch = None

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # a guessed dim: test_functional.py
needs_torch = pytest.mark.skipif(torch is None, reason="parity needs torch")
EVERY = sorted(CASES)
DIFFERENTIABLE = [key for key in EVERY if CASES[key].grad]
TOLERANCE = {"float64": 1e-8, "float32": 3e-5, "float16": 2e-2}


def strided(array):
    """The same numbers in non-contiguous memory: transposed, every second element of a row."""
    wide = np.full((*array.shape[::-1], 2), -99, array.dtype)
    wide[..., 0] = array.T
    return wide[..., 0].T


def ours(array, requires_grad=False):
    x = Tensor._wrap(np.asarray(array))
    return x.requires_grad_() if requires_grad and x.is_floating_point() else x


def theirs(array, requires_grad=False):
    x = torch.tensor(array)
    return x.requires_grad_() if requires_grad and x.is_floating_point() else x


def run(case, call, make, namespace, F, arrays, requires_grad):
    inputs = [make(a, requires_grad and leaf) for a, leaf in zip(arrays, case.leaves)]
    outputs = call(namespace, F, *inputs)
    return inputs, list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def run_ours(case, arrays, requires_grad=False):
    return run(case, case.call, ours, tinygen, functional, arrays, requires_grad)


def run_theirs(case, arrays, requires_grad=False):
    return run(case, case.torch, theirs, torch, torch.nn.functional, arrays, requires_grad)


def as_array(x):
    if x is None:
        return None
    return x.detach().numpy() if isinstance(x, Tensor) else x.detach().numpy(force=True)


def assert_same(found, expected, tolerance, what):
    """|a - b| <= tolerance (1 + max|b|); a missing gradient counts as zeros."""
    a, b = as_array(found), as_array(expected)
    if a is None or b is None:
        a = np.zeros_like(b) if a is None else a
        b = np.zeros_like(a) if b is None else b
        if a is None:
            return
    assert a.shape == b.shape and a.dtype == b.dtype, (what, a.shape, b.shape, a.dtype, b.dtype)
    if a.dtype.kind != "f":
        assert np.array_equal(a, b), what
        return
    finite = np.isfinite(b)
    np.testing.assert_array_equal(np.where(finite, 0, a), np.where(finite, 0, b), err_msg=what)
    if finite.any():
        limit = tolerance * (1 + np.abs(b[finite]).max())
        assert np.abs(a[finite] - b[finite]).max() <= limit, (what, a, b)


def differentiable(outputs):
    return [y for y in outputs if y.requires_grad]


def gradients(grad, outputs, inputs, weights):
    return grad(outputs, inputs, weights, create_graph=True, allow_unused=True)


@needs_torch
@pytest.mark.parametrize("key", [key for key in EVERY if CASES[key].parity])
@pytest.mark.parametrize(
    "layout, dtype",
    [(np.copy, "float64"), (strided, "float64"), (np.copy, "float32")],
    ids=["contiguous", "strided", "float32"],
)
def test_parity(key, layout, dtype):
    """Values, gradients and second gradients."""
    case = CASES[key]
    check_parity(case, case.arrays(dtype), max(case.tolerance, TOLERANCE[dtype]), layout)


def check_parity(case, arrays, tolerance, layout=np.copy):
    random = np.random.default_rng(0)
    xs, ys = run_ours(case, [layout(a) for a in arrays], case.grad)
    xt, yt = run_theirs(case, arrays, case.grad)
    assert len(ys) == len(yt)
    for k, (a, b) in enumerate(zip(ys, yt)):
        assert_same(a, b, tolerance, f"output {k}")
    if not case.grad:
        return
    assert [y.requires_grad for y in ys] == [y.requires_grad for y in yt]
    weights = [random.standard_normal(tuple(y.shape)).astype(as_array(y).dtype) for y in differentiable(ys)]
    sides = []
    for inputs, outputs, make, derive in ((xs, ys, ours, grad), (xt, yt, theirs, torch.autograd.grad)):
        leaves = [x for x in inputs if x.requires_grad]
        vs = [make(v, True) for v in weights]
        sides.append((leaves, vs, gradients(derive, differentiable(outputs), leaves, vs)))
    for k, (a, b) in enumerate(zip(sides[0][2], sides[1][2])):
        assert_same(a, b, tolerance, f"gradient {k}")
    if not case.second:
        return
    again = [random.standard_normal(tuple(x.shape)).astype(as_array(x).dtype) for x in sides[0][0]]
    seconds = []
    for (leaves, vs, gs), make, derive in zip(sides, (ours, theirs), (grad, torch.autograd.grad)):
        kept = [(g, make(w)) for g, w in zip(gs, again) if g is not None and g.requires_grad]
        if not kept:
            seconds.append([None] * (len(leaves) + len(vs)))
            continue
        seconds.append(gradients(derive, [g for g, _ in kept], [*leaves, *vs], [w for _, w in kept]))
    for k, (a, b) in enumerate(zip(*seconds)):
        assert_same(a, b, tolerance, f"second gradient {k}")


def _leaves(case):
    return [ours(a, leaf) for a, leaf in zip(case.arrays(), case.leaves)]


def _function(case):
    def call(*inputs):
        outputs = case.call(tinygen, functional, *inputs)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        return tuple(y for y in outputs if y.dtype == np.float64)

    call.__name__ = case.name
    return call


@pytest.mark.parametrize("key", [key for key in DIFFERENTIABLE if CASES[key].second])
def test_gradcheck(key):
    """First and second derivatives against finite differences."""
    case = CASES[key]
    assert gradcheck(_function(case), _leaves(case))
    assert gradgradcheck(_function(case), _leaves(case))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("key", DIFFERENTIABLE)
def test_a_dtype_stays(key, dtype):
    """float32 in, float32 out, float32 gradients at every order; the same for float64.  Holds without torch."""
    case = CASES[key]
    if {"float32", "float64"} & set(case.call.__code__.co_names):
        return  # the case sets a dtype
    xs, ys = run_ours(case, case.arrays(dtype), True)
    ys = differentiable(ys)
    assert {y.dtype.name for y in ys} == {dtype}
    leaves = [x for x in xs if x.requires_grad]
    vs = [tinygen.ones_like(y) for y in ys]
    gs = [g for g in gradients(grad, ys, leaves, vs) if g is not None]
    assert {g.dtype.name for g in gs} <= {dtype}
    gs = [g for g in gs if g.requires_grad]
    if gs:
        seconds = gradients(grad, gs, leaves, [tinygen.ones_like(g) for g in gs])
        assert {g.dtype.name for g in seconds if g is not None} <= {dtype}
    for x in leaves:
        x.grad = None
    _, ys = run_ours(case, case.arrays(dtype), False)
    assert {y.dtype.name for y in ys if y.is_floating_point()} <= {dtype}


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("key", [key for key in EVERY if CASES[key].other_dtypes and CASES[key].parity])
def test_other_dtypes(key, dtype):
    """The result dtype is PyTorch's.  What PyTorch refuses may be refused here; refusals are TypeErrors."""
    case = CASES[key]
    arrays = case.arrays(dtype)
    try:
        _, expected = run_theirs(case, arrays)
    except (RuntimeError, TypeError, IndexError):
        return
    try:
        _, found = run_ours(case, arrays)
    except (TypeError, NotImplementedError) as error:
        assert case.name.removeprefix("F.").removeprefix("Tensor.") in str(error) or "dtype" in str(error)
        assert dtype in REFUSED.get(case.name, ()), f"{case.name} of {dtype}: {error}"
        return
    tolerance = {"float16": 2e-2, "float32": 1e-5}.get(dtype, 1e-6)
    for k, (a, b) in enumerate(zip(found, expected)):
        assert_same(a, b, tolerance, f"output {k}")


def _other(array):
    """Different values that are valid in the same places."""
    if array.dtype.kind == "b":
        return ~array
    return np.flip(array).copy() if array.dtype.kind == "i" else array * 0.5


@pytest.mark.parametrize("how", ["inputs in place", "source arrays", "outputs in place"])
@pytest.mark.parametrize("key", DIFFERENTIABLE)
def test_mutation_before_backward_is_never_silent(key, how):
    """After changing what an operation saved, the gradient is that of the old values, or there is an error."""
    case, random = CASES[key], np.random.default_rng(0)
    _, ys = run_ours(case, case.arrays(), True)
    weights = [random.standard_normal(y.shape) for y in differentiable(ys)]
    results = []
    for mutate in (False, True):
        arrays = case.arrays()
        make = _shared if how == "source arrays" else ours
        xs, ys = run(case, case.call, make, tinygen, functional, arrays, True)
        leaves = [x for x in xs if x.requires_grad]
        ys = [y for y in ys if y.requires_grad or how == "outputs in place"]
        with tinygen.no_grad():
            if mutate and how == "inputs in place":
                for x, a in zip(xs, arrays):
                    x.copy_(ours(_other(a)))
            elif mutate and how == "outputs in place":
                for y in ys:
                    if y._data.flags.writeable:
                        y.copy_(ours(_other(y._data)))
            elif mutate:
                for a in arrays:
                    a[...] = _other(a)
        ys = differentiable(ys)
        try:
            gs = grad(ys, leaves, [ours(w.astype(y.dtype)) for w, y in zip(weights, ys)], allow_unused=True)
        except RuntimeError as error:
            assert (
                mutate and how != "source arrays" and "was changed in place after the forward" in str(error)
            )
            return
        results.append([None if g is None else g.numpy().copy() for g in gs])
    for a, b in zip(*results):
        assert (a is None) == (b is None)
        np.testing.assert_array_equal(a, b)


def _shared(array, requires_grad=False):
    x = tinygen.from_numpy(array)
    return x.requires_grad_() if requires_grad and x.is_floating_point() else x


REFUSED: dict = {}  # name: dtypes that PyTorch accepts and we refuse with a TypeError

PUBLIC_IN_FUNCTIONAL = {
    name
    for name, value in vars(functional).items()
    if not name.startswith("_") and callable(value) and not isinstance(value, type)
    and getattr(value, "__module__", "").startswith("tinygen.")
}  # fmt: skip


WITHOUT_A_CASE = {
    "Tensor.__init__": "tinygen.Tensor",
    "Tensor.__hash__": "identity: test_engine.py",
    "Tensor.__getstate__": "copies and pickles: test_serialization.py",
    "Tensor.__setstate__": "copies and pickles: test_serialization.py",
    **{f"Tensor.{name}": "refused: test_wrong_calls.py" for name in ops.inplace.REFUSED},
    "Tensor.register_hook": "beside PyTorch's: test_hooks.py",
    "Tensor.to_numpy": "for matplotlib: test_wrong_calls_explicit.py",
    **{f"tinygen.{verb}_printoptions": "printing: test_printing.py" for verb in ("get", "set")},
    **{f"tinygen.{verb}_num_threads": "threads: test_blas.py" for verb in ("get", "set")},
    "tinygen.save": "files: test_serialization.py",
    "tinygen.load": "files: test_serialization.py",
    "tinygen.profile": "a measurement: test_profile.py",
    "tinygen.ShapeError": "an exception: test_wrong_calls.py",
    "tinygen.DtypeError": "an exception: test_wrong_calls.py",
}


def public_names():
    """The names that the package exports, as cases are named: functions, methods, attributes, operators, dtypes."""
    yield from set(ops.FUNCTIONS) - set(ops.ALIASES)
    yield from (f"Tensor.{name}" for name in ops.METHODS if name not in ops.FUNCTIONS | ops.ALIASES)
    yield from (f"F.{f}" for f in PUBLIC_IN_FUNCTIONAL if getattr(functional, f) not in _covered_functions())
    machinery = {"__module__", "__doc__", "__slots__", "__array_priority__", "__weakref__"}
    for name in vars(Tensor):
        if name not in ops.METHODS and name not in machinery and (name[0] != "_" or name[:2] == "__"):
            yield f"Tensor.{name}"
    for name, value in vars(tinygen).items():
        if name[0] != "_" and name not in ops.FUNCTIONS and not inspect.ismodule(value):
            yield f"tinygen.{name}"
    for name, value in vars(tinygen.nn).items():
        if isinstance(value, type) and name[0] != "_":
            yield f"nn.{name}"
    yield from (f"autograd.{name}" for name in ("grad", "backward", "gradcheck", "gradgradcheck"))


def test_every_name_has_a_case():
    """A public name without a line in the table fails here."""
    missing = set(public_names()) - {case.name for case in CASES.values()} - set(WITHOUT_A_CASE)
    assert not missing, f"no case for {', '.join(sorted(missing))}"


def _covered_functions():
    return {id(f): f for f in map(vars(tinygen).get, ops.FUNCTIONS)}.values()


@pytest.mark.parametrize("name", sorted(set(ops.METHODS) & set(ops.FUNCTIONS)))
def test_methods_are_the_functions(name):
    """So that a case for the function covers the method."""
    method = getattr(Tensor.__dict__[name], "__wrapped__", Tensor.__dict__[name])
    function = getattr(tinygen, name)
    assert method is getattr(function, "__wrapped__", function)


@pytest.mark.parametrize(
    "shape, dim", [((200_000, 2), 0), ((2, 200_000), 1), ((300, 2, 900), (0, 2)), ((5000, 3), 0)]
)
def test_long_sums_stay_accurate(shape, dim):
    """Also along strided dimensions, where NumPy adds one by one.  0.1 is not exact in float32."""
    x = tinygen.full(shape, 0.1)
    for y in (x, x + 0, x.transpose(0, 1).contiguous().transpose(0, 1)):
        expected = np.asarray(y).astype(np.float64).sum(dim)
        np.testing.assert_allclose(np.asarray(y.sum(dim)), expected, rtol=2e-5)
        assert y.sum(dim).dtype == tinygen.float32 and y.sum(dim, keepdim=True).ndim == x.ndim
    bias = tinygen.zeros(shape[1], 1, requires_grad=True)
    (x.reshape(shape[0], shape[1], -1) + bias).mul(0.1).sum().backward()
    np.testing.assert_allclose(np.asarray(bias.grad), 0.1 * x.numel() / shape[1], rtol=2e-5)


def test_probabilities_outside_0_to_1_are_refused():
    for p in (1.5, -0.1, np.nan):
        with pytest.raises(RuntimeError, match="bernoulli"):
            tinygen.tensor([p]).bernoulli()


def test_filling_at_random_and_new_tensors_of_a_dtype():
    x = tinygen.empty(1000, dtype=tinygen.float64)
    assert 0.9 < x.normal_(3, 0.5).mean() / 3 < 1.1 and -1 <= x.uniform_(-1, 2).min() < 0 < 1 < x.max() < 2
    assert (
        x.new_zeros(2, 3).dtype
        == x.new_ones((2,)).dtype
        == x.new_tensor([1]).dtype
        == x.new_full((2,), 1).dtype
    )
    assert x.new_zeros(2).dtype == tinygen.float64 and x.stride() == (1,)
    with pytest.raises(RuntimeError, match="normal_: a leaf that requires a gradient"):
        x.requires_grad_().normal_()


@needs_torch
def test_memory_is_ones_own_or_shared_and_writable_as_pytorchs():
    """`y.add_(1)` works or is refused, and changes x or does not, exactly as in PyTorch."""
    wrong, found = [], 0
    for key in EVERY:
        case, arrays = CASES[key], CASES[key].arrays()
        xs, ys = run_ours(case, [a.copy() for a in arrays])
        xt, yt = run_theirs(case, arrays)
        for k, (y, z) in enumerate(zip(ys, yt)):
            if isinstance(y, Tensor) and isinstance(z, torch.Tensor):
                found += 1
                if writable(y) != writable(z):
                    wrong.append(f"{key}, output {k}: writable {writable(y)}, PyTorch's {writable(z)}")
                memory = z.untyped_storage().data_ptr()
                expected = any(memory == x.untyped_storage().data_ptr() for x in xt)
                if z.numel() and any(np.may_share_memory(y._data, x._data) for x in xs) != expected:
                    wrong.append(
                        f"{key}, output {k}: shared with an input in PyTorch {expected}, not so here"
                    )
    assert found > 1000 and not wrong, wrong


def writable(x) -> bool:
    try:
        x.detach().copy_(x.detach().clone())
    except RuntimeError:
        return False
    return True
