"""The explanation of an operation: docstring, source, derivative rows, kernels, an example and a live check."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from tinygen import kernels
from tinygen.engine.primitive import Primitive
from tinygen.explain import source
from tinygen.explain.demo import Check, Outcome, check, run_example
from tinygen.explain.derivatives import derivatives
from tinygen.explain.examples import EXAMPLES, Example, example_of
from tinygen.explain.names import Entry, entries, find, function_of, is_public
from tinygen.explain.page import Page
from tinygen.kernels.runtime.dispatch import Kernel, kernel_of_name, load_gpu_variants


@dataclass
class Explanation:
    """The page, the check at its end (None if there is nothing to check), and the recorded primitives."""

    page: Page
    check: Check | None
    primitives: list

    @property
    def passed(self) -> bool:
        return self.check is None or self.check.passed

    def text(self, bold: bool = False) -> str:
        return self.page.text(bold)


def explain_operation(name: str, seed: int = 0) -> Explanation:
    """Explain the operation called `name`, in any spelling that `names.find` knows."""
    entry, known = find(name), entries()
    page = Page()
    if entry.is_layer:
        _layer(page, entry)
        inner = None if entry.name in EXAMPLES else function_of(entry.target, known)
        if inner is not None:
            page.listing(source.layer(entry.target))
            page.blank()
            page.prose(f"It computes with {inner.name}:")
            entry = inner
    example = _example(entry, known)
    result = run_example(example, seed)
    _head(page, entry)
    _forward(page, entry, result)
    if result.primitives or isinstance(entry.target, Primitive):
        derivatives(page, result.primitives or [entry.target])
    _kernels(page, entry, result)
    _shown(page, example, result)
    return Explanation(page, _checked(page, entry, example, result, seed), result.primitives)


def _example(entry: Entry, known: dict) -> Example:
    """The example of an entry, or of another name of the same function."""
    names = [entry.name, *(other.name for other in known.values() if source.same(other.target, entry.target))]
    return example_of(next((name for name in names if name in EXAMPLES), entry.name), entry.target)


def _title(name: str, target) -> str:
    signature, empty = inspect.signature(target), inspect.Signature.empty
    bare = [p.replace(annotation=empty) for p in signature.parameters.values()]
    text = str(signature.replace(parameters=bare, return_annotation=empty))
    return f"{name}{text}".replace("Tensor.__getitem__(x, index)", "x[index]")


def _layer(page: Page, entry: Entry) -> None:
    page.heading(_title(entry.name, entry.target), source.where(entry.target))
    made = getattr(entry.target, "function", None)
    if made is None or entry.target.__doc__ != made.__doc__:  # else it follows with the function
        page.doc(inspect.getdoc(entry.target))


def _head(page: Page, entry: Entry) -> None:
    if entry.is_layer:
        return
    page.heading(_title(entry.name, entry.target), source.where(entry.target))
    page.doc(inspect.getdoc(entry.target))


def _forward(page: Page, entry: Entry, result: Outcome) -> None:
    """The public function, the helpers it calls, and the primitives that the tape recorded."""
    page.section("Forward")
    function = entry.target.forward if entry.is_layer else entry.target
    primitives = result.primitives
    if isinstance(function, Primitive):
        page.prose("A primitive: it sees arrays, and the tape records it as one operation.")
    page.listing(source.definition(function, docstring=entry.is_layer))
    helpers = [f for f in source.uses(function) if _is_helper(f)]
    if helpers:
        page.blank()
        page.prose("It calls, beside public operations:")
        for f in helpers:
            page.entry(f.__name__, _first_line(f), source.where(f))
    others = [op for op in primitives if not source.same(op, function)]
    if not others:
        return
    names = ", ".join(op.__name__ for op in primitives)
    count = "one primitive" if len(primitives) == 1 else f"{len(primitives)} primitives"
    page.blank()
    page.prose(
        f"In the example below the tape records {count}: {names}. A primitive is a function on arrays with derivatives "
        "of its own:"
    )
    for op in others:
        page.listing(source.definition(op))


def _is_helper(f) -> bool:
    """Whether it is a function of tinygen.ops that is neither a public operation nor a primitive."""
    return f.__module__.startswith("tinygen.ops") and not isinstance(f, Primitive) and not is_public(f)


def _first_line(f) -> str:
    return (inspect.getdoc(f) or "").split("\n")[0]


def _kernels(page: Page, entry: Entry, result: Outcome) -> None:
    """The kernels that the example called, forward and backward, and what NumPy itself computed."""
    page.section("Kernels")
    for when, calls in ("forward", result.forward_kernels), ("backward", result.backward_kernels):
        for name in dict.fromkeys(kernel for kernel, _ in calls):
            _kernel(page, name, when, {variant for kernel, variant in calls if kernel == name})
    numpy = []
    for op in result.primitives or [entry.target.forward if entry.is_layer else entry.target]:
        functions, names = _array_calls(op)
        for f in functions:
            page.prose(f"kernels.{f.__name__}, called by {op.__name__}, without variants:")
            page.entry(_first_line(f), where=source.where(f))
        if names:
            numpy.append(f"{op.__name__} ({', '.join(names)})")
    if numpy:
        page.prose(f"Left to NumPy itself: {', '.join(numpy)}.")
    if page.is_empty():
        page.prose("None: it computes nothing of its own.")


def _kernel(page: Page, name: str, when: str, ran: set) -> None:
    page.prose(f"kernels.{name}, called by the {when}:")
    load_gpu_variants()
    rungs: dict[
        tuple, list[str]
    ] = {}  # variants of the same name on different devices may be different functions
    for device, ladder in kernel_of_name(name).ladder.items():
        for variant, function, _ in ladder:
            rungs.setdefault((variant, function), []).append(device)
    for (variant, function), devices in rungs.items():
        here = ", ran here" if variant in ran and "cpu" in devices else ""
        page.entry(
            f"{variant} ({' and '.join(devices)}{here})", _first_line(function), source.where(function)
        )


def _array_calls(op) -> tuple[list, list]:
    """What a forward calls: kernels without variants, as functions, and the array module's functions, as names."""
    calls = source.array_calls(op)
    functions, numpy = [], list(calls["numpy"])
    for name in calls["kernels"]:
        value = getattr(kernels, name)
        if isinstance(value, Kernel):
            continue
        if (getattr(value, "__module__", None) or "").startswith("tinygen."):
            functions.append(value)
        else:
            numpy.append(name)
    return functions, list(dict.fromkeys(numpy))


