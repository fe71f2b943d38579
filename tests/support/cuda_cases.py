"""The arguments with which every CUDA variant of a kernel is checked against its reference.

For each kernel there is a function of the same name that takes `a`, which makes arrays, and yields (args, attrs) of a
call.  Sizes are irregular: zero, 1, primes, not multiples of a tile.  `TOLERANCE` holds exceptions.
"""

from __future__ import annotations

import math

import numpy as np

from tinygen import kernels


class Arrays:
    """Makes random numpy or cupy arrays with a given memory layout, and the same values every time."""

    def __init__(self, xp=np, seed: int = 0) -> None:
        self.xp, self.rng = xp, np.random.default_rng(seed)

    def __call__(self, *shape: int, dtype=np.float32):
        """standard normal values, contiguous"""
        return self.xp.asarray(self.rng.standard_normal(shape).astype(dtype))

    def turned(self, *shape: int):
        """With the last two axes swapped in memory."""
        return self(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2)

    def stepped(self, *shape: int):
        """With every second element along the last axis, starting at the second, and reversed along the first."""
        return self(*shape[:-1], 2 * shape[-1] + 1)[::-1, ..., 1::2]

    def shifted(self, *shape: int):
        """Contiguous, but not aligned to 16 bytes."""
        return self(math.prod(shape) + 1)[1:].reshape(shape)


# The largest error, as a fraction of the largest magnitude in the reference's result in float64.
TOLERANCE: dict[str, float] = {
    "attention_grad": 5e-6  # weights (exponentials of sums of 128 products) times differences of such sums
}

# Kernels whose results have the same bits as the reference.
EXACT = {"set_words", "philox_words", "philox_uniforms", "philox_bernoullis", "collect"}


def matmul(a: Arrays):
    for m, k, n in (
        (1, 1, 1),
        (3, 5, 7),
        (33, 31, 65),
        (129, 67, 130),
        (128, 24, 256),
        (64, 8, 64),
        (1, 257, 2),
    ):
        yield (a(m, k), a(k, n)), {}
        yield (a(m, k), a.turned(k, n)), {}
        yield (a.turned(m, k), a(k, n)), {}
        yield (a.turned(m, k), a.turned(k, n)), {}
        yield (a.stepped(m, k), a.stepped(k, n)), {}
        yield (a.shifted(m, k), a.shifted(k, n)), {}
    yield (a(260, 12), a(12, 132)), {}  # several tiles of 128, all of float4
    for m, k, n in (0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0):
        yield (a(m, k), a(k, n)), {}
    for x, w in (
        ((3, 5, 7), (7, 4)),
        ((5, 7), (3, 7, 4)),
        ((2, 1, 5, 7), (3, 7, 4)),
        ((2, 3, 5, 8), (2, 3, 8, 4)),
        ((1, 5, 7), (1, 7, 4)),
        ((4, 1, 7), (1, 7, 1)),
        ((2, 0, 3), (3, 2)),
        ((0, 2, 3), (3, 2)),
    ):
        yield (a(*x), a(*w)), {}
        yield (a.turned(*x), a.turned(*w)), {}
        yield (a.stepped(*x), a.stepped(*w)), {}
    yield (a(7), a(7)), {}
    yield (a(7), a(2, 7, 3)), {}
    yield (a(2, 3, 7), a(7)), {}
    yield (a(0), a(0, 3)), {}


ONE, NONE, SAME = (1, 1), ((0, 0), (0, 0)), ((1, 1), (1, 1))

