"""Arrays in, arrays out: the arithmetic below the autograd.  Never sees a Tensor, never imports tinygen's engine.

Shape letters: N batch, C/K channels in/out, H W image, R S filter, P Q output, T tokens, D head size, B*H heads.
`g` incoming gradient, `gx` gradient of x, `y` output, `xp` the array module (numpy or cupy).

Variants for the GPU stand in `*_cuda.py` and are registered on first need (`dispatch.load_gpu_variants`).
"""

from tinygen.kernels import conv2d_planes, conv2d_taps, conv2d_window, conv2d_winograd  # register variants
from tinygen.kernels.accumulation import wide, wide_running, widened
from tinygen.kernels.activation import (
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
from tinygen.kernels.allocation import keep_freed_memory
from tinygen.kernels.attention import attention, attention_grad
from tinygen.kernels.conv2d import conv2d, conv2d_input_grad, conv2d_weight_grad, output_size
from tinygen.kernels.conv2d_bias import add_bias, bias_grad
from tinygen.kernels.dispatch import Kernel, array_module, device_of, registry, use
from tinygen.kernels.elementwise import *  # noqa: F403
from tinygen.kernels.layout import Layout, common_layout, lay, pick
from tinygen.kernels.likelihood import bernoulli_log_likelihood
from tinygen.kernels.losses import (
    bce_with_logits,
    bce_with_logits_grad,
    cross_entropy,
    cross_entropy_grad,
    pick_class,
    pick_class_grad,
)
from tinygen.kernels.matmul import matmul
from tinygen.kernels.moments import mean
from tinygen.kernels.norm import normalize, normalize_grad, normalize_silu, normalize_silu_grad, rescale
from tinygen.kernels.optimizers import adadelta, adagrad, adam, rmsprop, sgd
from tinygen.kernels.philox import philox_bernoullis, philox_normals, philox_uniforms, philox_words
from tinygen.kernels.pool import (
    max_pool2d,
    max_pool2d_grad,
    nearest2d,
    nearest2d_grad,
    pick_pixels,
    sum_pool2d,
    sum_pool2d_grad,
)
from tinygen.kernels.reduce import cumsum, largest, sum
from tinygen.kernels.scatter import add_at, put
from tinygen.kernels.softmax import log_softmax, log_softmax_grad, softmax, softmax_grad
from tinygen.kernels.sort import argsort, multinomial, nonzero, topk

keep_freed_memory()

__all__ = [name for name in dir() if not name.startswith("_")]
