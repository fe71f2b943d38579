"""Attributes, operators and methods of Tensor itself, and the package's other names."""

import copy

import numpy as np

from cases.table import FIXED, RANDOM, B, C, N, U, case

VALUE = dict(grad=False, other_dtypes=False)
FIRM = dict(other_dtypes=False)


def numbers(T, *values):
    """Numbers, bools and shapes as one Tensor, so that they can be compared."""
    flat = [n for v in values for n in (v if isinstance(v, (tuple, list)) else [v])]
    return T.tensor([float(n) for n in flat], dtype=T.float64)


# operators

case("Tensor.__add__", lambda T, F, x, y: (x + y, x + 2, x + 0.5), U(3, 4), U(4), **FIRM)
case("Tensor.__radd__", lambda T, F, x: (2 + x, 0.5 + x), U(3), **FIRM)
case("Tensor.__sub__", lambda T, F, x, y: (x - y, x - 2), U(3, 1), U(4), **FIRM)
case("Tensor.__rsub__", lambda T, F, x: (2 - x, 0.5 - x), U(3), **FIRM)
case("Tensor.__mul__", lambda T, F, x, y: (x * y, x * 2), U(3, 4), U(), **FIRM)
case("Tensor.__rmul__", lambda T, F, x: (2 * x, 0.5 * x), U(0, 3), **FIRM)
case("Tensor.__truediv__", lambda T, F, x, y: (x / y, x / 2), U(3, 4), U(1), **FIRM)
case("Tensor.__rtruediv__", lambda T, F, x: (2 / x, 0.5 / x), U(3), **FIRM)
case("Tensor.__floordiv__", lambda T, F, x, y: (x // y, x // 0.7), U(3, 4), U(4), **VALUE)
case("Tensor.__rfloordiv__", lambda T, F, x: 5 // x, U(3), **VALUE)
case("Tensor.__mod__", lambda T, F, x, y: (x % (y * 1.1), x % 0.7), U(3, 4), U(4), **FIRM)
case("Tensor.__rmod__", lambda T, F, x: 5 % x, U(3), **VALUE)
case("Tensor.__pow__", lambda T, F, x, y: (x**2, x**-1, abs(x) ** y), U(3, 4), U(4), **FIRM)
case("Tensor.__rpow__", lambda T, F, x: 2**x, U(3), **FIRM)
case("Tensor.__matmul__", lambda T, F, x, y: x @ y, U(3, 4), U(4, 2), **FIRM)
case("Tensor.__rmatmul__", lambda T, F, x, y: x.__rmatmul__(y), U(4, 2), U(3, 4), **FIRM)
case("Tensor.__neg__", lambda T, F, x: -x, U(3, 1), **FIRM)
case("Tensor.__pos__", lambda T, F, x: +x, U(3), **FIRM)
case("Tensor.__abs__", lambda T, F, x: abs(x), U(3), **FIRM)
case("Tensor.__invert__", lambda T, F, x, m: (~x, ~(m > 0)), N(3), U(3), **VALUE)
case("Tensor.__and__", lambda T, F, x, y: (x & y, (x > 1) & (y > 1)), N(3, high=9), N(3, high=9), **VALUE)
case("Tensor.__or__", lambda T, F, x, y: (x | y, (x > 1) | (y > 1)), N(3, high=9), N(3, high=9), **VALUE)
case("Tensor.__xor__", lambda T, F, x, y: (x ^ y, (x > 1) ^ (y > 1)), N(3, high=9), N(3, high=9), **VALUE)
for name in "and or xor".split():
    case(f"Tensor.__r{name}__", lambda T, F, x, f=f"__r{name}__": getattr(x, f)(5), N(3, high=9), **VALUE)
case("Tensor.__eq__", lambda T, F, x, y: (x == y, x == 1, x == x), N(3, 4), N(4), **VALUE)
case("Tensor.__ne__", lambda T, F, x, y: (x != y, x != 1), N(3, 4), N(4), **VALUE)
case("Tensor.__lt__", lambda T, F, x, y: (x < y, x < 1, 1 < x), N(3, 4), N(4), **VALUE)
case("Tensor.__le__", lambda T, F, x, y: (x <= y, x <= 1, 1 <= x), N(3, 4), N(4), **VALUE)
case("Tensor.__gt__", lambda T, F, x, y: (x > y, x > 1, 1 > x), N(3, 4), N(4), **VALUE)
case("Tensor.__ge__", lambda T, F, x, y: (x >= y, x >= 1, 1 >= x), N(3, 4), N(4), **VALUE)
case("Tensor.__getitem__", lambda T, F, x: (x[1], x[1:, ::2], x[..., None, 0], x[-1, -1]), U(3, 4))
case("Tensor.__getitem__", lambda T, F, x, i: (x[i], x[:, i], x[i, i], x[i] * x[0]), U(3, 4), N(5))
case("Tensor.__getitem__", lambda T, F, x: (x[0:0], x[:, 2:2], x[..., 0:1]), U(2, 3), **FIRM)
case("Tensor.__iter__", lambda T, F, x: tuple(row * 2 for row in x), U(3, 2))
case("Tensor.__len__", lambda T, F, x: numbers(T, len(x), len(x[0:0])), U(3, 2), **VALUE)
case("Tensor.__contains__", lambda T, F, x: numbers(T, 1 in x, 9 in x), C([0.0, 1.0]), **VALUE)
case("Tensor.__bool__", lambda T, F, x: numbers(T, bool(x), bool(x * 0), not x), U(1), **VALUE)
case("Tensor.__float__", lambda T, F, x: numbers(T, float(x)), U(1, 1), **VALUE)
case("Tensor.__int__", lambda T, F, x: numbers(T, int(x), int(-x)), U(), **VALUE)
case("Tensor.__index__", lambda T, F, i: numbers(T, "abcdef".index("abcdef"[i]), range(9)[i]), N(), **VALUE)
case("Tensor.__format__", lambda T, F, x: numbers(T, f"{x:.3f}", f"{x:10.2e}"), U(), **VALUE)
case("Tensor.__repr__", lambda T, F, x: numbers(T, *map(ord, repr(x > 0))), U(2, 3), **VALUE)
case("Tensor.__copy__", lambda T, F, x: copy.copy(x), U(2, 3), **VALUE)
case(
    "Tensor.__array__", lambda T, F, x: numbers(T, *np.asarray(x), *np.asarray(x, np.float32)), U(3), **VALUE
)

# in place: on a copy that is part of the graph

case("Tensor.__ipow__", lambda T, F, x: raised(x * 1), U(3, 4), **FIRM)
for name in "iadd isub imul itruediv".split():
    case(
        f"Tensor.__{name}__", lambda T, F, x, y, f=f"__{name}__": getattr(x * 1, f)(y), U(3, 4), U(4), **FIRM
    )
case(
    "Tensor.__setitem__",
    lambda T, F, x, y: (assigned(x, (0, 1), 5), assigned(x, 1, y)),
    U(3, 4),
    U(4),
    **VALUE,
)
case("Tensor.__setitem__", lambda T, F, x: (assigned(x, x > 0, 0), assigned(x, [0, 2], -1)), U(3, 4), **VALUE)
case("Tensor.add_", lambda T, F, x, y: (x.clone().add_(y), (x * 1).add_(y, alpha=3)), U(3, 4), U(4), **FIRM)
case("Tensor.sub_", lambda T, F, x, y: (x.clone().sub_(y), (x * 1).sub_(y, alpha=3)), U(3, 4), U(4), **FIRM)
case("Tensor.mul_", lambda T, F, x, y: ((x * 1).mul_(y), (x * 1).mul_(2)), U(3, 4), U(4), **FIRM)
case("Tensor.div_", lambda T, F, x, y: ((x * 1).div_(y), (x * 1).div_(2)), U(3, 4), U(4), **FIRM)
case("Tensor.clamp_", lambda T, F, x: ((x * 1).clamp_(-1, 1), (x * 1).clamp_(max=0.5)), U(3, 4), **FIRM)
case("Tensor.copy_", lambda T, F, x, y: (x * 1).copy_(y), U(3, 4), U(4), **FIRM)
case("Tensor.fill_", lambda T, F, x: x.clone().fill_(2.5), U(2, 3), **VALUE)
case("Tensor.zero_", lambda T, F, x: x.clone().zero_(), U(2, 3), **VALUE)
case("Tensor.normal_", lambda T, F, x: x.clone().normal_(2, 3), U(2, 3), **RANDOM)
case("Tensor.uniform_", lambda T, F, x: x.clone().uniform_(2, 3), U(2, 3), **RANDOM)


def raised(x):
    """x after x **= 2."""
    x **= 2
    return x


def assigned(x, index, value):
    """A copy of x after x[index] = value."""
    copy = x.clone()
    copy[index] = value
    return copy


# shape, dtype, memory

case("Tensor.T", lambda T, F, x: x.T, U(3, 4), **FIRM)
case("Tensor.mT", lambda T, F, x: x.mT, U(2, 3, 4), **FIRM)
case("Tensor.shape", lambda T, F, x: numbers(T, x.shape, x[0].shape), U(3, 0, 2), **VALUE)
case("Tensor.size", lambda T, F, x: numbers(T, x.size(), x.size(0), x.size(-1)), U(3, 0, 2), **VALUE)
case("Tensor.ndim", lambda T, F, x: numbers(T, x.ndim, x[0, 0, 0].ndim), U(3, 4, 2), **VALUE)
case("Tensor.dim", lambda T, F, x: numbers(T, x.dim(), x[0].dim()), U(3, 4), **VALUE)
case("Tensor.ndimension", lambda T, F, x: numbers(T, x.ndimension()), U(3, 4), **VALUE)
case("Tensor.numel", lambda T, F, x: numbers(T, x.numel(), x[0:0].numel()), U(3, 4), **VALUE)
case("Tensor.nelement", lambda T, F, x: numbers(T, x.nelement()), U(3, 4), **VALUE)
case(
    "Tensor.element_size",
    lambda T, F, x: numbers(T, x.element_size(), x.half().element_size()),
    U(2),
    **VALUE,
)
case(
    "Tensor.stride",
    lambda T, F, x: numbers(T, (x * 1).contiguous().stride(), x.contiguous().stride(-1)),
    U(3, 4),
    **VALUE,
)
case("Tensor.is_contiguous", lambda T, F, x: numbers(T, x.contiguous().is_contiguous(), x[:, :2].is_contiguous()),
     U(3, 4), **VALUE)  # fmt: skip
case(
    "Tensor.to", lambda T, F, x: (x.to(T.float64) * 2, x.to("cpu"), x.to(dtype=T.float64, copy=True)), U(3, 4)
)
case("Tensor.to", lambda T, F, x: x.to(T.zeros(1, dtype=T.float64)), U(2))
case("Tensor.double", lambda T, F, x: (x.double(), x.to(T.float64) * 2), U(2, 3))
for name in "float half".split():
    case(f"Tensor.{name}", lambda T, F, x, f=name: getattr(x, f)(), U(2, 3), grad=False)
for name in "int long bool".split():
    case(f"Tensor.{name}", lambda T, F, x, f=name: getattr(x, f)(), U(2, 3), grad=False)
case("Tensor.type", lambda T, F, x: (x.type(T.float64), x.type(T.float64) * 2), U(2, 3), **FIRM)
case("Tensor.type_as", lambda T, F, x, i: (x.type_as(x), i.type_as(x)), U(3, 4), N(2), **FIRM)
case("Tensor.dtype", lambda T, F, x: T.zeros(2, dtype=x.dtype), U(2), grad=False)
case("Tensor.device", lambda T, F, x: T.zeros(2, device=x.device), U(2), **VALUE)
case("Tensor.is_floating_point", lambda T, F, x, i: numbers(T, x.is_floating_point(), i.is_floating_point()),
     U(2), N(2), **VALUE)  # fmt: skip
case("Tensor.is_cuda", lambda T, F, x: numbers(T, x.is_cuda), U(2), **VALUE)
case("Tensor.get_device", lambda T, F, x: numbers(T, x.get_device()), U(2), **VALUE)
case("Tensor.__cuda_array_interface__", lambda T, F, x: numbers(T, hasattr(x, "__cuda_array_interface__")),
     U(2), **VALUE)  # fmt: skip
case("Tensor.cuda", lambda T, F, x: numbers(T, refused(x.cuda)), U(2), **VALUE)
case("Tensor.__dlpack__", lambda T, F, x: numbers(T, *np.from_dlpack(x.detach())), U(3), **VALUE)
case("Tensor.__dlpack_device__", lambda T, F, x: numbers(T, *map(int, x.__dlpack_device__())), U(3), **VALUE)
case("tinygen.from_dlpack", lambda T, F, x: T.from_dlpack(x.detach()) * 2, U(2, 3), **VALUE)
case("Tensor.is_xpu", lambda T, F, x: numbers(T, x.is_xpu), U(2), **VALUE)
case(
    "Tensor.where", lambda T, F, x, m, y: (x.where(m, y), x.where(x > 0, 1.0)), U(2, 3), B(3), U(2, 1), **FIRM
)
case("Tensor.cpu", lambda T, F, x: x.cpu(), U(2, 3), **FIRM)
case("Tensor.numpy", lambda T, F, x: T.tensor(x.detach().numpy() * 2), U(2, 3), **VALUE)
case("Tensor.item", lambda T, F, x: numbers(T, x.item(), x.reshape(1, 1).item()), U(), **VALUE)
case("Tensor.tolist", lambda T, F, x: T.tensor(x.tolist(), dtype=T.float64), U(2, 3), **VALUE)
case(
    "Tensor.new_zeros",
    lambda T, F, x: (x.new_zeros(2, 3), x.new_zeros((2,), dtype=T.int64)),
    U(2),
    grad=False,
)
case("Tensor.new_ones", lambda T, F, x: (x.new_ones(2, 3), x.new_ones([0])), U(2), grad=False)
case("Tensor.new_full", lambda T, F, x: (x.new_full((2, 3), 7), x.new_full((1,), 1)), U(2), grad=False)
case("Tensor.new_tensor", lambda T, F, x: x.new_tensor([1, 0]), U(2), grad=False)

# the graph

case("Tensor.detach", lambda T, F, x: x.detach() * x, U(2, 3), second=False, **FIRM)
case("Tensor.data", lambda T, F, x: x.data * x, U(2, 3), second=False, **FIRM)
case(
    "Tensor.requires_grad", lambda T, F, x: numbers(T, x.requires_grad, (x * 2).requires_grad), U(2), **VALUE
)
case(
    "Tensor.requires_grad_",
    lambda T, F, x: numbers(T, x.detach().requires_grad_().requires_grad),
    U(2),
    **VALUE,
)
case("Tensor.is_leaf", lambda T, F, x: numbers(T, x.is_leaf, (started(x) * 2).is_leaf), U(2), **VALUE)
case(
    "Tensor.grad_fn",
    lambda T, F, x: numbers(T, x.grad_fn is None, (started(x) * 2).grad_fn is None),
    U(2),
    **VALUE,
)


def refused(call):
    """Whether it is refused; without a GPU, PyTorch raises a special error."""
    try:
        call()
    except (RuntimeError, AssertionError):
        return True
    return False


def started(x):
    """The values of x as a new leaf."""
    return x.detach().clone().requires_grad_()


def after_backward(x, **options):
    """The gradients that backward leaves on a leaf and on an intermediate result with retain_grad."""
    leaf = started(x)
    middle = leaf * leaf
    middle.retain_grad()
    (middle * leaf).backward(leaf.detach() * 2, **options)
    return leaf.grad.detach(), middle.grad.detach()


case("Tensor.backward", lambda T, F, x: after_backward(x), U(2, 3), **VALUE)
case("Tensor.backward", lambda T, F, x: after_backward(x, retain_graph=True), U(2, 3), **VALUE)
case("Tensor.grad", lambda T, F, x: after_backward(x)[0], U(0, 3), **VALUE)
case("Tensor.retain_grad", lambda T, F, x: after_backward(x)[1], U(), **VALUE)


def derived(T, x, **options):
    """The derivative of x cubed, recorded."""
    return T.autograd.grad((x**3).sum(), x, create_graph=True, **options)[0]


case("autograd.grad", lambda T, F, x: derived(T, started(x)).detach(), U(2, 3), **VALUE)
case("autograd.grad", lambda T, F, x: derived(T, started(x), retain_graph=True).detach(), U(0), **VALUE)
case("autograd.backward", lambda T, F, x: backward_of_two(T, x), U(2, 3), **VALUE)
case(
    "autograd.gradcheck",
    lambda T, F, x: numbers(T, T.autograd.gradcheck(T.sin, started(x.double()))),
    U(2),
    **VALUE,
)
case(
    "autograd.gradgradcheck",
    lambda T, F, x: numbers(T, T.autograd.gradgradcheck(T.sin, started(x.double()))),
    U(2),
    **VALUE,
)


def backward_of_two(T, x):
    leaf = started(x)
    T.autograd.backward([(leaf**2).sum(), leaf * 3], [None, leaf.detach()])
    return leaf.grad


def recorded_under(T, x, *contexts):
    """Whether a product is recorded in each of the contexts, and what is_grad_enabled returns."""
    found = []
    for context in contexts:
        with context:
            found += [(started(x) * 2).requires_grad, T.is_grad_enabled()]
    return numbers(T, *found, T.is_grad_enabled())


for name in "no_grad enable_grad inference_mode".split():
    case(f"tinygen.{name}", lambda T, F, x, f=name: recorded_under(T, x, getattr(T, f)()), U(2), **VALUE)
for enabled in (False, True):
    case("tinygen.set_grad_enabled", lambda T, F, x, on=enabled: recorded_under(T, x, T.set_grad_enabled(on)),
         U(2), **VALUE)  # fmt: skip
case("tinygen.is_grad_enabled", lambda T, F, x: recorded_under(T, x, T.no_grad()), U(2), **VALUE)

# the package's other names

case(
    "tinygen.tensor",
    lambda T, F: (T.tensor([[1, 2]]), T.tensor(0.5), T.tensor([True]), T.tensor([])),
    **FIXED,
)
case("tinygen.tensor", lambda T, F: T.tensor([1, 2], dtype=T.float64), **FIXED)
case("tinygen.tensor", lambda T, F, x: T.tensor(np.asarray(x.detach())), U(2), grad=False)
case("tinygen.Tensor", lambda T, F: (T.Tensor([1, 2]), T.Tensor(2, 3).zero_(), T.Tensor([[0.5]])), **FIXED)
case("tinygen.as_tensor", lambda T, F, x: (T.as_tensor(x), T.as_tensor([1.5]), T.as_tensor(2)), U(2), **VALUE)
case("tinygen.from_numpy", lambda T, F, x: T.from_numpy(x.detach().numpy()) * 2, U(2, 3), **VALUE)
case("tinygen.is_tensor", lambda T, F, x: numbers(T, T.is_tensor(x), T.is_tensor(2.0)), U(2), **VALUE)
case("tinygen.device", lambda T, F: T.zeros(2, device=T.device("cpu")), **FIXED)
case("tinygen.Size", lambda T, F: numbers(T, T.Size([2, 3]), T.zeros(2, 3).shape == T.Size((2, 3))), **FIXED)
for name in "float16 half float32 float float64 double int8 uint8 int16 int32 int64 long bool".split():
    case(f"tinygen.{name}", lambda T, F, f=name: T.ones(2, dtype=getattr(T, f)), **FIXED)
for name in "Half Float Double Byte Char Short Int Long Bool".split():
    case(
        f"tinygen.{name}Tensor",
        lambda T, F, f=f"{name}Tensor": (
            getattr(T, f)([1, 0]),
            getattr(T, f)(2, 3).zero_(),
            getattr(T, f)([[1]]),
        ),
        **FIXED,
    )
for name in "inf nan pi".split():
    case(f"tinygen.{name}", lambda T, F, f=name: T.tensor([getattr(T, f)]), **FIXED)
case("tinygen.finfo", lambda T, F: numbers(T, T.finfo(T.float32).eps, T.finfo(T.float64).max), **FIXED)
case("tinygen.iinfo", lambda T, F: numbers(T, T.iinfo(T.int64).max, T.iinfo(T.uint8).min), **FIXED)
case("tinygen.manual_seed", lambda T, F: drawn_again(T), **FIXED)
case("tinygen.get_default_dtype", lambda T, F: T.zeros(2, dtype=T.get_default_dtype()), **FIXED)
case("tinygen.set_default_dtype", lambda T, F: zeros_by_default(T), **FIXED)


def drawn_again(T):
    """The difference between two draws from one seed: none."""
    first = (T.manual_seed(3), T.rand(5))[1]
    return first - (T.manual_seed(3), T.rand(5))[1]


def zeros_by_default(T):
    try:
        T.set_default_dtype(T.float64)
        return T.zeros(2) + 0.5, T.tensor([0.5])
    finally:
        T.set_default_dtype(T.float32)
