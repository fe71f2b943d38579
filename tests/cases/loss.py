"""Losses."""

from cases.table import LAYER, C, N, P, U, V, case, constant

for reduction in ("mean", "sum", "none"):
    case("F.mse_loss", lambda T, F, x, y, r=reduction: F.mse_loss(x, y, reduction=r), U(3, 4), U(3, 4))
    case(
        "F.l1_loss",
        lambda T, F, x, y, r=reduction: F.l1_loss(x, y * 1.3, reduction=r),
        U(3, 4),
        U(3, 4),
        **LAYER,
    )
    case("F.smooth_l1_loss", lambda T, F, x, y, r=reduction: F.smooth_l1_loss(x, y * 1.3, reduction=r, beta=0.7),
         U(3, 4), U(3, 4), **LAYER)  # fmt: skip
    case("F.gaussian_nll_loss", lambda T, F, x, y, v, r=reduction: F.gaussian_nll_loss(x, y, v, True, 1e-6, r),
         U(3, 4), U(3, 4), P(3, 4), **LAYER)  # fmt: skip
    case("F.binary_cross_entropy", lambda T, F, x, y, r=reduction: F.binary_cross_entropy(x, y, reduction=r),
         V(3, 4), V(3, 4), **LAYER)  # fmt: skip
    case("F.binary_cross_entropy_with_logits",
         lambda T, F, x, y, r=reduction: F.binary_cross_entropy_with_logits(x, y, reduction=r),
         U(3, 4), V(3, 4), **LAYER)  # fmt: skip
    case(
        "F.cross_entropy",
        lambda T, F, x, y, r=reduction: F.cross_entropy(x, y, reduction=r),
        U(5, 3),
        N(5),
        **LAYER,
    )
    case("F.cross_entropy", lambda T, F, x, y, w, r=reduction: F.cross_entropy(
        x, y, w, ignore_index=1, reduction=r, label_smoothing=0.1),
        U(5, 3, 2), N(5, 2), constant(P(3)), **LAYER)  # fmt: skip
    case("F.cross_entropy", lambda T, F, x, y, r=reduction: F.cross_entropy(x, y, reduction=r, label_smoothing=0.2),
         U(5, 3), V(5, 3), **LAYER)  # fmt: skip
    case("F.nll_loss", lambda T, F, x, y, w, r=reduction: F.nll_loss(x, y, w, reduction=r),
         U(5, 3), N(5), constant(P(3)), **LAYER)  # fmt: skip
    case("F.kl_div", lambda T, F, x, y, r=reduction: F.kl_div(x, y, reduction=r), U(3, 4), V(3, 4), **LAYER)
    case("F.kl_div", lambda T, F, x, y, r=reduction: F.kl_div(x, y, reduction=r, log_target=True),
         U(3, 4), U(3, 4), **LAYER)  # fmt: skip
case("F.mse_loss", lambda T, F, x, y: F.mse_loss(x, y), U(0, 2), U(0, 2), grad=False, **LAYER)
case("F.kl_div", lambda T, F, x, y: F.kl_div(x, y, reduction="batchmean"),
     U(3, 4), constant(C([[0.0, 0.2, 0.3, 0.5]] * 3)), **LAYER)  # fmt: skip
case("F.cross_entropy", lambda T, F, x: F.cross_entropy(x, T.tensor(1)), U(3), **LAYER)
case(
    "F.cross_entropy", lambda T, F, x, y: F.cross_entropy(x * 300, y), U(4, 3), N(4), tolerance=1e-7, **LAYER
)
case(
    "F.nll_loss",
    lambda T, F, x, y: F.nll_loss(x, y, ignore_index=2, reduction="sum"),
    U(4, 3, 2),
    N(4, 2),
    **LAYER,
)
case("F.binary_cross_entropy", lambda T, F, x, y, w: F.binary_cross_entropy(x, y, w),
     V(3, 4), V(3, 4), constant(P(4)), **LAYER)  # fmt: skip
case("F.binary_cross_entropy", lambda T, F, x, y: F.binary_cross_entropy(x, y),
     C([0.0, 1.0, 1e-30, 0.5]), constant(C([0.0, 1.0, 1.0, 1.0])), second=False, **LAYER)  # fmt: skip
case("F.binary_cross_entropy_with_logits", lambda T, F, x, y, p: F.binary_cross_entropy_with_logits(
    x, y, pos_weight=p), U(3, 4), V(3, 4), constant(P(4)), **LAYER)  # fmt: skip
case("F.binary_cross_entropy_with_logits", lambda T, F, x, y, w: F.binary_cross_entropy_with_logits(
    x, y, w, reduction="sum"), C([-900.0, 900.0, 0.0]), C([0.0, 1.0, 0.5]), constant(P(3)), **LAYER)  # fmt: skip

