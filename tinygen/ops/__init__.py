"""Operations: the forward on arrays and, right under it, one derivative row per input.

Each is defined once, in the file of its kind.  The names in FUNCTIONS are functions of the package (`tinygen.exp`),
those in METHODS are methods of Tensor; to add an operation, write it and name it here.
"""

from tinygen.ops import (
    conv,
    creation,
    dropout,
    elementwise,
    index,
    loss,
    matmul,
    norm,
    pool,
    reduce,
    shape,
    softmax,
)
from tinygen.tensor import Tensor

CREATION = (
    "zeros ones empty full eye arange linspace rand randn randint randperm bernoulli zeros_like ones_like empty_like "
    "full_like rand_like randn_like one_hot"
).split()
ELEMENTWISE = (
    "add sub mul div neg pow floor_divide remainder exp expm1 log log1p sqrt rsqrt reciprocal square sin "
    "cos tanh sigmoid erf abs sign floor ceil round trunc maximum minimum logaddexp clamp where masked_fill "
    "clone eq ne lt le gt ge bitwise_and bitwise_or bitwise_xor bitwise_not logical_and logical_or "
    "logical_xor logical_not isnan isinf isfinite relu"
).split()
REDUCE = "sum mean var std amax amin max min argmax argmin any all logsumexp norm cumsum cumprod prod".split()
SHAPE = (
    "reshape flatten unflatten squeeze unsqueeze permute transpose t broadcast_to flip cat stack narrow split chunk "
    "unbind tril triu gather"
).split()
INDEX = "index_select masked_select".split()
MATMUL = "matmul mm bmm dot outer".split()
CONV = "conv2d conv_transpose2d".split()
POOL = "max_pool2d pixel_shuffle pixel_unshuffle".split()
SOFTMAX = "softmax log_softmax".split()
NORM = "layer_norm group_norm batch_norm instance_norm".split()

FUNCTIONS = {
    **{name: getattr(creation, name) for name in CREATION},
    **{name: getattr(elementwise, name) for name in ELEMENTWISE},
    **{name: getattr(reduce, name) for name in REDUCE},
    **{name: getattr(shape, name) for name in SHAPE},
    **{name: getattr(index, name) for name in INDEX},
    **{name: getattr(matmul, name) for name in MATMUL},
    **{name: getattr(conv, name) for name in CONV},
    **{name: getattr(pool, name) for name in POOL},
    **{name: getattr(softmax, name) for name in SOFTMAX},
    **{name: getattr(norm, name) for name in NORM},
    "dropout": dropout.dropout,
}
ONLY_FUNCTIONS = {*CREATION, *CONV, *POOL, *NORM, "dropout", "where", "cat", "stack"} - {"bernoulli"}
METHODS = {name: function for name, function in FUNCTIONS.items() if name not in ONLY_FUNCTIONS} | {
    "view": shape.view,
    "expand": shape.expand,
    "expand_as": shape.expand_as,
    "repeat": shape.repeat,
    "contiguous": shape.contiguous,
    "broadcast_to": shape.broadcast_to,
}

# under these names the engine itself uses operations
globals().update(FUNCTIONS)
cast, sum_to, expand, getitem = elementwise.cast, reduce.sum_to, shape.expand, index.getitem

for _name, _function in METHODS.items():
    if not hasattr(Tensor, _name):
        setattr(Tensor, _name, _function)
