"""`tinygen explain`: an operation from its formula down to its kernels, and the graph of a small program.

    print(explain("softmax"))

From here everything else of the package may be imported, and nothing imports this but the command line.
"""

from tinygen.explain.names import every_name, find
from tinygen.explain.operation import explain_operation


def explain(name: str, seed: int = 0) -> str:
    """What `tinygen explain NAME` prints: docstring, source, derivative rows, kernels, an example and a check."""
    return explain_operation(name, seed).text()
