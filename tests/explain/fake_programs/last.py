"""No variable is called loss or y: the last one assigned that came out of a graph."""

import tinygen

w = {'a "quoted"\\ name': tinygen.ones(2, 3, requires_grad=True)}
b = tinygen.ones(3, requires_grad=True)
second = first = None
for _ in range(2):
    second = next(iter(w.values())) * b
    first = (second + second).exp()
number = first.sum().item()
with tinygen.no_grad():
    apart = b * 2
