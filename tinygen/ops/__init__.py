"""Operations: the forward on arrays and, right under it, one derivative row per input.

Each is defined once, in the file of its kind.  What EXPORTS names is a function of the package (`tinygen.exp`) and,
unless NOT_METHODS names it too, a method of Tensor; to add an operation, write it and name it here.
"""

from tinygen.engine.tensor import Tensor
from tinygen.ops import (
    activation,
    compare,
    conv,
    creation,
    cumulative,
    device,
    diagonal,
    distance,
    dropout,
    einsum,
    elementwise,
    gather,
    index,
    inplace,
    matmul,
    methods,
    norm,
    operators,
    overwrite,
    pointwise,
    pool,
    reduce,
    resize,
    sampling,
    shape,
    softmax,
    sort,
)

EXPORTS = {
    creation: """zeros ones empty full eye arange linspace rand randn randint randperm
        zeros_like ones_like empty_like full_like rand_like randn_like randint_like one_hot""",
    sampling: "normal bernoulli multinomial",
    elementwise: """add sub mul div neg pow floor_divide remainder exp log sqrt rsqrt reciprocal square abs sign maximum
        minimum clamp clamp_min clamp_max where masked_fill clone""",
    pointwise: """sin cos tan asin acos atan atan2 sinh cosh exp2 log2 log10 fmod lerp addcmul addcdiv nan_to_num
        expm1 log1p erf floor ceil round trunc""",
    compare: """eq ne lt le gt ge bitwise_and bitwise_or bitwise_xor bitwise_not logical_and logical_or logical_xor
        logical_not isnan isinf isfinite isclose allclose equal""",
    activation: "relu sigmoid tanh logaddexp selu prelu",
    distance: "cosine_similarity pairwise_distance",
    reduce: """sum mean var std var_mean std_mean amax amin max min argmax argmin any all logsumexp norm
        count_nonzero""",
    cumulative: "cumsum cumprod prod",
    shape: """reshape flatten unflatten squeeze unsqueeze permute transpose t broadcast_to flip cat stack narrow split
        chunk unbind roll movedim meshgrid select ravel""",
    diagonal: "tril triu diagonal diag_embed diag trace",
    gather: "gather scatter scatter_add index_add index_copy index_fill index_put repeat_interleave",
    sort: "sort argsort topk unique bincount",
    index: "index_select masked_select nonzero",
    matmul: "matmul mm bmm mv dot outer addmm baddbmm",
    einsum: "einsum tensordot",
    conv: "conv1d conv2d conv_transpose1d conv_transpose2d",
    pool: "max_pool1d avg_pool1d adaptive_avg_pool1d max_pool2d",
    resize: "pixel_shuffle pixel_unshuffle",
    softmax: "softmax log_softmax",
    norm: "layer_norm rms_norm group_norm batch_norm instance_norm",
    dropout: "dropout",
}
NOT_METHODS = set(
    "dropout selu where cat stack meshgrid normal einsum tensordot var_mean std_mean".split()
).union(*(EXPORTS[module].split() for module in (creation, conv, pool, resize, norm, distance)))
ONLY_METHODS = {
    shape: "view view_as expand expand_as repeat contiguous",
    inplace: """add_ sub_ mul_ div_ pow_ remainder_ floor_divide_ neg_ abs_ exp_ log_ sqrt_ rsqrt_ reciprocal_ square_
        sign_ floor_ ceil_ round_ clamp_ clamp_min_ clamp_max_ masked_fill_ relu_ sigmoid_ tanh_ copy_ fill_ zero_
        uniform_ normal_ bernoulli_ scatter_ scatter_add_ index_add_ index_copy_ index_fill_ index_put_
        lerp_ addcmul_ addcdiv_""",
}
ALIASES = {
    "multiply": "mul", "subtract": "sub", "divide": "div", "true_divide": "div", "negative": "neg", "absolute": "abs",
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne", "clip": "clamp",
    "concat": "cat", "concatenate": "cat", "swapaxes": "transpose", "swapdims": "transpose", "ger": "outer",
    "moveaxis": "movedim",
    "multiply_": "mul_", "subtract_": "sub_", "divide_": "div_", "negative_": "neg_", "absolute_": "abs_",
    "clip_": "clamp_", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
}  # fmt: skip


def _named(exports: dict) -> dict:
    return {name: getattr(module, name) for module, names in exports.items() for name in names.split()}


# under these names the engine itself uses operations
globals().update(_named(EXPORTS))
cast, sum_to, expand, getitem = elementwise.cast, reduce.sum_to, shape.expand, index.getitem
to_device = device.to_device

FUNCTIONS = _named(EXPORTS)
METHODS = {n: f for n, f in FUNCTIONS.items() if n not in NOT_METHODS}
METHODS |= _named(ONLY_METHODS)
for _table in (FUNCTIONS, METHODS):
    _table |= {alias: _table[name] for alias, name in ALIASES.items() if name in _table}

for _name, _function in (METHODS | inplace.REFUSED).items():
    if not hasattr(Tensor, _name):
        setattr(Tensor, _name, _function)
for _name, _function in operators.OPERATORS.items():
    setattr(Tensor, _name, _function)
