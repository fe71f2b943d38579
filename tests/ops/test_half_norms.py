"""float16: softmax, losses, attention and norms against float64, to one rounding of the result.

Values, gradients and gradients of gradients, with so many and so large terms that a sum in float16 would stop at
2048 or overflow.
"""

import numpy as np
import pytest

import tinygen as tg
import tinygen.nn.functional as F

rng = np.random.default_rng(0)
LONG = rng.standard_normal((4097, 3))
IMAGES = rng.standard_normal((700, 4, 3, 3))
VECTOR = rng.standard_normal(4) + 1
CLASSES = tg.from_numpy(rng.integers(0, 3, 4097))

# name: the function, its inputs
CASES = {
    "softmax": (lambda x: F.softmax(x, 0), LONG),
    "softmax of zeros": (lambda x: F.softmax(x, 0), 0 * LONG[:4096]),
    "softmin": (lambda x: F.softmin(x, 0), LONG),
    "log_softmax": (lambda x: F.log_softmax(x, 0), LONG),
    "logsumexp": (lambda x: tg.logsumexp(x, 0), LONG),
    "logsumexp, all": (lambda x: tg.logsumexp(x, (0, 1), True), 0 * LONG),
    "mean": (lambda x: (x.mean(), x.mean(0)), LONG + 30),
    "var": (lambda x: x.var(), 100 * LONG),
    "std": (lambda x: tg.std_mean(x, 0)[0], 200 * LONG),
    "cross_entropy": (lambda x: F.cross_entropy(x, CLASSES), LONG),
    "cross_entropy, sum": (lambda x: F.cross_entropy(x, CLASSES, reduction="sum"), LONG),
    "cross_entropy, smooth": (lambda x: F.cross_entropy(x, CLASSES, label_smoothing=0.1), LONG),
    "cross_entropy, places": (lambda x: F.cross_entropy(x.T[None], CLASSES[None]), LONG),
    "cross_entropy, soft": (lambda x, p: F.cross_entropy(x, p), LONG.T, np.abs(LONG.T) / 4000),
    "nll_loss": (lambda x: F.nll_loss(x, CLASSES, reduction="mean"), LONG - 5),
    "l1_loss, weight": (lambda x, w: F.l1_loss(x, 0 * x, weight=w), LONG * 400, np.abs(LONG) + 400),
    "attention": (
        F.scaled_dot_product_attention,
        LONG[:7],
        LONG,
        LONG[::-1].copy(),
    ),
    "attention, one value": (
        lambda q, k, v: F.scaled_dot_product_attention(0 * q, k, v),
        LONG[:7],
        LONG,
        10 + 0 * LONG,
    ),
    "normalize": (lambda x: F.normalize(x, dim=0), 3000 * LONG),
    "cosine_similarity": (lambda x, y: F.cosine_similarity(x, y, 0), 3000 * LONG, 3000 * LONG + 999),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        40 * IMAGES + 30,
        VECTOR,
        VECTOR,
    ),
    "batch_norm, far": (lambda x: F.batch_norm(x, None, None, training=True), IMAGES * 500 + 1000),
    "batch_norm, evaluated": (
        lambda x, m, v, w, b: F.batch_norm(x, m.detach(), v.detach(), w, b),
        IMAGES + 2000,
        2000 + 0 * VECTOR,
        np.abs(VECTOR) * 1e-3,
        VECTOR,
        VECTOR,
    ),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4097,), w, b), 8 * LONG.T + 17, 1 + 0 * LONG[:, 0], 0 * LONG[:, 0]),
    "layer_norm, rows": (lambda x, w, b: F.layer_norm(x, (3,), w, b), 2 * LONG, VECTOR[:3], VECTOR[:3]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), 90 * IMAGES, VECTOR, VECTOR),
    "group_norm_silu": (lambda x, w, b: F.group_norm_silu(x, 2, w, b), 90 * IMAGES, VECTOR, VECTOR),
    "instance_norm": (lambda x, w, b: F.instance_norm(x, None, None, w, b), 90 * IMAGES, VECTOR, VECTOR),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4097,), w), 300 * LONG.T, 1 + 0 * LONG[:, 0]),
    "rms_norm, rows": (lambda x, w: F.rms_norm(x, (3,), w, 1e-3), 300 * LONG, VECTOR[:3]),
}  # fmt: skip