def _shown(page: Page, example: Example, result: Outcome) -> None:
    page.section("Example")
    for name, x in result.inputs.items():
        page.value(name, x)
    page.prose(f"y = {example.call}")
    for i, y in enumerate(result.outputs):
        page.value("y" if len(result.outputs) == 1 else f"y[{i}]", y)
    gradients = {name: g for name, g in result.gradients.items() if g is not None}
    if not gradients:
        return
    y = [y for y in result.outputs if y.requires_grad]
    if len(y) == 1 and y[0].numel() == 1:
        page.prose("The gradient of L = y:")
    else:
        page.prose("The gradient of L = sum(c · y), where c = 1, 2, 3, … counts the elements of y:")
    for name, g in gradients.items():
        page.value(f"∂L/∂{name}", g)


def _checked(page: Page, entry: Entry, example: Example, result: Outcome, seed: int) -> Check | None:
    page.section("Check")
    if not result.gradients:
        page.prose(f"Not differentiable: {_why_not(entry, result)}.")
        return None
    found = check(example, seed)
    page.prose(
        "The derivatives of the example in float64 against central differences (f(x + hu) - f(x - hu)) / 2h with "
        f"h = 1e-6, along random directions u and every element; {len(found.seeds)} seeds from {seed}, "
        f"{found.seconds:.2f} s."
    )
    for order, what in (1, "first derivatives "), (2, "second derivatives"):
        verdict = "FAILED" if order in found.failures else "passed"
        page.entry(what, f"{verdict}, largest difference {found.errors[order]:.1e}")
        if order in found.failures:
            page.prose(found.failures[order], 6)
    return found


def _why_not(entry: Entry, result: Outcome) -> str:
    kinds = {y.dtype.name for y in result.outputs}
    if not result.outputs:
        return "the result is no Tensor"
    if not kinds & {"float16", "float32", "float64"}:
        return f"the result is {' and '.join(sorted(kinds))}"
    if not any(x.requires_grad for x in result.inputs.values()):
        return "it takes no Tensor of real numbers" if result.inputs else "it makes a Tensor from nothing"
    return "the derivative is zero wherever it exists, and nothing is recorded"
