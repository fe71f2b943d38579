"""Arrays in, arrays out: the arithmetic below the autograd.  It never sees a Tensor and never imports tinygen's engine.

Shape letters: N batch, C/K channels in/out, H W image, R S filter, P Q output, T tokens, D head size, B*H heads.
`g` incoming gradient, `gx` gradient of x, `y` output, `xp` the array module (numpy or cupy).

Each operation has a folder: `reference` is its definition, then come the CPU variants with their loops, `numba_cuda`
and `cuda`.  They are imported on first need (`runtime/dispatch.py`).  README.md has the ladders and shows how to run
one.
"""

from tinygen.kernels.activation.reference import (
    gelu,
    gelu_grad,
    gelu_tanh,
    gelu_tanh_grad,
    leaky_relu,
    leaky_relu_grad,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    silu,
    silu_grad,
)
from tinygen.kernels.attention import attention, attention_grad
from tinygen.kernels.capture.reference import set_words
from tinygen.kernels.conv2d import (
    add_bias,
    bias_grad,
    conv2d,
    conv2d_input_grad,
    conv2d_layer,
    conv2d_layer_grad,
    conv2d_weight_grad,
    output_size,
)
from tinygen.kernels.elementwise.reference import (
    add,
    arccos,
    arcsin,
    arctan,
    arctan2,
    cos,
    cosh,
    divide,
    erf,
    exp,
    exp2,
    expm1,
    floor_divide,
    fmod,
    keep,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    maximum,
    minimum,
    multiply,
    multiply_grad,
    power,
    relu,
    remainder,
    sign,
    sin,
    sinh,
    softplus,
    sqrt,
    subtract,
    tan,
    tanh,
)
from tinygen.kernels.layout import Layout, collect, common_layout, lay, pick
from tinygen.kernels.lists.reference import average_all, clip_all, norm_of_all
from tinygen.kernels.losses import (
    bce_with_logits,
    bce_with_logits_grad,
    bernoulli_log_likelihood,
    cross_entropy,
    cross_entropy_grad,
    pick_class,
    pick_class_grad,
)
from tinygen.kernels.matmul import linear, linear_grad, matmul
from tinygen.kernels.norm.reference import (
    normalize,
    normalize_grad,
    normalize_silu,
    normalize_silu_grad,
    rescale,
)
from tinygen.kernels.optimizers.reference import adadelta, adagrad, adam, rmsprop, sgd
from tinygen.kernels.philox.reference import philox_bernoullis, philox_normals, philox_uniforms, philox_words
from tinygen.kernels.pool import (
    max_pool2d,
    max_pool2d_grad,
    nearest2d,
    nearest2d_grad,
    pick_pixels,
    sum_pool2d,
    sum_pool2d_grad,
)
from tinygen.kernels.reduce import cumsum, largest, mean, sum, wide, wide_running, widened
from tinygen.kernels.runtime.allocation import keep_freed_memory
from tinygen.kernels.runtime.dispatch import Kernel, array_module, device_of, registry, use
from tinygen.kernels.scatter import add_at, put
from tinygen.kernels.softmax.reference import log_softmax, log_softmax_grad, softmax, softmax_grad
from tinygen.kernels.sort import argsort, multinomial, nonzero, topk

keep_freed_memory()

__all__ = [name for name in dir() if not name.startswith("_")]
