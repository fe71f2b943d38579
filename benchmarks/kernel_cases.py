"""The operations to time, at the shapes our models use.

A forward is called without recording.  A gradient is called on a graph that was recorded once, so that only the
derivative rows run.  The work of a case is what every implementation has to do: the floating-point operations of the
direct algorithm (Winograd's needs fewer), and one read of every input and one write of every output.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from tinygen.benchmarks.sides import Case, Side

FLOAT = 4  # bytes


@functools.lru_cache(maxsize=4)
def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """The same array for every side, cached: drawing a large one takes longer than using it."""
    array = np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)
    array.flags.writeable = False
    return array


def operation(name: str, shape: str, f: Callable, *make_arrays: Callable, **options) -> Case:
    """A case that calls f(api, *tensors) on the arrays that `make_arrays` return."""

    def make(side: Side):
        tensors = [side.tensor(make_array()) for make_array in make_arrays]
        function = side.function(lambda *t: f(side.api, *t))

        def call():
            with side.no_grad():
                return function(*tensors)

        return call

    return Case(name, options.pop("group", name), shape, make, **options)


def gradient(
    name: str, shape: str, f: Callable, *make_arrays: Callable, of: tuple[int, ...], **options
) -> Case:
    """A case that computes the gradients of f(api, *tensors) with respect to the tensors at the positions `of`."""

    def make(side: Side):
        tensors = [side.tensor(make_array()) for make_array in make_arrays]
        wanted = [tensors[i].requires_grad_() for i in of]
        y = side.function(lambda *t: f(side.api, *t))(*tensors)
        g = side.tensor(normal(*y.shape, seed=9))
        return lambda: side.api.autograd.grad(y, wanted, g, retain_graph=True)

    return Case(name, options.pop("group", name.removesuffix("_grad")), shape, make, **options)


def _conv(C: int, K: int, H: int, R: int, N: int = 64) -> list[Case]:
    """conv2d and its two gradients, with padding that keeps the size.  x (N, C, H, H), w (K, C, R, R)"""
    x, w = lambda: normal(N, C, H, H), lambda: normal(K, C, R, R, seed=1) / math.sqrt(C * R * R)
    f = lambda api, x, w: api.nn.functional.conv2d(x, w, None, 1, R // 2)
    shape = f"{N}×{C}×{H}×{H}, {C}→{K}, {R}×{R}"
    options = dict(
        group="conv2d",
        flops=2 * N * K * H * H * C * R * R,
        bytes=FLOAT * (N * H * H * (C + K) + C * K * R * R),
        others=("channels-last",),
        tolerance=1e-3,
    )
    return [
        operation("conv2d", shape, f, x, w, **options),
        gradient("conv2d_input_grad", shape, f, x, w, of=(0,), **options),
        gradient("conv2d_weight_grad", shape, f, x, w, of=(1,), **options),
    ]


def _conv_transpose(C: int, K: int, H: int, N: int = 64) -> list[Case]:
    """The 4×4 filters with stride 2 and padding 1 of DCGAN, which double H.  x (N, C, H, H), w (C, K, 4, 4)"""
    x, w = lambda: normal(N, C, H, H), lambda: normal(C, K, 4, 4, seed=1) / math.sqrt(16 * C)
    f = lambda api, x, w: api.nn.functional.conv_transpose2d(x, w, None, 2, 1)
    shape = f"{N}×{C}×{H}×{H}, {C}→{K}, 4×4 stride 2"
    options = dict(
        group="conv_transpose2d",
        flops=2 * N * C * H * H * K * 16,
        bytes=FLOAT * (N * H * H * (C + 4 * K) + C * K * 16),
        others=("channels-last",),
        tolerance=1e-3,
    )
    return [
        operation("conv_transpose2d", shape, f, x, w, **options),
        gradient(
            "conv_transpose2d_grad", shape, f, x, w, of=(0, 1), **options | {"flops": 2 * options["flops"]}
        ),
    ]


def _matmul(m: int, k: int, n: int) -> Case:
    return operation(
        "matmul",
        f"{m}×{k} @ {k}×{n}",
        lambda api, a, b: a @ b,
        lambda: normal(m, k),
        lambda: normal(k, n, seed=1),
        flops=2 * m * k * n,
        bytes=FLOAT * (m * k + k * n + m * n),
        others=("cuBLAS",),
    )


def _both(
    name: str, shape: tuple[int, ...], f: Callable, *more: Callable, passes=(2, 3), **options
) -> list[Case]:
    """A forward and its gradient for an x of this shape; passes: how many arrays of that size each reads or writes."""
    x, text, size = lambda: normal(*shape), "×".join(map(str, shape)), FLOAT * math.prod(shape)
    of = options.pop("of", (0,))
    return [
        operation(name, text, f, x, *more, bytes=passes[0] * size, **options),
        gradient(f"{name}_grad", text, f, x, *more, of=of, bytes=passes[1] * size, **options),
    ]


def _ones(n: int):
    return lambda: np.ones(n, np.float32)


def _rows() -> list[Case]:
    """Operations along the last dimension, and elementwise ones."""
    F = lambda api: api.nn.functional
    scores, tokens, images = (64 * 4 * 49, 49), (64 * 49, 96), (64, 64, 28, 28)
    labels = lambda: np.random.default_rng(0).integers(0, 1000, 4096)
    return [
        *_both("softmax", scores, lambda api, x: F(api).softmax(x, -1)),
        *_both("softmax", (4096, 1000), lambda api, x: F(api).softmax(x, -1)),
        *_both("log_softmax", (4096, 1000), lambda api, x: F(api).log_softmax(x, -1)),
        *_both("gelu", (64 * 49, 384), lambda api, x: F(api).gelu(x)),
        *_both("silu", images, lambda api, x: F(api).silu(x)),
        *_both(
            "layer_norm",
            tokens,
            lambda api, x, w, b: F(api).layer_norm(x, (96,), w, b),
            _ones(96),
            _ones(96),
            of=(0, 1, 2),
        ),
        *_both(
            "bce_with_logits",
            (128, 784),
            lambda api, x, t: F(api).binary_cross_entropy_with_logits(x, t, reduction="sum"),
            lambda: (normal(128, 784, seed=2) > 0).astype(np.float32),
            passes=(2, 3),
        ),
        *_both(
            "cross_entropy", (4096, 1000), lambda api, x, i: F(api).cross_entropy(x, i), labels, passes=(1, 2)
        ),
    ]


def _group_norm_silu(groups: int) -> Callable:
    """group_norm and silu as one operation where there is one, as in the models"""

    def f(api, x, w, b):
        F = api.nn.functional
        one = getattr(F, "group_norm_silu", None)
        return one(x, groups, w, b) if one else F.silu(F.group_norm(x, groups, w, b))

    return f


def _images() -> list[Case]:
    """Normalization of images, pooling, resizing."""
    F = lambda api: api.nn.functional
    images = (64, 64, 28, 28)
    affine = dict(of=(0, 1, 2), others=("channels-last",))
    small = FLOAT * 64 * 64 * 14 * 14
    doubled = {"others": ("channels-last",), "passes": (5, 5)}
    return [
        *_both(
            "group_norm",
            images,
            lambda api, x, w, b: F(api).group_norm(x, 8, w, b),
            _ones(64),
            _ones(64),
            **affine,
        ),
        *_both("group_norm_silu", images, _group_norm_silu(8), _ones(64), _ones(64), **affine),
        *_both(
            "batch_norm",
            images,
            lambda api, x, w, b: F(api).batch_norm(x, None, None, w, b, training=True),
            _ones(64),
            _ones(64),
            **affine,
        ),
        *_both(
            "max_pool2d",
            images,
            lambda api, x: F(api).max_pool2d(x, 2),
            passes=(1.25, 1.25 + small / FLOAT / 64**2 / 784),
            others=("channels-last",),
        ),
        *_both(
            "interpolate", (64, 64, 14, 14), lambda api, x: F(api).interpolate(x, scale_factor=2.0), **doubled
        ),
    ]


def _embedding() -> Case:
    rows, width, count = 1000, 128, 64 * 256
    return gradient(
        "embedding_grad",
        f"{count} of {rows}×{width}",
        lambda api, i, w: api.nn.functional.embedding(i, w),
        lambda: np.random.default_rng(0).integers(0, rows, count),
        lambda: normal(rows, width),
        of=(1,),
        bytes=FLOAT * width * (count + rows) + 8 * count,
    )


def _attention(B: int, H: int, T: int, D: int) -> list[Case]:
    """q, k, v (B, H, T, D): two products forward, five backward, which computes the weights again."""
    f = lambda api, q, k, v: api.nn.functional.scaled_dot_product_attention(q, k, v)
    qkv = [lambda seed=seed: normal(B, H, T, D, seed=seed) for seed in range(3)]
    shape, product, size = f"T={T}: {B}×{H}×{T}×{D}", 2 * B * H * T * T * D, FLOAT * B * H * T * D
    return [
        operation("attention", shape, f, *qkv, flops=2 * product, bytes=4 * size, tolerance=1e-3),
        gradient(
            "attention_grad", shape, f, *qkv, of=(0, 1, 2), flops=5 * product, bytes=8 * size, tolerance=1e-3
        ),
    ]


def _adam(tensors: int = 20, rows: int = 500, columns: int = 500) -> Case:
    """Reads parameter, gradient and two moments, writes all but the gradient: 28 bytes a parameter."""

    def make(side: Side):
        parameters = [
            side.api.nn.Parameter(side.tensor(normal(rows, columns, seed=i))) for i in range(tensors)
        ]
        for i, p in enumerate(parameters):
            p.grad = side.tensor(normal(rows, columns, seed=100 + i))
        optimizer = side.adam(parameters, 1e-3)
        step = side.function(optimizer.step)

        def call():
            step()
            return parameters

        return call

    count = tensors * rows * columns
    shape = f"{count / 1e6:g} M parameters in {tensors} tensors"
    return Case("adam", "adam", shape, make, bytes=28 * count, others=("fused",), check_calls=3)


def large_cases() -> list[Case]:
    """Cases that fill a GPU: large products, wide rows, convolutions and norms of DDPM on CIFAR-10 and 64 × 64."""
    F = lambda api: api.nn.functional
    layer_norm = lambda api, x, w, b: F(api).layer_norm(x, (1024,), w, b)
    return [
        *[_matmul(n, n, n) for n in (4096, 8192)],
        *[case for C in (128, 256) for case in _conv(C, C, 32, 3, N=128)],
        *_conv(192, 192, 64, 3, N=32),
        *_attention(128, 4, 256, 64),
        *_attention(32, 8, 1024, 64),
        *_attention(8, 8, 4096, 64),
        *_both("softmax", (32768, 1024), lambda api, x: F(api).softmax(x, -1)),
        *_both("layer_norm", (32768, 1024), layer_norm, _ones(1024), _ones(1024), of=(0, 1, 2)),
        *[
            case
            for shape in ((128, 128, 32, 32), (128, 256, 32, 32), (32, 192, 64, 64))
            for case in _both(
                "group_norm_silu", shape, _group_norm_silu(32), _ones(shape[1]), _ones(shape[1]), of=(0, 1, 2)
            )
        ],
        _adam(50, 1024, 1024),
    ]


def kernel_cases() -> list[Case]:
    """All operations, in the order of the table."""
    return [
        *_conv(64, 64, 28, 3),
        *_conv(128, 128, 14, 3),
        *_conv(64, 128, 14, 1),
        *_conv_transpose(128, 64, 7),
        *_conv_transpose(64, 32, 14),
        *[_matmul(*shape) for shape in ((128, 784, 256), (128, 256, 256), (128, 256, 784))],
        *[_matmul(n, n, n) for n in (512, 1024, 2048)],
        *_rows(),
        *_images(),
        _embedding(),
        *_attention(16, 4, 256, 64),
        *_attention(4, 4, 1024, 64),
        *_attention(1, 4, 4096, 64),
        _adam(),
    ]