# x shape, w shape, stride, padding, dilation, groups
CONVOLUTIONS = [
    ((1, 1, 1, 1), (1, 1, 1, 1), ONE, NONE, ONE, 1),
    ((2, 3, 5, 7), (7, 3, 3, 3), ONE, SAME, ONE, 1),
    ((2, 17, 8, 8), (67, 17, 3, 3), ONE, SAME, ONE, 1),  # more rows than a tile, and float4 in y and gx
    ((3, 71, 5, 5), (5, 71, 1, 1), ONE, NONE, ONE, 1),
    ((1, 66, 6, 4), (8, 66, 1, 2), ONE, NONE, ONE, 1),
    ((3, 9, 31, 13), (11, 9, 3, 3), ONE, SAME, ONE, 1),  # the sums of the weight gradient are in two parts
    ((5, 2, 9, 9), (10, 2, 4, 4), (2, 2), SAME, ONE, 1),
    ((2, 4, 7, 8), (9, 4, 3, 2), (3, 2), ((2, 0), (1, 1)), ONE, 1),
    ((2, 3, 9, 9), (4, 3, 1, 1), (3, 3), NONE, ONE, 1),  # most of x is read by no tap
    ((1, 9, 12, 11), (4, 9, 3, 3), ONE, ((2, 2), (2, 2)), (2, 2), 1),
    ((2, 9, 12, 11), (4, 9, 3, 3), (2, 2), ((0, 3), (4, 1)), (3, 2), 1),
    ((1, 8, 13, 9), (3, 8, 4, 3), (4, 6), ((1, 2), (0, 3)), (2, 4), 1),  # stride and dilation share a factor
    ((2, 3, 3, 3), (4, 3, 3, 3), ONE, ((5, 6), (7, 8)), ONE, 1),  # windows that see only padding
    ((1, 2, 1, 37), (3, 2, 1, 5), ONE, ((0, 0), (2, 2)), ONE, 1),
    ((1, 2, 2, 3), (9, 2, 2, 2), (5, 5), ((0, 4), (4, 0)), ONE, 1),  # strides longer than x
    ((2, 12, 7, 5), (18, 6, 3, 3), ONE, SAME, ONE, 2),
    ((2, 6, 8, 6), (15, 2, 3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2), 3),
    ((3, 7, 6, 5), (7, 1, 3, 3), ONE, SAME, ONE, 7),  # depthwise
    ((1, 5, 6, 5), (10, 1, 3, 3), (2, 2), SAME, ONE, 5),
    ((0, 3, 5, 5), (2, 3, 3, 3), ONE, SAME, ONE, 1),
    ((2, 0, 5, 5), (2, 0, 3, 3), ONE, SAME, ONE, 1),
    ((2, 3, 5, 5), (0, 3, 3, 3), ONE, SAME, ONE, 1),
    ((2, 3, 2, 5), (2, 3, 3, 3), ONE, NONE, ONE, 1),  # no window fits
]  # fmt: skip


def _convolutions(a: Arrays, arguments):
    """`arguments(x, w, y)` gives the shapes of the two arrays and the attribute `shape`; various memory layouts."""
    for x, w, stride, padding, dilation, groups in CONVOLUTIONS:
        at = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
        y = (x[0], w[0], *kernels.output_size(x[2:], w[2:], stride, padding, dilation))
        first, second, shape = arguments(x, w, y)
        yield (a(*first), a(*second)), at | shape
        if math.prod(x) < 500:
            yield (a.turned(*first), a.stepped(*second)), at | shape
            yield (a.stepped(*first), a.shifted(*second)), at | shape


def conv2d(a: Arrays):
    return _convolutions(a, lambda x, w, y: (x, w, {}))


def conv2d_input_grad(a: Arrays):
    return _convolutions(a, lambda x, w, y: (y, w, {"shape": x}))


def conv2d_weight_grad(a: Arrays):
    return _convolutions(a, lambda x, w, y: (x, y, {"shape": w}))


