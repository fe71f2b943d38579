"""Pooling, resizing."""

from cases.table import IMAGE, LAYER, C, D, U, case

DISTINCT = D(2, 3, 6, 5)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, 2), DISTINCT, **LAYER)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, (3, 2), 2, 1), DISTINCT, **LAYER)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, 3, (1, 2), (1, 0), 2), D(1, 2, 7, 7), **LAYER)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, 2, ceil_mode=True), D(3, 5, 5), **LAYER)
case("max_pool2d", lambda T, F, x: F.max_pool2d(x, 3, 2, 1, return_indices=True), DISTINCT, **LAYER)
case("max_pool2d", lambda T, F, x: T.max_pool2d(x, 2), C([[[[1.0, 1.0], [1.0, 0.0]]]]), second=False, **LAYER)
case("F.avg_pool2d", lambda T, F, x: F.avg_pool2d(x, 2), IMAGE, **LAYER)
case("F.avg_pool2d", lambda T, F, x: F.avg_pool2d(x, (3, 2), 2, 1), IMAGE, **LAYER)
case("F.avg_pool2d", lambda T, F, x: F.avg_pool2d(x, 3, 2, 1, True, False), IMAGE, **LAYER)
case("F.avg_pool2d", lambda T, F, x: F.avg_pool2d(x, 2, divisor_override=3), U(3, 5, 4), **LAYER)
for size in (1, 2, (3, 5), (None, 4)):
    case("F.adaptive_avg_pool2d", lambda T, F, x, n=size: F.adaptive_avg_pool2d(x, n), IMAGE, **LAYER)
for at in ({"scale_factor": 2}, {"size": (9, 4)}, {"size": 3}, {"scale_factor": (1.5, 0.5)}):
    case("F.interpolate", lambda T, F, x, at=at: F.interpolate(x, **at), IMAGE, **LAYER)
case("F.interpolate", lambda T, F, x: F.interpolate(x, scale_factor=2.6), U(2, 3, 5), **LAYER)
case("pixel_shuffle", lambda T, F, x: T.pixel_shuffle(x, 2), U(2, 8, 2, 3), **LAYER)
case("pixel_shuffle", lambda T, F, x: T.pixel_shuffle(x, 1), U(3, 2, 3), **LAYER)
case("pixel_unshuffle", lambda T, F, x: T.pixel_unshuffle(x, 2), U(2, 2, 4, 6), **LAYER)
SEQUENCE = U(2, 3, 5)
for size in (5, 1, 3, 8, 10):
    for mode in ("nearest", "nearest-exact", "linear"):
        case("F.interpolate", lambda T, F, x, n=size, m=mode: F.interpolate(x, n, mode=m), SEQUENCE, **LAYER)
    case("F.interpolate", lambda T, F, x, n=size: F.interpolate(x, n, mode="linear", align_corners=True),
         SEQUENCE, **LAYER)  # fmt: skip
for at in (
    {"scale_factor": 2},
    {"size": (9, 4)},
    {"size": (6, 1)},
    {"scale_factor": (1.3, 0.5)},
    {"scale_factor": 1.1},
):
    case("F.interpolate", lambda T, F, x, at=at: F.interpolate(x, **at, mode="nearest-exact"), IMAGE, **LAYER)
    for corners in (True, False, None):
        case("F.interpolate", lambda T, F, x, at=at, c=corners: F.interpolate(
             x, **at, mode="bilinear", align_corners=c),
             IMAGE, **LAYER)  # fmt: skip
for recompute in (True, False, None):
    for mode in ("nearest", "nearest-exact", "bilinear"):
        case("F.interpolate", lambda T, F, x, m=mode, r=recompute: F.interpolate(
            x, scale_factor=(1.7, 0.7), mode=m, recompute_scale_factor=r), IMAGE, **LAYER)  # fmt: skip
case("F.interpolate", lambda T, F, x: F.interpolate(x, 4, mode="bilinear"), U(2, 1, 1, 1), **LAYER)
case("F.interpolate", lambda T, F, x: F.interpolate(x, 4, mode="bilinear"), U(0, 2, 3, 3), **LAYER)
DISTINCT_LINE = D(2, 3, 9)
case("max_pool1d", lambda T, F, x: T.max_pool1d(x, 2), DISTINCT_LINE, **LAYER)
case("max_pool1d", lambda T, F, x: F.max_pool1d(x, (3,), (2,), 1, 2, True), DISTINCT_LINE, **LAYER)
case("max_pool1d", lambda T, F, x: F.max_pool1d(x, 3, 1, return_indices=True), D(3, 7), **LAYER)
case("avg_pool1d", lambda T, F, x: T.avg_pool1d(x, 2), U(2, 3, 9), **LAYER)
case("avg_pool1d", lambda T, F, x: F.avg_pool1d(x, (3,), 2, 1, True, False), U(3, 8), **LAYER)
for size in (1, 4, 9):
    case("adaptive_avg_pool1d", lambda T, F, x, n=size: F.adaptive_avg_pool1d(x, n), U(2, 3, 9), **LAYER)
case("adaptive_avg_pool1d", lambda T, F, x: T.adaptive_avg_pool1d(x, (2,)), U(3, 5), **LAYER)

for at in (
    dict(size=(3, 4)),
    dict(size=9),
    dict(scale_factor=0.5),
    dict(scale_factor=1.7, recompute_scale_factor=True),
):
    case("F.interpolate", lambda T, F, x, at=at: F.interpolate(x, **at, mode="area"), IMAGE, **LAYER)
case("F.interpolate", lambda T, F, x: F.interpolate(x, 3, mode="area"), U(2, 3, 7), **LAYER)
