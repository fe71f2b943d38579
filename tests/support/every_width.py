"""Check every CPU variant of the kernels that are made of register tiles against the reference, and print which ran.

python tests/support/every_width.py [BYTES COUNT]     as if the CPU had so many vector registers of so many bytes

LLVM splits vectors that this CPU's registers do not hold, so that any width runs anywhere, though slowly.
"""

import json
import sys

import numpy as np

from tinygen import kernels
from tinygen.kernels.matmul import register_loops
from tinygen.kernels.runtime import dispatch

DOUBLE = (
    "conv2d_weight_grad",
    "matmul",
)  # also in float64; compiling all of them again would take as long again
rng = np.random.default_rng(0)


def normal(*shape, dtype="f"):
    return rng.standard_normal(shape).astype(dtype)


def arguments(dtype):
    """kernel -> argument lists: sides that are no multiple of a tile's, and some that are smaller than one"""
    n = lambda *shape: normal(*shape, dtype=dtype)
    at = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    apart = at | {"stride": (2, 1), "padding": ((0, 1), (2, 0)), "dilation": (1, 2), "groups": 3}
    convolutions = []
    for x, w, how in (n(3, 30, 9, 10), n(45, 30, 3, 3), at), (n(2, 9, 11, 8), n(15, 3, 3, 2), apart):
        with kernels.use(conv2d="reference"):
            g = kernels.conv2d(x, w, **how)
        convolutions.append((x, w, n(*g.shape), how))
    q, k, v, bias = n(2, 3, 39, 21), n(2, 3, 45, 21), n(2, 3, 45, 19), n(1, 3, 39, 45)
    how = {"scale": 0.3, "causal": False}
    with kernels.use(attention="reference"):
        y, lse = kernels.attention(q, k, v, bias, **how)
    M, K, N = 203, 261, 150
    products = [(n(M, K), n(K, N)), (n(M, K), n(N, K).T), (n(K, M).T, n(K, N)), (n(3, 5), n(5, N))]
    return {
        "conv2d": [((x, w), how) for x, w, _, how in convolutions],
        "conv2d_input_grad": [((g, w), how | {"shape": x.shape}) for x, w, g, how in convolutions],
        "conv2d_weight_grad": [
            ((x, g), how | {"shape": w.shape}) for x, w, g, how in convolutions[-1 if dtype == "d" else 0 :]
        ],
        "attention": [((q, k, v, bias), how)],
        "attention_grad": [((n(*y.shape), q, k, v, bias, y, lse), how | {"needs_bias": False})],
        "matmul": [(pair, {}) for pair in products],
        "linear": [((a, n(N, a.shape[1]), n(N)), {}) for a, _ in products[::3]],
        "linear_grad": [
            ((n(len(a), N), a, n(N, a.shape[1])), {"needs": (True,) * 3}) for a, _ in products[::3]
        ],
    }


def arrays(result):
    return [a for a in (result if isinstance(result, tuple) else (result,)) if a is not None]


def check(name: str, variant: str, args, how, tolerance: float) -> None:
    found, expected = ([], [])
    for results, chosen in (found, variant), (expected, "reference"):
        with kernels.use(**{name: chosen}):
            results += arrays(getattr(kernels, name)(*args, **how))
    assert len(found) == len(expected), (name, variant)
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, (name, variant)
        error = np.abs(ours - theirs).max() / np.abs(theirs).max()
        assert error <= tolerance, f"{name}={variant}: {error:.1e} of the largest value"


def main(argv) -> None:
    if argv:
        register_loops.BYTES, register_loops.COUNT = map(int, argv)
    ran = {}
    for dtype, tolerance in ("f", 1e-5), ("d", 1e-12):
        for name, calls in arguments(dtype).items():
            if dtype == "d" and name not in DOUBLE:
                continue
            for variant, _, usable in dispatch.kernel_of_name(name).ladder["cpu"]:
                for args, how in (
                    calls if usable is not dispatch.for_readers and variant != "reference" else ()
                ):
                    if usable is None or usable(*args, **how):
                        check(name, variant, args, how, tolerance)
                        ran.setdefault(name, {})[variant] = True
    width = register_loops.BYTES, register_loops.COUNT
    print(json.dumps({"width": width, "ran": {name: list(variants) for name, variants in ran.items()}}))


if __name__ == "__main__":
    main(sys.argv[1:])