def linear(a: Arrays):
    for m, k, n in (1, 1, 1), (3, 5, 7), (65, 31, 67), (128, 24, 256), (7, 0, 5), (0, 3, 4), (1300, 8, 1284):
        yield (a(m, k), a(n, k), a(n)), {}
        yield (a(m, k), a(n, k), None), {}
    for m, k, n in (3, 5, 7), (66, 34, 68):
        yield (a.turned(m, k), a.turned(n, k), a.stepped(1, n)[0]), {}
        yield (a.stepped(m, k), a.shifted(n, k), a.shifted(n)), {}


def linear_grad(a: Arrays):
    """g, x, weight, and which gradients are wanted"""
    for m, k, n in (
        (1, 1, 1),
        (3, 5, 7),
        (65, 31, 67),
        (130, 24, 256),
        (7, 0, 5),
        (0, 3, 4),
        (4, 3, 0),
        (9, 1284, 1300),
    ):
        yield (a(m, n), a(m, k), a(n, k), (True, True, True)), {}
    for m, k, n in (3, 5, 7), (66, 34, 68):
        yield (a.turned(m, n), a.stepped(m, k), a.shifted(n, k), (True, True, True)), {}
        yield (a(m, n), a(m, k), None, (False, True, True)), {}
        yield (a(m, n), None, a(n, k), (True, False, False)), {}
        yield (a(m, n), None, None, (False, False, True)), {}
        yield (a(m, n), a(m, k), a(n, k), (True, True, False)), {}


def conv2d_layer(a: Arrays):
    for (x, w), at in conv2d(a):
        # the CPU's variants, which the reference calls, expect that a window fits
        if x.shape[2] >= w.shape[2]:
            yield (x, w, a(len(w))), at


def conv2d_layer_grad(a: Arrays):
    every, first = (True, True, True), True
    for (g, w), at in conv2d_input_grad(a):
        shape = at.pop("shape")
        shapes = {"x_shape": shape, "w_shape": w.shape}
        yield (g, a(*shape), w), at | shapes | {"needs": every}
        if first:
            yield (g, None, w), at | shapes | {"needs": (True, False, False)}
            yield (g, a(*shape), None), at | shapes | {"needs": (False, True, False)}
            yield (g, a(*shape), None), at | shapes | {"needs": (False, True, True)}
            yield (g, None, None), at | shapes | {"needs": (False, False, True)}
        first = False


# Kernels that write into their arguments, and which ones.
WRITTEN = {
    "collect": (0,),
    "adam": (0, 2, 3),
    "average_all": (0,),
    "clip_all": (0,),
    "add_rows": (0,),
    "philox_words": (0,),
    "set_words": (0,),
    "philox_uniforms": (0,),
    "philox_normals": (0,),
}


def adam(a: Arrays):
    rate = dict(lr=1e-2, beta1=0.9, beta2=0.99, eps=1e-8)
    sizes = (1,), (17, 31), (0,), (4096,), (3, 4099), (5, 4096)
    for decay, decoupled in (0.0, False), (0.1, False), (0.1, True):
        for shifted in None, 0, 1, 2, 3:
            makes = [a.shifted if i == shifted else a for i in range(4)]
            p, g, m, v = ([make(*size) for size in sizes] for make in makes)
            for each in v:
                each *= each
                each += 0.01  # with v = 0, a large m gives a step whose digits are the rounding of g
            yield (
                (p, g, m, v),
                {**rate, "weight_decay": decay, "decoupled": decoupled, "step": [3, 3, 3, 1, 3, 3]},
            )
    empty = [a(0)]
    yield (empty, empty, empty, empty), {**rate, "weight_decay": 0.0, "decoupled": False, "step": [1]}

    several = [a(5, 7), a(3)], [a.turned(5, 7), a(3)], [a(5, 7), a(3)], [a(5, 7) ** 2, a(3) ** 2]
    yield several, {**rate, "weight_decay": 0.1, "decoupled": False, "step": [2, 2]}


LISTS = (), (17, 31), (0,), (4096,), (3, 4099), (5, 4096), (1,)


