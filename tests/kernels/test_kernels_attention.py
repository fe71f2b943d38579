"""Attention in blocks against its reference, the memory it takes, and the product tile that it uses."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import tinygen
from tinygen import kernels
from tinygen.nn import functional as F

SIZES = {  # N, H, L, T, D, E
    "DiT": (2, 2, 49, 49, 24, 24),
    "long": (1, 1, 300, 300, 64, 64),
    "cross": (1, 2, 130, 257, 32, 16),
    "primes": (1, 1, 131, 127, 37, 5),
    "one query": (2, 1, 1, 389, 3, 7),
    "one key": (1, 2, 300, 1, 8, 1),
    "block": (1, 1, 128, 128, 1, 33),
}
BIASES = {"none": None, "scores": (1, 1), "keys": (0, 1), "one": (0, 0)}  # which of L and T the bias has


def arrays(dtype, N, H, L, T, D, E, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (N, H, L, D), (N, H, T, D), (N, H, T, E), (N, H, L, E)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def forward_and_backward(variant, q, k, v, g, bias=None, causal=False, scale=0.3):
    with kernels.use(attention=variant, attention_grad=variant), np.errstate(all="ignore"):
        y, lse = kernels.attention(q, k, v, bias, scale=scale, causal=causal)
        grads = kernels.attention_grad(g, q, k, v, bias, y, lse, scale=scale, causal=causal, needs_bias=False)
    return [y, lse, *grads[:3]]


def compare(q, k, v, g, *rest):
    tolerance = 2e-5 if q.dtype == np.float32 else 1e-13
    expected = forward_and_backward("reference", q, k, v, g, *rest)
    found = forward_and_backward("tiled", q, k, v, g, *rest)
    for name, a, b in zip(("y", "lse", "gq", "gk", "gv"), found, expected):
        assert a.dtype == b.dtype and a.shape == b.shape, name
        largest = np.abs(b[np.isfinite(b)]).max(initial=1)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * largest, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("size", SIZES)
def test_tiled_matches_the_reference(size, bias, causal, dtype):
    q, k, v, g = arrays(dtype, *SIZES[size])
    if BIASES[bias] is not None:
        L, T = (n if there else 1 for n, there in zip(SIZES[size][2:4], BIASES[bias]))
        rng = np.random.default_rng(1)
        bias = rng.standard_normal((L, T)).astype(dtype)
        bias[rng.random((L, T)) < 0.2] = -np.inf  # with a single key, some queries see none
    else:
        bias = None
    compare(q, k, v, g, bias, causal)


def test_strides_and_broadcast_leading_dimensions():
    q, k, v, g = arrays("float32", 2, 3, 70, 90, 16, 16)
    turned = [np.ascontiguousarray(x.transpose(3, 2, 0, 1)).transpose(2, 3, 1, 0) for x in (q, k, v, g)]
    compare(*turned)
    compare(q[..., ::-1], k[:, :, ::-1, ::-1], v[..., ::2], g[..., ::2])
    compare(q[:, :1], k[:1], v, g, np.zeros((3, 1, 90), "float32"))
    compare(q[0], k[0], v[0], g[0])
    compare(q[0, 0], k, v, g)
    compare(np.stack([q, q]), np.stack([k, -k]), v, np.stack([g, g]))
    packed = np.frombuffer(b"\0" + q.tobytes(), np.uint8)[1:].view("float32").reshape(q.shape)
    assert not packed.flags.aligned
    compare(packed, k, v, g)


def test_large_scores_and_queries_that_see_no_key():
    q, k, v, g = arrays("float32", 1, 1, 200, 200, 8, 8)
    compare(q * 100, k, v, g)
    bias = np.zeros((200, 200), "float32")
    bias[50:150] = -np.inf
    compare(q, k, v, g, bias)
    y, lse, gq, *_ = forward_and_backward("tiled", q, k, v, g, bias)
    assert not y[0, 0, 50:150].any() and not gq[0, 0, 50:150].any() and (lse[0, 0, 50:150] == -np.inf).all()
    q[0, 0, 7, 3] = np.nan
    y = forward_and_backward("tiled", q, k, v, g)[0]
    assert np.isnan(y[0, 0, 7]).all() and np.isfinite(np.delete(y[0, 0], 7, axis=0)).all()


def test_tiled_runs_and_a_learned_bias_keeps_its_gradient():
    q, k, v, _ = (tinygen.tensor(x, requires_grad=True) for x in arrays("float32", 1, 2, 130, 130, 16, 16))
    bias = tinygen.zeros(130, 130)
    for learns, expected in ((False, "tiled"), (True, "reference")):
        bias.requires_grad_(learns)
        with kernels.runtime.dispatch.trace() as calls:
            F.scaled_dot_product_attention(q, k, v, bias).sum().backward()
        assert ("attention", "tiled") in calls and ("attention_grad", expected) in calls
    assert bias.grad.shape == (130, 130)


def peak(T: int) -> int:
    """The most bytes that forward and backward over T tokens hold at once, without the inputs."""
    q, k, v, g = (tinygen.tensor(x, requires_grad=True) for x in arrays("float32", 1, 2, T, T, 32, 32))
    tracemalloc.start()
    F.scaled_dot_product_attention(q, k, v).backward(g.detach())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_memory_grows_linearly():
    peak(256)  # the first call imports and compiles
    small, large, larger = peak(1024), peak(2048), peak(4096)
    assert large < 2.2 * small and larger < 2.2 * large
    assert larger < 12 * 4 * 2 * 4096 * 32  # y, three gradients, the sums of two of them, and little else
    with kernels.use(attention="reference", attention_grad="reference"):
        assert peak(2048) > 3.5 * peak(1024)


def test_the_same_bits_on_one_thread_and_on_two():
    code = (
        "import hashlib, numba, numpy as np; from test_kernels_attention import *\n"
        "q, k, v, g = arrays('float32', 1, 3, 400, 400, 32, 32)\n"
        "for n in (1, 2, 2):\n"
        "    numba.set_num_threads(n)\n"
        "    found = forward_and_backward('tiled', q, k, v, g)\n"
        "    print(hashlib.sha256(b''.join(x.tobytes() for x in found)).hexdigest())"
    )
    one, two, again = run(code, NUMBA_NUM_THREADS="2").split()
    assert one == two == again


def test_with_bounds_checked(tmp_path):
    code = (
        "from test_kernels_attention import *\n"
        "compare(*arrays('float32', 1, 2, 131, 150, 7, 5), np.zeros((131, 1), 'float32'), True)\n"
        "print('inside')"
    )
    out = run(code, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert out == "inside"


def run(code: str, **environment) -> str:
    here = os.path.dirname(__file__)
    path = os.pathsep.join([here, os.path.dirname(here)])
    environment = {**os.environ, **environment, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_product_tile_writes_only_its_block(dtype):
    loops = pytest.importorskip("tinygen.kernels.matmul.tile_loops")
    rng = np.random.default_rng(0)
    tile = loops.TILE_BYTES // np.dtype(dtype).itemsize
    for rows, depth, tiles in ((1, 1, 1), (3, 5, 2), (8, 0, 1), (13, 7, 1), (29, 64, 3), (0, 3, 1)):
        columns = tile * tiles
        a, b = (
            rng.standard_normal((rows, depth)).astype(dtype),
            rng.standard_normal((depth, columns)).astype(dtype),
        )
        c = rng.standard_normal((rows + 2, columns + 3)).astype(dtype)
        expected = c.copy()
        expected[1 : rows + 1, 2 : columns + 2] += a @ b
        for x in (a, np.asfortranarray(a)):
            out = c.copy()
            row, step = (stride // x.itemsize for stride in x.strides)
            at = (columns + 3 + 2, columns + 3)
            loops.add_product(out.ravel(), *at, x, 0, row, step, b.ravel(), 0, columns, rows, columns, depth)
            np.testing.assert_allclose(out, expected, rtol=0, atol=1e-4 if dtype == "float32" else 1e-13)
            out[1 : rows + 1, 2 : columns + 2] = c[1 : rows + 1, 2 : columns + 2]
            assert np.array_equal(out, c)
    with pytest.raises(IndexError, match="behind its array"):
        loops.add_product(c.ravel(), 0, tile, a, 0, 0, 0, b.ravel(), 0, tile, 100, tile, 1)


@pytest.mark.parametrize("dtype, least, error", [("float32", -86.9, 4e-7), ("float64", -708, 8e-16)])
def test_the_exponential_is_accurate_to_a_few_ulp(dtype, least, error):
    from numba import njit

    from tinygen.kernels.elementwise.loops import decay

    @njit
    def exponentials(x):
        out = np.empty_like(x)
        for i in range(x.size):
            out[i] = decay(x[i])
        return out

    x = np.concatenate([np.linspace(least, 1, 100001), [0]]).astype(dtype)
    found, expected = exponentials(x), np.exp(x.astype(np.longdouble))
    assert np.abs(found / expected - 1).max() < error and found[-1] == 1
    edge = exponentials(np.array([-np.inf, -1e30, least - 0.6, np.nan], dtype))
    assert not edge[:3].any() and np.isnan(edge[3])


@pytest.mark.parametrize("D", [4, 20])
def test_many_keys_are_as_accurate_as_few(D):
    """Errors do not grow with the number of blocks of keys: 4,097 keys, some with tiny weights."""
    x = np.repeat(np.random.default_rng(0).standard_normal((4097, 1)), D, 1).astype(np.float32)
    wide = x.astype(np.float64)
    with kernels.use(attention="reference"):
        right, _ = kernels.attention(wide[:64], wide, wide, None, scale=2 / D, causal=False)
    with kernels.use(attention="tiled"):
        found, _ = kernels.attention(x[:64], x, x, None, scale=2 / D, causal=False)
    assert np.abs(found - right).max() < 3e-6
