"""Every operation on a GPU has the values and derivatives that it has on the CPU, and its results stay on the GPU.

Without a GPU these tests run on the stand-in for cupy (tests/support/standins), with a GPU on cupy.
"""

import numpy as np
import pytest
from cases import CASES
from support.gpu import gpu
from test_ops import TOLERANCE, as_array, differentiable, gradients, run, strided

import tinygen
from tinygen.autograd import grad
from tinygen.engine.tensor import Tensor
from tinygen.nn import functional

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def cupy():
    with gpu() as module:
        yield module


def on_cpu(array, requires_grad=False):
    x = Tensor._wrap(array)
    return x.requires_grad_() if requires_grad and x.is_floating_point() else x


def on_gpu(array, requires_grad=False):
    """The array on the GPU, with the strides that it has here."""
    import cupy

    order = sorted(range(array.ndim), key=lambda d: -array.strides[d])
    whole = cupy.asarray(np.asarray(array.transpose(order), order="C"))
    x = Tensor._wrap(whole.transpose([order.index(d) for d in range(array.ndim)]) if array.ndim else whole)
    return x.requires_grad_() if requires_grad and x.is_floating_point() else x


def derived(case, make, arrays):
    """Outputs, gradients and second gradients of a case, with the same weights on every device."""
    tinygen.manual_seed(7)
    random = np.random.default_rng(0)
    inputs, outputs = run(case, case.call, make, tinygen, functional, arrays, case.grad)
    leaves = [x for x in inputs if x.requires_grad]
    ys = differentiable(outputs)
    if not case.grad or not ys:
        return outputs, [], []
    weights = [make(random.standard_normal(y.shape).astype(y.dtype), True) for y in ys]
    gs = gradients(grad, ys, leaves, weights)
    again = [make(random.standard_normal(x.shape).astype(x.dtype)) for x in leaves]
    kept = [(g, w) for g, w in zip(gs, again) if g is not None and g.requires_grad]
    if not case.second or not kept:
        return outputs, gs, []
    return outputs, gs, gradients(grad, [g for g, _ in kept], [*leaves, *weights], [w for _, w in kept])


def assert_equal(found, expected, tolerance, what):
    """Equal up to rounding; only the first is on the GPU."""
    assert (found is None) == (expected is None), what
    if found is None:
        return
    a, b = as_array(found.cpu()), as_array(expected)
    assert a.shape == b.shape and a.dtype == b.dtype, (what, a.shape, b.shape, a.dtype, b.dtype)
    if a.dtype.kind != "f":
        assert np.array_equal(a, b), (what, a, b)
        return
    finite = np.isfinite(b)
    np.testing.assert_array_equal(np.where(finite, 0, a), np.where(finite, 0, b), err_msg=what)
    if finite.any():
        limit = tolerance * (1 + np.abs(b[finite]).max())
        assert np.abs(a[finite] - b[finite]).max() <= limit, (what, a, b)


# the case makes its result from numbers, or asks for the CPU
_BY_ITSELF = "numbers recorded_under tensor tolist equal allclose cpu to as_tensor zeros".split()
MADE_ON_THE_CPU = {key for key, case in CASES.items() if {*_BY_ITSELF} & {*case.call.__code__.co_names}}
NOT_FOR_A_GPU = (
    "Tensor.is_cuda Tensor.get_device Tensor.__cuda_array_interface__ Tensor.__dlpack__ Tensor.__dlpack_device__ \
    Tensor.numpy Tensor.__array__ tinygen.from_numpy tinygen.tensor-3 Tensor.scatter_-2 \
    Tensor.__repr__ F.cross_entropy-10"
)
COMPARED = sorted(key for key in CASES if CASES[key].inputs and key not in NOT_FOR_A_GPU.split())


@pytest.mark.parametrize(
    "layout, dtype",
    [(np.copy, "float64"), (strided, "float32")],
    ids=["contiguous float64", "strided float32"],
)
@pytest.mark.parametrize("key", COMPARED)
def test_an_operation_gives_what_it_gives_on_the_cpu(cupy, key, layout, dtype):
    case = CASES[key]
    arrays = [layout(a) for a in case.arrays(dtype)]
    expected = derived(case, on_cpu, arrays)
    found = derived(case, on_gpu, arrays)
    for what, ours, theirs in zip(("output", "gradient", "second gradient"), found, expected):
        assert len(ours) == len(theirs), what
        for k, (a, b) in enumerate(zip(ours, theirs)):
            assert_equal(a, b, max(case.tolerance, TOLERANCE[dtype]), f"{what} {k}")
            if key not in MADE_ON_THE_CPU and a is not None:
                assert a.is_cuda, f"{what} {k} is on the CPU"