def norm_of_all(a: Arrays):
    for make in a, a.shifted:
        yield ([make(*size) for size in LISTS],), {}
    yield ([a(0)],), {}
    yield ([a(2, 3), a(0), a(4100) * np.float32(1e-18), a(5) * np.float32(1e18)],), {}
    yield ([a(8193) * np.float32(1e30)],), {}  # whose squares are more than float32 holds
    yield ([a(3), a(4) * np.float32(np.nan)],), {}


def clip_all(a: Arrays):
    for make in a, a.shifted:
        for norm in 0.3, 1e-9, 7.0, math.inf, math.nan:
            x = [make(*size) for size in LISTS]
            yield (x, a.xp.asarray(np.float32(norm)), 0.9), {}
    yield ([a(0)], a.xp.asarray(np.float32(2)), 1.0), {}
    yield ([a.stepped(5, 6), a(7)], a.xp.asarray(np.float32(2)), 1.0), {}


def average_all(a: Arrays):
    for shifted in None, 0, 1:
        lists = [[(a.shifted if i == shifted else a)(*size) for size in LISTS] for i in range(2)]
        yield tuple(lists), {"rest": 0.125}
    yield ([a(0)], [a(0)]), {"rest": 0.5}
    yield ([a(4, 5), a(3)], [a.turned(4, 5), a(3)]), {"rest": 0.5}
    yield ([a(5000)], [a(5000)]), {"rest": 0.5, "numbers": a.xp.asarray(np.float32([0.25]))}


def attention(a: Arrays):
    """q, k, v and bias; the widths cover the kernels for 32, 64 and 128 columns."""

    def mask(*shape):
        bias = a.rng.standard_normal(shape).astype(np.float32)
        bias[a.rng.random(shape) < 0.3] = -np.inf
        bias[..., :1, :] = -np.inf  # the first query sees no key
        return a.xp.asarray(bias)

    def call(q, k, v, bias=None, causal=False):
        return (q, k, v, bias), dict(scale=max(q.shape[-1], 1) ** -0.5, causal=causal)

    for (*lead, L), T, D, E in (
        ((1,), 1, 1, 1),
        ((2, 3, 1), 5, 3, 7),
        ((2, 1, 33), 31, 8, 32),
        ((65,), 67, 37, 5),
        ((2, 67), 65, 20, 61),
        ((1, 1, 64), 128, 64, 64),
        ((35,), 70, 128, 100),
        ((129,), 35, 65, 3),
        ((34,), 33, 2, 127),
    ):
        shapes = (*lead, L, D), (*lead, T, D), (*lead, T, E)
        for causal in False, True:
            yield call(*(a(*shape) for shape in shapes), causal=causal)
        yield call(*(a(*shape) for shape in shapes), bias=mask(*lead, L, T))
        yield call(*(a(*shape) for shape in shapes), bias=mask(L, T), causal=True)
        for make in a.turned, a.stepped, a.shifted:
            yield call(*(make(*shape) for shape in shapes), bias=make(L, T))
        repeated = a.xp.broadcast_to(a(*lead, T, 1), shapes[2])
        yield call(a(*shapes[0]), a(*shapes[1]), repeated, bias=a(T))
    for L, T, D, E in (0, 3, 2, 2), (3, 0, 2, 2), (3, 4, 0, 5), (3, 4, 5, 0), (0, 0, 0, 0), (3, 4, 0, 0):
        for bias in None, a(L, T):
            yield call(a(2, L, D), a(2, T, D), a(2, T, E), bias=bias)
    yield call(a(0, 3, 2), a(5, 2), a(5, 4))
    heads = [a(2, T, 3, 8).swapaxes(1, 2) for T in (5, 9, 9)]  # split from rows of 24
    for bias in None, a(2, 1, 1, 9), a(3, 5, 1), a(1), a(2, 3, 9, 5).swapaxes(-1, -2), a(1, 18)[:, ::2]:
        yield call(*heads, bias=bias)
    yield call(a(2, 1, 5, 4), a(3, 9, 4), a(1, 3, 9, 2), bias=mask(2, 1, 5, 9))
    yield call(a(1, 5, 4), a(2, 2, 3, 9, 4), a(2, 1, 1, 9, 2))  # five dimensions
    yield call(a(5, 4), a(2, 3, 9, 4), a(9, 2), causal=True)