def run(name, dtype):
    """Values, gradients and gradients of gradients, each computed from numbers that are exact in float16.  -> arrays"""
    function, *inputs = CASES[name]
    xs = [tg.tensor(x.astype(np.float16)).to(dtype).requires_grad_() for x in inputs]
    out = function(*xs)
    ys = list(out) if isinstance(out, tuple) else [out]
    draw = np.random.default_rng(1)
    gs = [tg.tensor(draw.uniform(0.5, 1.5, y.shape).astype(np.float16)).to(dtype) for y in ys]
    fused = tg.autograd.grad(ys, xs, gs, retain_graph=True, allow_unused=True)
    recorded = tg.autograd.grad(ys, xs, gs, create_graph=True, allow_unused=True)
    second = [None]
    if recorded[0].requires_grad:
        v = tg.tensor(draw.uniform(-1, 1, recorded[0].shape).astype(np.float16)).to(dtype)
        second = tg.autograd.grad(recorded[0], xs[:1], v, allow_unused=True)
    return [a if a is None else a.detach() for a in (*ys, *fused, *recorded, *second)]


@pytest.mark.parametrize("name", CASES)
def test_against_float64(name):
    for found, right in zip(run(name, tg.float16), run(name, tg.float64)):
        if right is None or right.numel() == 0:
            continue
        assert found.dtype == tg.float16
        with np.errstate(over="ignore"):
            error = np.abs(found.numpy().astype(np.float64) - right.numpy())
            expected = right.numpy().astype(np.float16)
        whole = np.abs(right.numpy()).max()
        limit = (
            np.spacing(np.maximum(np.abs(expected), np.float16(6e-5))).astype(float) + 3e-6 * whole
        )  # one unit in the last place, half of it from rounding
        assert np.isfinite(found.numpy()).all() and (error <= limit).all(), (name, error.max(), whole)


def test_kernels_without_a_tape():
    """The reference kernels accept float16 arrays directly."""
    from tinygen import kernels

    x = np.zeros((4096, 8), np.float16)
    assert (kernels.softmax(x, 0) == np.float16(1 / 4096)).all()
    assert (kernels.log_softmax(x, 0) == np.float16(np.log(1 / 4096))).all()
    assert not kernels.softmax_grad(x + 300, kernels.softmax(x, 0), 0).any()
    assert (kernels.log_softmax_grad(x + 20, x - 100, 0) == 20).all()
    assert (kernels.mean(x + 60000, (0, 1)) == 60000).all()
    y, mean, var = kernels.normalize(x + 60000, x[0], x[0], (0,), 1e-5)
    assert y.dtype == np.float16 and mean.dtype == var.dtype == np.float32
    assert not y.any() and not var.any() and (mean == 60000).all()
    gx, gweight, gbias = kernels.normalize_grad(x + 1, x, x[0], mean * 0, var + 1, (0,), 0.0, (8,))
    assert gx.dtype == np.float16 and not gx.any() and not gweight.any() and (gbias == 4096).all()
    y, _ = kernels.attention(x[:3], x, x + 20, None, scale=1.0, causal=False)
    assert y.dtype == np.float16 and (y == 20).all()
    losses, _, _ = kernels.cross_entropy(
        x.T[..., None], np.zeros((8, 1), np.int64), np.ones((8, 1), np.float16)
    )
    assert losses.dtype == np.float16 and (losses == np.float16(np.log(4096))).all()
