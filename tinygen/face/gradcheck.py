"""Derivatives compared with finite differences: first ones by `gradcheck`, second ones by `gradgradcheck`.

For a function f with Jacobian J, a random direction u of one input and random weights v of an output, the tape's
(v J)·u has to equal v·(f(x + eps u) - f(x - eps u)) / (2 eps).  One such number sees every entry of J, so large inputs
cost no more than small ones; small inputs are also checked element by element.
"""

from __future__ import annotations

import itertools

import numpy as np

from tinygen.engine import grad_mode
from tinygen.engine.devices import on_host
from tinygen.engine.errors import refusal
from tinygen.engine.gradients import grad
from tinygen.engine.tensor import Tensor
from tinygen.ops.tensor.conversion import tensor

DIRECTIONS = 3  # random directions for each input
SMALL = 32  # inputs of at most this many elements are checked element by element too


class GradcheckError(RuntimeError):
    """The tape's derivative differs from finite differences."""


def gradcheck(
    func, inputs, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True
) -> bool:
    """Whether the derivatives of `func` agree with central differences: |found - expected| <= atol + rtol |expected|.

    func       takes `inputs` (Tensors and anything else) and returns a Tensor or several
    inputs     those that require a gradient are checked; they must be float64 and away from kinks

    Raises GradcheckError naming the input, what was found and what was expected, or returns False.
    """
    try:
        _check(func, _as_tuple(inputs), eps, atol, rtol, "gradcheck")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func,
    inputs,
    grad_outputs=None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """`gradcheck` of the gradient itself, as a function of `inputs` and of the incoming gradients.

    grad_outputs   incoming gradients, one for each differentiable output of `func`; random where not given
    """
    gradient, arguments = _gradient_of(func, _as_tuple(inputs), grad_outputs)
    try:
        _check(gradient, arguments, eps, atol, rtol, "gradgradcheck")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _gradient_of(func, inputs: tuple, grad_outputs=None) -> tuple:
    """The gradient of `func` as a function of its inputs and the incoming gradients, and these arguments."""
    checked = _checked(inputs, "gradgradcheck")
    with grad_mode.enable_grad():
        outputs = [y for y in _as_tuple(func(*inputs)) if _differentiable(y)]
    if not outputs:
        raise refusal("gradgradcheck", ValueError, f"no output of {_name(func)} requires a gradient")
    if grad_outputs is None:
        random = np.random.default_rng(0)
        grad_outputs = [tensor(random.standard_normal(y.shape), None, y.device, True) for y in outputs]
    else:
        grad_outputs = [v.detach().requires_grad_() for v in _as_tuple(grad_outputs)]

    def gradient(*arguments):
        xs, vs = arguments[: len(inputs)], arguments[len(inputs) :]
        with grad_mode.enable_grad():
            # the perturbed copies of finite differences do not require a gradient yet
            xs = [x.detach().requires_grad_() if i in checked and not x.requires_grad else x
                  for i, x in enumerate(xs)]  # fmt: skip
            ys = [y for y in _as_tuple(func(*xs)) if _differentiable(y)]
            found = grad(ys, [xs[i] for i in checked], vs, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    gradient.__name__ = f"gradient of {_name(func)}"
    return gradient, (*inputs, *grad_outputs)


def measure(func, inputs, order: int = 1, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3) -> tuple:
    """What `gradcheck` (order 1) or `gradgradcheck` (order 2) finds: the largest |found - expected|, and the first
    comparison that fails, in words, or None."""
    inputs, largest, failure = _as_tuple(inputs), 0.0, None
    if order == 2:
        func, inputs = _gradient_of(func, inputs)
    try:
        for found, expected, where in _comparisons(func, inputs, eps, "check"):
            largest = max(abs(found - expected), largest)
            if failure is None and not _agree(found, expected, atol, rtol):
                failure = _disagreement(found, expected, where)
    except GradcheckError as error:  # a gradient of another shape, an input that was written to
        failure = str(error)
    return largest, failure


def _as_tuple(x) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _name(func) -> str:
    return getattr(func, "__name__", type(func).__name__)


def _differentiable(y) -> bool:
    return isinstance(y, Tensor) and y.requires_grad


def _checked(inputs: tuple, operation: str) -> list[int]:
    """The positions of the inputs to check."""
    positions = [i for i, x in enumerate(inputs) if _differentiable(x)]
    if not positions:
        raise refusal(
            operation, ValueError, f"none of the {len(inputs)} inputs is a Tensor that requires a gradient"
        )
    for i in positions:
        if inputs[i].dtype != np.float64:
            raise refusal(
                operation,
                TypeError,
                f"input {i} of shape {inputs[i].shape} is {inputs[i].dtype}, expected float64: "
                "in shorter floats, differences over 1e-6 disappear in rounding errors",
            )
    return positions


def _check(func, inputs: tuple, eps: float, atol: float, rtol: float, operation: str) -> None:
    for found, expected, where in _comparisons(func, inputs, eps, operation):
        _compare(found, expected, atol, rtol, where)


def _comparisons(func, inputs: tuple, eps: float, operation: str):
    """(the tape's derivative, that of central differences, where) for every output, input and direction."""
    random = np.random.default_rng(0)
    checked = _checked(inputs, operation)
    before = [on_host(x._data).copy() if isinstance(x, Tensor) else None for x in inputs]
    with grad_mode.enable_grad():
        outputs = _as_tuple(func(*inputs))
    for i, (x, old) in enumerate(zip(inputs, before)):
        if old is not None and not np.array_equal(on_host(x._data), old, equal_nan=old.dtype.kind == "f"):
            raise refusal(
                operation, GradcheckError, f"{_name(func)} changed its input {i} of shape {x.shape} in place"
            )
    floating = [k for k, y in enumerate(outputs) if isinstance(y, Tensor) and y.is_floating_point()]
    if not floating:
        raise refusal(operation, ValueError, f"{_name(func)} returns no Tensor of a floating dtype")
    for k in floating:
        y = outputs[k]
        weights = random.standard_normal(y.shape)
        if y.requires_grad:
            gradients = grad(
                y, [inputs[i] for i in checked], tensor(weights.astype(y.dtype), device=y.device), retain_graph=True,
                allow_unused=True,
            )  # fmt: skip
        else:
            gradients = [None] * len(checked)
        for i, g in zip(checked, gradients):
            _check_shape(g, inputs[i], i, operation)
            found = np.zeros(inputs[i].shape) if g is None else on_host(g._data)
            for what, u in _directions(inputs[i].shape, random):
                difference = _difference(func, before, inputs, i, k, u, eps, weights)
                yield float((found * u).sum()), difference, (operation, func, i, inputs[i], k, what)


def _check_shape(g, x, i: int, operation: str) -> None:
    if g is not None and (g.shape != x.shape or g.dtype != x.dtype):
        raise refusal(
            operation,
            GradcheckError,
            f"the gradient of input {i}: found {g.dtype} {g.shape}, expected {x.dtype} {x.shape}",
        )


def _directions(shape: tuple, random):
    """Unit vectors of an input: random ones, and each axis of a small input."""
    size = int(np.prod(shape))
    if size == 0:
        return
    for n in range(DIRECTIONS):
        u = random.standard_normal(shape)
        yield f"random direction {n}", u / np.sqrt((u * u).sum())
    if size <= SMALL:
        for at in itertools.product(*map(range, shape)):
            u = np.zeros(shape)
            u[at] = 1.0
            yield f"element {at}", u


def _difference(func, values: list, inputs: tuple, i: int, k: int, u, eps: float, weights) -> float:
    """v·(f(x + eps u) - f(x - eps u)) / (2 eps) for output k and input i."""
    sides = []
    for sign in (1, -1):
        moved = [x if old is None else tensor(old, device=x.device) for x, old in zip(inputs, values)]
        moved[i] = tensor(values[i] + sign * eps * u, device=inputs[i].device)
        with grad_mode.no_grad():
            sides.append(on_host(_as_tuple(func(*moved))[k]._data).astype(np.float64))
    return float((weights * (sides[0] - sides[1])).sum() / (2 * eps))


def _compare(found: float, expected: float, atol: float, rtol: float, where: tuple) -> None:
    if not _agree(found, expected, atol, rtol):
        raise GradcheckError(_disagreement(found, expected, where))


def _agree(found: float, expected: float, atol: float, rtol: float) -> bool:
    """Whether the two agree; nan agrees with nothing."""
    return abs(found - expected) <= atol + rtol * abs(expected)


def _disagreement(found: float, expected: float, where: tuple) -> str:
    operation, func, i, x, k, what = where
    return (
        f"{operation}: {_name(func)}, input {i} of shape {x.shape}, output {k}, {what}: "
        f"found the derivative {found:.8g}, expected {expected:.8g} from finite differences"
    )