def attention_grad(a: Arrays):
    """g, the arguments of attention and its results; with and without the gradient of the bias."""
    for position, ((q, k, v, bias), attrs) in enumerate(attention(a)):
        with kernels.use(attention="reference"), np.errstate(all="ignore"):
            y, lse = kernels.attention(q, k, v, bias, **attrs)
        make = (a, a.turned, a.stepped, a.shifted)[position % 4]
        yield (make(*y.shape), q, k, v, bias, y, lse), {**attrs, "needs_bias": position % 3 > 0}


def _marked(x, *places, value=-math.inf):
    """x with `value` in some places"""
    for place in places:
        x[place] = value
    return x


def _rows(a: Arrays, count: int):
    """`count` arrays of one shape, and dim: rows of 1, of about a warp's 32, of what a block holds, and longer"""
    for rows, size in (1, 1), (9, 3), (3, 31), (2, 33), (9, 256), (2, 257), (2, 1021), (1, 4100), (1, 16389):
        yield [a(rows, size) for _ in range(count)], -1
        if size > 250:
            continue
        yield [a.stepped(2, rows, size) for _ in range(count)], 2
        yield [a.turned(rows, size) for _ in range(count)], 1
        yield [a.shifted(rows, 4 * size) for _ in range(count)], -1
        yield [a(rows, size, 5) for _ in range(count)], 1
    yield [a(1, 16388 * 2) for _ in range(count)], -1
    yield [a(37, 2, 129) for _ in range(count)], 0
    yield [a(3) for _ in range(count)], 0
    for shape in (0, 3), (3, 0), (0,):
        yield [a(*shape) for _ in range(count)], -1


