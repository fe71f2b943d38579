"""The names of torch.nn.functional, and where each function comes from.

`inplace=True` writes the result into the input, as in PyTorch.
"""
# ruff: noqa: F401  (what is imported here is what this module offers)

from __future__ import annotations

from tinygen.ops import declaration as _declaration
from tinygen.ops.arguments import INT as _INT
from tinygen.ops.creation import one_hot
from tinygen.ops.declaration import operation as _operation
from tinygen.ops.elementwise import activation
from tinygen.ops.elementwise.activation import (
    gelu,
    glu,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    sigmoid,
    silu,
    softsign,
    tanh,
)
from tinygen.ops.elementwise.dropout import dropout, dropout2d
from tinygen.ops.images.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from tinygen.ops.images.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from tinygen.ops.images.resize import interpolate, pixel_shuffle, pixel_unshuffle
from tinygen.ops.index.getitem import embedding
from tinygen.ops.losses.cross_entropy import cross_entropy, nll_loss
from tinygen.ops.losses.distance import cosine_similarity, normalize, pairwise_distance
from tinygen.ops.losses.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from tinygen.ops.norm import batch_norm, group_norm, group_norm_silu, instance_norm, layer_norm, rms_norm
from tinygen.ops.products.attention import scaled_dot_product_attention
from tinygen.ops.products.matmul import linear
from tinygen.ops.shape.pad import pad
from tinygen.ops.softmax import guessed_dim as _guessed_dim
from tinygen.ops.softmax import gumbel_softmax
from tinygen.ops.softmax import log_softmax as _log_softmax
from tinygen.ops.softmax import softmax as _softmax
from tinygen.ops.softmax import softmin as _softmin
from tinygen.ops.tensor.overwrite import in_place as _in_place


@_operation(homes="F")
def relu(input, inplace=False):
    """max(input, 0).  inplace writes it into input."""
    return _in_place("relu", activation.relu, input) if inplace else activation.relu(input)


@_operation(homes="F")
def leaky_relu(input, negative_slope=0.01, inplace=False):
    """input where positive, else negative_slope · input.  inplace writes it into input."""
    if inplace:
        return _in_place("leaky_relu", activation.leaky_relu, input, negative_slope=negative_slope)
    return activation.leaky_relu(input, negative_slope=negative_slope)


@_operation(homes="F")
def elu(input, alpha=1.0, inplace=False):
    """input where positive, else alpha (exp(input) - 1).  inplace writes it into input."""
    if inplace:
        return _in_place("elu", activation.elu, input, alpha=alpha)
    return activation.elu(input, alpha=alpha)


@_operation(homes="F")
def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta · input)) / beta; input itself where beta · input > threshold"""
    return activation.softplus(input, beta=beta, threshold=threshold)


@_operation(homes="F", dim=_INT)
def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """exp(input) / Σ exp(input) along dim; without dim, PyTorch's choice with a warning"""
    dim = _guessed_dim("softmax", input.ndim) if dim is None else dim
    return _softmax(input, dim, dtype)


@_operation(homes="F", dim=_INT)
def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """input - log Σ exp(input) along dim; without dim, PyTorch's choice with a warning"""
    dim = _guessed_dim("log_softmax", input.ndim) if dim is None else dim
    return _log_softmax(input, dim, dtype)


@_operation(_declaration.example("F.softmin(x, dim=1)", x=_declaration.real(2, 3)), homes="F", dim=_INT)
def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """softmax(-input) along dim; without dim, PyTorch's choice with a warning"""
    dim = _guessed_dim("softmin", input.ndim) if dim is None else dim
    return _softmin(input, dim, dtype)
