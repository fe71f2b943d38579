"""`tinygen explain`: an operation from its formula down to its kernels, and the graph of a small program.

    print(explain("softmax"))

    names          what can be explained, under which names
    operation      the explanation of an operation, put together from
    source           source text with its location
    derivatives      the derivative rows
    examples, demo   an example, run and checked
    page             plain text in 100 columns
    graph          the recorded graph of a small program, as DOT
    drawing        the same as a picture
    command        the command line's part

This room may import everything below models; only the command line imports it.
"""

from tinygen.explain.names import every_name, find
from tinygen.explain.operation import explain_operation


def explain(name: str, seed: int = 0) -> str:
    """The text that `tinygen explain NAME` prints: docstring, source, derivative rows, kernels, an example, a check."""
    return explain_operation(name, seed).text()
