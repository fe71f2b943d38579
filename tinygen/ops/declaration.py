"""`@operation`: an operation declares, where it is written, what callers see of it.

    @operation(example("tinygen.softmax(x, dim=1)", x=real(2, 3)), homes="tinygen Tensor", dim=INT)
    def softmax(input, dim, dtype=None):
        ...

These declarations give the functions of the package and of nn.functional, the methods of Tensor
(`ops/__init__.py`), the argument types that `tinygen.face` accepts, and the example that `tinygen explain` runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tinygen.ops.arguments import Kind


class Input(NamedTuple):
    """A random input of an example; explain/examples.py draws it."""

    kind: str
    values: tuple  # the shape, or the numbers of `exactly`
    constant: bool = False  # needs no gradient, as running statistics


def real(*shape: int) -> Input:
    """Numbers between -3 and 3, away from multiples of a half, where kinks and steps lie."""
    return Input("real", shape)


def positive(*shape: int) -> Input:
    """Numbers between 0.1 and 2, away from kinks."""
    return Input("positive", shape)


def probability(*shape: int) -> Input:
    """Numbers between 0.1 and 0.9."""
    return Input("probability", shape)


def distinct(*shape: int) -> Input:
    """Numbers at least 0.1 apart, so that there is only one maximum."""
    return Input("distinct", shape)


def whole(*shape: int) -> Input:
    """0, 1 or 2: classes, indices."""
    return Input("whole", shape)


def truth(*shape: int) -> Input:
    """A mask with both kinds in it."""
    return Input("truth", shape)


def exactly(*values) -> Input:
    """These numbers."""
    return Input("exactly", values)


def constant(given: Input) -> Input:
    """The same, as an input that needs no gradient."""
    return given._replace(constant=True)


class Example(NamedTuple):
    """A call as it is written, and the inputs that it names."""

    call: str
    inputs: dict


def example(call: str, **inputs: Input) -> Example:
    """`call` may name `tinygen`, `F`, and the inputs."""
    return Example(call, inputs)


class Declaration(NamedTuple):
    """The arguments of one `@operation`, and the function it decorates."""

    function: Callable
    homes: tuple[str, ...]
    aliases: tuple[str, ...]
    example: Example | None

    @property
    def name(self) -> str:
        """As `tinygen explain` lists it: softmax, F.pad, Tensor.view."""
        home = self.homes[0]
        return self.function.__name__ if home == "tinygen" else f"{home}.{self.function.__name__}"


DECLARED: list[Declaration] = []


def operation(
    example: Example | None = None, *, homes: str = "tinygen Tensor", aliases: str = "", **takes: Kind
):
    """Declare a function or a Primitive as an operation.

    example   a call to show and check; a function of one Tensor, or of two called (x, other), needs none
    homes     where callers find it: as a function of "tinygen" or "F" (nn.functional), as a method of "Tensor"
    aliases   further names
    takes     what an argument may be, where that is not what its name usually means in PyTorch
              (face/argument_types.py)
    """

    if callable(example):  # @operation without arguments
        return operation()(example)

    def declare(function):
        function.takes = takes
        DECLARED.append(Declaration(function, tuple(homes.split()), tuple(aliases.split()), example))
        return function

    return declare


def named(name: str, doc: str):
    """Name and document a function that is one of several made by the same code."""

    def rename(function):
        function.__name__ = function.__qualname__ = name
        function.__doc__ = doc
        return function

    return rename


def names_in(home: str) -> dict[str, Callable]:
    """The operations of one home, by name; aliases come last."""
    here = [declared for declared in DECLARED if home in declared.homes]
    names = {declared.function.__name__: declared.function for declared in here}
    return names | {alias: declared.function for declared in here for alias in declared.aliases}
