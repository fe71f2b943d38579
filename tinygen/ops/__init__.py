"""Operations: the forward on arrays and, right under it, one derivative row per input.

Each declares at its definition what callers see of it (`declaration.operation`): whether it is a function of the
package (`tinygen.exp`), a method of Tensor, a function of nn.functional, and under which names.  To add one, write it
and declare it.
"""

from tinygen.engine.sweep_ops import cast, sum_to
from tinygen.engine.tensor import Tensor
from tinygen.ops import creation, cumulative, norm, reduce, sampling, softmax
from tinygen.ops.declaration import DECLARED, names_in
from tinygen.ops.elementwise import activation, arithmetic, choice, compare, dropout, functions
from tinygen.ops.images import conv, pool, resize
from tinygen.ops.index import gather, sort
from tinygen.ops.index.getitem import getitem
from tinygen.ops.losses import cross_entropy, distance, loss
from tinygen.ops.products import attention, einsum, matmul
from tinygen.ops.shape import diagonal, join, pad, reshape
from tinygen.ops.shape.reshape import expand
from tinygen.ops.tensor import inplace, methods, operators
from tinygen.ops.tensor.device import to_device

FUNCTIONS, METHODS = names_in("tinygen"), names_in("Tensor")
ALIASES = {alias: d.function.__name__ for d in DECLARED for alias in d.aliases}
globals().update({name: f for name, f in FUNCTIONS.items() if name not in ALIASES})

for _name, _function in (METHODS | inplace.REFUSED).items():
    if not hasattr(Tensor, _name):
        setattr(Tensor, _name, _function)
for _name, _function in operators.OPERATORS.items():
    setattr(Tensor, _name, _function)