def softmax(a: Arrays):
    for (x,), dim in _rows(a, 1):
        yield (x, dim), {}
    yield (50 * a(2, 70) + 1000, -1), {}
    inf, nan = math.inf, math.nan
    for size in 1, 5, 64, 290:  # row 0: only -inf; 1 and 2: one -inf; 3 and 4: nan and inf
        x = _marked(a(6, size), 0, (1, 0), (2, size // 2))
        yield (_marked(_marked(x, (3, -1), (5, 0), value=nan), (4, size // 3), value=inf), -1), {}
        yield (_marked(_marked(_marked(a(2, size), 0, 1), (0, -1), value=nan), (1, 0), value=3.0), -1), {}


log_softmax = softmax
TOLERANCE["log_softmax"] = TOLERANCE["log_softmax_grad"] = 4e-6  # logarithms as large as the inputs


def _probabilities(x, dim):
    """|x| divided by its sum"""
    return abs(x) / abs(x).sum(axis=dim, keepdims=True)


def softmax_grad(a: Arrays):
    for (g, x), dim in _rows(a, 2):
        yield (g, _probabilities(x, dim), dim), {}
    yield (a(3, 300), _marked(_probabilities(a(3, 300), -1), (0, 7), 2, value=math.nan), -1), {}


def log_softmax_grad(a: Arrays):
    for (g, x), dim in _rows(a, 2):
        yield (g, a.xp.log(_probabilities(x, dim)), dim), {}
    yield (a(3, 300), _marked(-abs(a(3, 300)), (0, 7), 2), -1), {}


def sum(a: Arrays):
    for shape in (
        (1,),
        (31,),
        (33, 5),
        (4099,),
        (3, 8211),
        (1037, 3),
        (2, 515, 33),
        (5, 1, 7),
        (2, 3, 4, 5),
        (70, 40),
    ):
        for dims in {tuple(range(len(shape))), (0,), (len(shape) - 1,), tuple({0, len(shape) - 1}), (-1,)}:
            yield (a(*shape), dims), {}
        yield (a.stepped(1, *shape), (1,)), {"keepdims": True}
        yield (a.shifted(*shape), tuple(range(len(shape)))), {}
    yield (a(2, 52, 3), (1,)), {}  # rows left over after groups of four
    yield (a.turned(3, 600, 5), (0, 2)), {"keepdims": True}
    yield (a(2, 3, 4, 5), (1, 3)), {}
    yield (a(3, 2), ()), {}
    for shape in (0,), (3, 0), (0, 3):
        yield (a(*shape), (0,)), {}
        yield (a(*shape), tuple(range(len(shape)))), {}
    yield (_marked(_marked(a(5, 700), (1, 3)), (2, -1), value=math.nan), (1,)), {}


TOLERANCE["sum"] = 4e-5  # sums of thousands of numbers that cancel, added one after another in `naive`


def _normalized(a: Arrays):
    """(x, dims, shape of weight and bias): layer, group, instance and batch norm"""
    for rows, size in (1, 1), (3, 2), (9, 31), (9, 33), (2, 256), (11, 257), (3, 1030), (2, 8204):
        yield a(rows, size), (1,), (size,)
        if size < 50:
            yield a(rows, 5, 4 * size), (1, 2), (5, 4 * size)
            yield a.stepped(rows, size), (1,), (size,)
            yield a.shifted(rows, 4 * size), (1,), (4 * size,)
    yield a(2, 16385), (1,), (16385,)
    for N, G, C, S in (
        (1, 1, 1, 2),
        (2, 3, 2, 15),
        (2, 2, 3, 64),
        (3, 1, 5, 7),
        (1, 2, 1, 4300),
        (1, 2, 9, 1900),
    ):
        yield a(N, G, C, S), (2, 3), (G, C, 1)
    yield a.turned(2, 3, 4, 8), (2, 3), (3, 4, 1)
    yield a.shifted(2, 3, 4, 8), (2, 3), (3, 4, 1)
    for N, C, S in (2, 3, 16), (5, 1, 33), (33, 2, 4), (2, 2, 2500), (7, 5, 1):
        yield a(N, C, S), (0, 2), (1, C, 1)
        yield a(N, C, S, 2), (2, 3), (1, C, 1, 1)
    for N, C in (9, 5), (2, 33), (70, 64), (7, 100), (31, 2), (65, 37):
        yield a(N, C), (0,), (1, C)
    yield a.turned(9, 34), (0,), (1, 34)
    for shape in (0, 3), (3, 0):
        yield a(*shape), (1,), shape[1:]
    yield a(0, 3, 4), (0, 2), (1, 3, 1)


def normalize(a: Arrays):
    for number, (x, dims, shape) in enumerate(_normalized(a)):
        present = number % 4  # mostly both, sometimes one or none
        vectors = (a(*shape) if present != 1 else None, a(*shape) if present != 2 else None)
        yield (x, *((None, None) if number % 7 == 6 else vectors), dims, 1e-5), {}
        if 30 <= math.prod(x.shape[d] for d in dims) <= 1100:
            x = _marked(
                x + 100, (0,) * x.ndim, value=130
            )  # a mean far from 0: the variance must not come from a difference of large numbers
            yield (x, *vectors, dims, 1e-5), {}
    x = _marked(_marked(a(4, 300), (0, 5)), (1, 299), value=math.nan)
    yield (x, a(300), a(300), (1,), 1e-5), {}


normalize_silu = normalize
TOLERANCE["normalize"] = TOLERANCE["normalize_silu"] = 2e-5  # 6 decimals in numbers around 100


def _statistics(x, dims):
    """mean and var of x, as float32 arrays of the same module"""
    wide = x.astype(np.float64)
    mean = wide.mean(axis=dims, keepdims=True)
    var = ((wide - mean) ** 2).mean(axis=dims, keepdims=True)
    return mean.astype(np.float32), var.astype(np.float32)


def normalize_grad(a: Arrays):
    for number, (x, dims, shape) in enumerate(_normalized(a)):
        if x.size:
            weight = a(*shape) if number % 3 else None
            shape = None if weight is None and number % 2 else shape
            yield (a(*x.shape), x, weight, *_statistics(x, dims), dims, 1e-3, shape), {}
    yield (a(3, 0), a(3, 0), a(0), a(3, 1), abs(a(3, 1)), (1,), 1e-3, (0,)), {}
    yield (a(0, 3), a(0, 3), a(3), a(0, 1), a(0, 1), (1,), 1e-3, (3,)), {}
    x = a(700, 5)  # more rows than the gradient has blocks
    yield (a(700, 5), x, a(5), *_statistics(x, (1,)), (1,), 1e-3, (5,)), {}


def normalize_silu_grad(a: Arrays):
    for number, (x, dims, shape) in enumerate(_normalized(a)):
        if x.size:
            weight, bias = (a(*shape) if number % n else None for n in (3, 4))
            shape = None if weight is None and bias is None else shape
            yield (a(*x.shape), x, weight, bias, *_statistics(x, dims), dims, 1e-3, shape), {}


TOLERANCE["normalize_grad"] = TOLERANCE["normalize_silu_grad"] = 2e-5  # sums of up to 16385 numbers


def add_rows(a: Arrays):
    def rows(n, most, dtype=np.int64):
        return a.xp.asarray(a.rng.integers(0, most, n).astype(dtype))

    for V, D, n in (1, 1, 1), (5, 3, 31), (7, 2, 32), (3, 130, 97), (40, 5, 65), (2, 1, 200), (1000, 3, 33):
        yield (a(V, D), rows(n, V), a(n, D)), {}
        yield (a(V, D), -1 - rows(n, V, np.int32), a.stepped(n, D)), {}
    yield (a(9, 4), rows(100, 1) + 3, a(100, 4)), {}  # all to one row, across several blocks
    # rows that end inside a block, at its end, after it
    yield (a(9, 4), a.xp.arange(100) // 33, a(100, 4)), {}
    yield (a(9, 4), a.xp.arange(96) // 32, a(96, 4)), {}
    for V, D, n in ((3, 0, 2),):
        yield (a(V, D), rows(n, max(V, 1)), a(n, D)), {}


STREAMS = (0, 0, 0, 0), (2**63 + 5, 2**32 - 1, 2**40 + 3, 7), (2**32, 3, 2**64 - 1, 2**32 - 1000)


def _blocks(a: Arrays, dtype):
    """Arrays of 0, 1, 2, about a block's threads, and several blocks of numbers, with a stream's key and counter."""
    for key in STREAMS:
        for blocks in 1, 2, 255, 256, 257, 1000, 0:
            yield (a.xp.zeros(4 * blocks, dtype), *key), {}


def set_words(a: Arrays):
    for n in 1, 3, 16, 17, 40:
        yield (a.xp.zeros(48, np.uint64), [2**64 - 1 - 7 * i for i in range(n)]), {}


def philox_words(a: Arrays):
    yield from _blocks(a, np.uint32)


def philox_uniforms(a: Arrays):
    yield from _blocks(a, np.float32)


def philox_normals(a: Arrays):
    yield from _blocks(a, np.float32)
    yield from _blocks(a, np.float64)


TOLERANCE["philox_normals"] = 2**-24  # one rounding to float32
TOLERANCE_OF_DOUBLE = 2**-51  # of numbers computed in float64


def philox_bernoullis(a: Arrays):
    for key in STREAMS:
        for make in a, a.shifted:
            for n in 1, 2, 3, 4, 5, 1021, 1023, 1024, 1025, 2050, 0:
                yield (abs(make(n)), *key), {}
    p = a(8)
    p[:4], p[4:] = 0, a.xp.asarray(np.float32([1, math.nan, -1, math.inf]))
    yield (p, *STREAMS[0]), {}


def _one_shape(a: Arrays, count: int, *numbers):
    """`count` arrays of one shape: fewer than, as many as and more than a block's 1024 elements, in every layout."""
    for shape in (1,), (3,), (1023,), (1024,), (1025,), (2, 1024), (3, 5, 7), (3, 1030), (0,), (3, 0), ():
        yield (*(a(*shape) for _ in range(count)), *numbers), {}
    for make in a.turned, a.stepped, a.shifted:
        for other in range(count):
            makes = [make if i == other else a for i in range(count)]
            yield (*(each(8, 258) for each in makes), *numbers), {}
    wide = (100 * a(2, 1024) for _ in range(count))  # where exponentials overflow, and beyond
    yield (*wide, *numbers), {}


def sigmoid(a: Arrays):
    yield from _one_shape(a, 1)


def sigmoid_grad(a: Arrays):
    yield from _one_shape(a, 2)


silu = gelu = gelu_tanh = sigmoid
silu_grad = gelu_grad = gelu_tanh_grad = sigmoid_grad


def relu_grad(a: Arrays):
    yield from _one_shape(a, 2)
    g, y = a(1030), a(1030)
    y[:9], y[500:600] = math.nan, 0
    yield (g, y), {}


def leaky_relu(a: Arrays):
    yield from _one_shape(a, 1, 0.2)


def leaky_relu_grad(a: Arrays):
    yield from _one_shape(a, 2, 0.2)


EXACT |= {"relu_grad", "leaky_relu", "leaky_relu_grad"}


def bce_with_logits(a: Arrays):
    yield from _one_shape(a, 2)


def bce_with_logits_grad(a: Arrays):
    yield from _one_shape(a, 3)
    for shape in (3, 1030), (1024,), (2, 0):  # as in the gradient of a sum: one number, broadcast
        yield (a.xp.broadcast_to(a(1), shape), a(*shape), a(*shape)), {}


def _classes(a: Arrays):
    """Logits with rows about as long as a warp has threads, and longer; classes, some of them ignored; weights."""
    for rows, classes in (1, 1), (7, 2), (8, 10), (9, 31), (17, 32), (5, 33), (3, 257), (0, 4):
        index = a.xp.asarray(a.rng.integers(-1, classes, (rows, 1)))
        for make in a, a.shifted:
            yield make(rows, classes, 1), index, abs(a(rows, 1))
    yield 100 * a(4, 65, 1) + 1000, a.xp.zeros((4, 1), np.int64), abs(a(4, 1))
    yield a.stepped(4, 65, 1), a.xp.zeros((4, 1), np.int64), abs(a.stepped(4, 1))


def cross_entropy(a: Arrays):
    for args in _classes(a):
        yield args, {}


def cross_entropy_grad(a: Arrays):
    for x, index, weights in _classes(a):
        most = x.max(axis=1)
        log_sum = a.xp.log(a.xp.exp(x - most[:, None]).sum(axis=1))
        g = a(*index.shape)
        if len(g):
            g[0, 0] = math.inf if int(index[0, 0]) < 0 else g[0, 0]  # a mean over nothing
        yield (g, x, index, weights, most, log_sum), {}


def collect(a: Arrays):
    out = lambda: a.xp.zeros(700, np.float64)
    yield (out(), [a()], 0), {}
    yield (out(), [a(1)], 3), {}
    yield (out(), [a(), a(2, 3), a(0), a(5)], 7), {}
    yield (out(), [a() for _ in range(8)], 1), {}
    yield (out(), [a(), *(a(n) for n in range(11)), a(3, 129)], 2), {}