# losses of single numbers: NumPy 1.26 turns arrays without dimensions into float64

for name in "mse_loss l1_loss smooth_l1_loss".split():
    case(f"F.{name}", lambda T, F, x, y, f=name: getattr(F, f)(x, y * 1.3), U(), U(), **LAYER)
for name in "binary_cross_entropy kl_div".split():
    case(f"F.{name}", lambda T, F, x, y, f=name: getattr(F, f)(x, y), V(), V(), **LAYER)
case(
    "F.binary_cross_entropy_with_logits",
    lambda T, F, x, y: F.binary_cross_entropy_with_logits(x, y),
    U(),
    V(),
    **LAYER,
)

for reduction in ("mean", "sum", "none"):
    for name in "mse_loss l1_loss huber_loss".split():
        case(
            f"F.{name}",
            lambda T, F, x, y, w, f=name, r=reduction: getattr(F, f)(x, y * 1.3, reduction=r, weight=w),
            U(3, 4),
            U(3, 4),
            P(3, 4),
            **LAYER,
        )
    case(
        "F.huber_loss",
        lambda T, F, x, y, r=reduction: F.huber_loss(x, y * 1.3, r, 0.7),
        U(3, 4),
        U(3, 4),
        **LAYER,
    )
    case(
        "F.cross_entropy",
        lambda T, F, x, y, w, r=reduction: F.cross_entropy(x, y, w, None, -100, None, r, 0.1),
        U(2, 3, 2, 2),
        V(2, 3, 2, 2),
        constant(P(3)),
        **LAYER,
    )
    case(
        "F.cross_entropy",
        lambda T, F, x, y, r=reduction: F.cross_entropy(x, y, ignore_index=1, reduction=r),
        U(2, 3, 2, 2),
        N(2, 2, 2),
        **LAYER,
    )
    case(
        "F.nll_loss",
        lambda T, F, x, y, r=reduction: F.nll_loss(x, y, None, None, 1, None, r),
        U(3),
        N(),
        **LAYER,
    )
case("F.cross_entropy", lambda T, F, x, y: F.cross_entropy(x, y, label_smoothing=0.3), U(3), V(3), **LAYER)
case("F.mse_loss", lambda T, F, x, y: F.mse_loss(x, y), U(3, 4), U(4), **LAYER)
case("F.smooth_l1_loss", lambda T, F, x, y: F.smooth_l1_loss(x, y), U(3, 1), U(4), **LAYER)
case("F.smooth_l1_loss", lambda T, F, x, y: F.smooth_l1_loss(x, y, beta=0.0), U(3), U(3), **LAYER)
SAME = C([1.0, 2.0, 3.0, -1.0])
SHIFTED = C([1.0, 3.0, 2.0, 4.0])
for (
    name
) in "mse_loss smooth_l1_loss huber_loss".split():  # a difference of 0, and one where the formula changes
    case(f"F.{name}", lambda T, F, x, y, f=name: getattr(F, f)(x, y), SAME, SAME, **LAYER)
    case(f"F.{name}", lambda T, F, x, y, f=name: getattr(F, f)(x, y), SAME, SHIFTED, second=False, **LAYER)
case("F.l1_loss", lambda T, F, x, y: F.l1_loss(x, y), SAME, SAME, second=False, **LAYER)
case("cosine_similarity", lambda T, F, x, y: T.cosine_similarity(x, y), U(3, 4), U(3, 4), **LAYER)
case("cosine_similarity", lambda T, F, x, y: T.cosine_similarity(x, y, dim=-1), U(2, 3, 4), U(4), **LAYER)
case("cosine_similarity", lambda T, F, x, y: F.cosine_similarity(x, y, 0), U(4), U(4), **LAYER)
case(
    "cosine_similarity",
    lambda T, F, x, y: F.cosine_similarity(x, y, 0, 0.5),
    C([0.1, -0.2]),
    C([0.0, 0.2]),
    second=False,
    **LAYER,
)
case(
    "cosine_similarity",
    lambda T, F, x, y: F.cosine_similarity(x, y, 0),
    C([0.0, 0.0]),
    U(2),
    second=False,
    **LAYER,
)
case("pairwise_distance", lambda T, F, x, y: T.pairwise_distance(x, y), U(3, 4), U(3, 4), **LAYER)
case(
    "pairwise_distance", lambda T, F, x, y: F.pairwise_distance(x, y, 1.0, 0.1, True), U(3, 4), U(4), **LAYER
)
case("pairwise_distance", lambda T, F, x, y: F.pairwise_distance(x, y, p=3.0), U(4), U(4), **LAYER)
