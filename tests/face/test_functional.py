"""Unusual options of nn.functional are refused, or warned about, as in PyTorch."""

import itertools
import warnings

import numpy as np
import pytest

import tinygen as tg
from tinygen.nn import functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional
rng = np.random.default_rng(0)

X = rng.uniform(0.1, 0.9, (3, 4))


def both(call):
    """What the call returns or raises, and its UserWarnings, on both sides."""
    sides = []
    for T, N in ((tg, F), (torch, TF)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = call(T, N, T.tensor(X))
            except Exception as error:  # compared with that of the other side
                result = error
        sides.append((result, [w for w in caught if w.category is UserWarning]))
    return sides


REFUSED = {
    "guess": lambda T, F, x: T.softmax(x),
    "reduction": lambda T, F, x: F.mse_loss(x, x, reduction="average"),
    "reduction of kl_div": lambda T, F, x: F.kl_div(x, x, reduction="average"),
    "reduction of cross_entropy": lambda T, F, x: F.cross_entropy(x, x, reduction="average"),
    "reduction of gaussian_nll_loss": lambda T, F, x: F.gaussian_nll_loss(x, x, x, reduction="average"),
    "batchmean": lambda T, F, x: F.mse_loss(x, x, reduction="batchmean"),
    "shapes": lambda T, F, x: F.mse_loss(x, x[:2]),
    "weight": lambda T, F, x: F.huber_loss(x, x, weight=x[0]),
    "beta": lambda T, F, x: F.smooth_l1_loss(x, x, beta=-1.0),
    "delta": lambda T, F, x: F.huber_loss(x, x, delta=0.0),
    "probabilities": lambda T, F, x: F.binary_cross_entropy(x + 1, x),
    "bce shapes": lambda T, F, x: F.binary_cross_entropy(x, x[0]),
    "logits shapes": lambda T, F, x: F.binary_cross_entropy_with_logits(x, x[0]),
    "label_smoothing": lambda T, F, x: F.cross_entropy(x, x, label_smoothing=1.5),
    "class": lambda T, F, x: F.cross_entropy(x, T.tensor([0, 4, 1])),
    "classes": lambda T, F, x: F.nll_loss(x, T.tensor([0, 1])),
    "floats as classes": lambda T, F, x: F.nll_loss(x, x[:, 0]),
    "ignore_index of probabilities": lambda T, F, x: F.cross_entropy(x, x, ignore_index=1),
    "odd glu": lambda T, F, x: F.glu(x, 0),
    "glu of a number": lambda T, F, x: F.glu(x.sum()),
    "glu dim": lambda T, F, x: F.glu(x, 2),
    "hardtanh": lambda T, F, x: F.hardtanh(x, 1.0, -1.0),
    "gelu": lambda T, F, x: F.gelu(x, approximate="erf"),
    "lerp dtypes": lambda T, F, x: T.lerp(x, x.float(), 0.5),
    "addcdiv of integers": lambda T, F, x: T.addcdiv(x.long(), x.long(), x.long()),
    "conv1d rank": lambda T, F, x: T.conv1d(x[0], x),
    "conv1d channels": lambda T, F, x: T.conv1d(x, T.ones(2, 2, 1, dtype=x.dtype)),
    "conv1d same": lambda T, F, x: T.conv1d(x, T.ones(2, 3, 2, dtype=x.dtype), padding="same", stride=2),
    "conv1d dtypes": lambda T, F, x: T.conv1d(x, T.ones(2, 3, 2)),
    "conv1d padding": lambda T, F, x: T.conv1d(x, T.ones(2, 3, 2, dtype=x.dtype), padding="all"),
    "conv_transpose1d": lambda T, F, x: T.conv_transpose1d(
        x, T.ones(3, 2, 2, dtype=x.dtype), output_padding=1
    ),
    "max_pool1d rank": lambda T, F, x: F.max_pool1d(x[0], 2),
    "max_pool1d padding": lambda T, F, x: F.max_pool1d(x, 2, padding=2),
    "avg_pool1d size": lambda T, F, x: F.avg_pool1d(x, 5),
    "rms_norm": lambda T, F, x: F.rms_norm(x, (3,)),
    "interpolate corners": lambda T, F, x: F.interpolate(x[None], 3, align_corners=True),
    "interpolate both": lambda T, F, x: F.interpolate(x[None], 3, 2.0),
    "interpolate neither": lambda T, F, x: F.interpolate(x[None]),
    "interpolate sizes": lambda T, F, x: F.interpolate(x[None], (3, 3)),
    "interpolate bilinear of sequences": lambda T, F, x: F.interpolate(x[None], 3, mode="bilinear"),
    "interpolate recompute": lambda T, F, x: F.interpolate(x[None], 3, recompute_scale_factor=True),
    "interpolate mode": lambda T, F, x: F.interpolate(x[None], 3, mode="smooth"),
    "attention rank": lambda T, F, x: F.scaled_dot_product_attention(x[0], x[0], x[0]),
    "attention sizes": lambda T, F, x: F.scaled_dot_product_attention(x, x[:, :2], x),
    "attention dtypes": lambda T, F, x: F.scaled_dot_product_attention(x, x.float(), x),
    "attention mask dtype": lambda T, F, x: F.scaled_dot_product_attention(x, x, x, T.ones(3, 3).long()),
    "attention mask shape": lambda T, F, x: F.scaled_dot_product_attention(x, x, x, T.ones(2, 3) > 0),
    "attention masks": lambda T, F, x: F.scaled_dot_product_attention(
        x, x, x, T.ones(3, 3) > 0, is_causal=True
    ),
    "attention dropout": lambda T, F, x: F.scaled_dot_product_attention(x, x, x, dropout_p=1.5),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_pytorch_refuses_is_refused_with_its_type(name):
    (ours, _), (theirs, _) = both(REFUSED[name])
    assert isinstance(theirs, Exception), theirs
    assert isinstance(ours, type(theirs)), (ours, theirs)


WARNS = {
    "softmax": lambda T, F, x: F.softmax(x),
    "log_softmax": lambda T, F, x: F.log_softmax(x[0]),
    "softmin": lambda T, F, x: F.softmin(x),
    "mse_loss": lambda T, F, x: F.mse_loss(x, x[0]),
    "l1_loss": lambda T, F, x: F.l1_loss(x, x[:, :1]),
    "smooth_l1_loss": lambda T, F, x: F.smooth_l1_loss(x, x[None]),
    "huber_loss": lambda T, F, x: F.huber_loss(x, x[0]),
    "kl_div": lambda T, F, x: F.kl_div(x, x),
    "quiet softmax": lambda T, F, x: F.softmax(x, 0),
    "quiet mse_loss": lambda T, F, x: F.mse_loss(x, x),
    "quiet kl_div": lambda T, F, x: F.kl_div(x, x, reduction="batchmean"),
}


@pytest.mark.parametrize("name", WARNS)
def test_what_pytorch_warns_about_is_warned_about(name):
    (ours, warned), (theirs, expected) = both(WARNS[name])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    assert len(warned) == len(expected) == (not name.startswith("quiet"))
    assert all(w.filename == __file__ for w in warned), "the warning points at the caller's line"


def test_what_is_not_supported_names_the_alternative():
    x = tg.ones(1, 2, 4, 4)
    for call, match in (
        (lambda: F.mse_loss(x, x, False), "mse_loss: size_average .* use reduction"),
        (lambda: F.cross_entropy(x[0], x[0], reduce=False), "use reduction"),
        (lambda: F.interpolate(x, 2, mode="bicubic"), "bilinear"),
        (lambda: F.interpolate(x, 2, mode="bilinear", antialias=True), "avg_pool2d"),
        (lambda: F.scaled_dot_product_attention(x, x, x, enable_gqa=True), "repeat the heads"),
    ):
        with pytest.raises(NotImplementedError, match=match):
            call()


SHAPES = [((), 3), ((4,), 3), ((2, 3), 4), ((2, 2, 1), 3)]
COMBINATIONS = list(
    itertools.product(
        range(len(SHAPES)),
        ("class", "probability"),
        (False, True),
        (-100, 1),
        ("mean", "sum", "none"),
        (0.0, 0.3),
    )
)


@pytest.mark.parametrize("which, kind, weighted, ignored, reduction, smoothing", COMBINATIONS)
def test_cross_entropy_of_every_combination(which, kind, weighted, ignored, reduction, smoothing):
    lead, classes = SHAPES[which]
    shape = (*lead[:1], classes, *lead[1:])
    logits = rng.normal(size=shape)
    target = rng.integers(0, classes, lead) if kind == "class" else rng.dirichlet(np.ones(3), shape)[..., 0]
    weight = rng.uniform(0.5, 2, classes)
    found = []
    for T, N in ((tg, F), (torch, TF)):
        x = T.tensor(logits, requires_grad=True)
        w = T.tensor(weight) if weighted else None
        try:
            y = N.cross_entropy(x, T.tensor(target), w, None, ignored, None, reduction, smoothing)
            y.sum().backward()
        except RuntimeError as error:
            assert kind == "probability" and ignored >= 0, error
            continue
        found.append((y.detach().numpy(), x.grad.numpy()))
    assert len(found) == 0 if kind == "probability" and ignored >= 0 else len(found) == 2
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_draws_classes_by_their_probability(hard):
    tg.manual_seed(0)
    p = np.array([0.1, 0.2, 0.7])
    logits = tg.tensor(np.log(p)).expand(20_000, 3).clone().requires_grad_()
    y = F.gumbel_softmax(logits, tau=0.5, hard=hard)
    np.testing.assert_allclose(np.asarray(y.detach()).sum(1), 1, rtol=1e-6)
    shares = np.bincount(np.asarray(y.detach()).argmax(1), minlength=3) / 20_000
    assert np.abs(shares - p).max() < 5 * np.sqrt(0.25 / 20_000)
    if hard:
        assert set(np.unique(np.asarray(y.detach()).round(12))) == {0.0, 1.0}
    (y * tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64)).sum().backward()
    assert np.abs(np.asarray(logits.grad)).max() > 0.01  # the soft draw's gradient, for the hard one as well


def test_dropped_attention_weights_keep_their_mean():
    tg.manual_seed(0)
    q, k = tg.randn(1, 8), tg.randn(50, 8)
    v = tg.eye(50)
    kept = F.scaled_dot_product_attention(q, k, v)
    mean = sum(F.scaled_dot_product_attention(q, k, v, dropout_p=0.5) for _ in range(400)) / 400
    np.testing.assert_allclose(np.asarray(mean), np.asarray(kept), atol=5 * np.asarray(kept).max() / 20)
    assert (F.scaled_dot_product_attention(q, k, v, dropout_p=0.5) == 0).any()
