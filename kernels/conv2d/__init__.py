"""Convolution, its two transposes, and the bias.

    reference.py     what they mean: matrix products over unfolded images            read this first
    layer.py         a convolution with its bias, and all gradients of it in one call
    planes.py        few channels, depthwise above all: whole images times one weight, added
    taps.py          no unfolding: each tap of a filter is read at an offset from the pixel
    one_window.py    the filter is as large as the image: one matrix product
    winograd.py      3x3 filters: 36 products for 16 outputs instead of 144
    bias.py          adding the bias, and its gradient, on all threads
    numba_cuda.py    the GPU's ladder to read: one thread per output, then tiles
    cuda.py          the GPU's ladder to run (conv2d.cu): naive, implicit_gemm

X_loops.py holds the compiled loops of X.py; taps_tile_loops.py the innermost step of taps, in vector instructions.
"""

from tinygen.kernels.conv2d.layer import conv2d_layer, conv2d_layer_grad
from tinygen.kernels.conv2d.reference import (
    add_bias,
    bias_grad,
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
    output_size,
)

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("planes", "taps", "one_window", "winograd", "bias")
