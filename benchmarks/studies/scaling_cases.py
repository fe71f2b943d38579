"""The operations of the scaling study, each recorded and differentiated in one call."""

from __future__ import annotations

import math
from collections.abc import Callable

from tinygen.benchmarks.kernel_cases import normal
from tinygen.benchmarks.sides import Case, Side


def with_gradients(name: str, shape: str, f: Callable, *make_arrays: Callable, **options) -> Case:
    """A case that records f(api, *tensors) and computes the gradients of all its inputs."""

    def make(side: Side):
        tensors = [side.tensor(make_array()).requires_grad_() for make_array in make_arrays]
        shape = tuple(f(side.api, *tensors).shape)
        g = side.tensor(normal(*shape, seed=9))
        return lambda: side.api.autograd.grad(f(side.api, *tensors), tensors, g)

    return Case(name, name, shape, make, tolerance=1e-3, **options)


def attention_case(B: int, H: int, T: int, D: int) -> Case:
    """Attention forward and backward; q, k, v (B, H, T, D)"""
    f = lambda api, q, k, v: api.nn.functional.scaled_dot_product_attention(q, k, v)
    qkv = [lambda seed=seed: normal(B, H, T, D, seed=seed) for seed in range(3)]
    return with_gradients("attention", f"T={T}", f, *qkv, memory=("attention", B, H, T, D))


def conv_case(C: int, K: int, H: int, R: int, N: int) -> Case:
    """conv2d forward and backward; x (N, C, H, H), w (K, C, R, R)"""
    f = lambda api, x, w: api.nn.functional.conv2d(x, w, None, 1, R // 2)
    x, w = lambda: normal(N, C, H, H), lambda: normal(K, C, R, R, seed=1) / math.sqrt(C * R * R)
    return with_gradients("conv2d", f"N={N}, C={C}", f, x, w, memory=("conv2d", C, K, H, R, N))
