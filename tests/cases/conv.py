"""Convolution: stride, padding, dilation, groups, no batch, sizes that do not divide."""

from cases.table import IMAGE, LAYER, U, case

FILTER = U(4, 3, 3, 2)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w), IMAGE, FILTER, **LAYER)
case("conv2d", lambda T, F, x, w, b: T.conv2d(x, w, b, 2, 1), IMAGE, FILTER, U(4), **LAYER)
case("conv2d", lambda T, F, x, w, b: T.conv2d(x, w, b, (1, 2), (2, 0), (2, 1)), IMAGE, FILTER, U(4), **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w, padding="same"), IMAGE, FILTER, **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w, padding="valid", dilation=2), IMAGE, U(1, 3, 2, 2), **LAYER)
case("conv2d", lambda T, F, x, w, b: T.conv2d(x, w, b, groups=2), U(2, 4, 5, 5), U(6, 2, 3, 3), U(6), **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w, groups=4, padding=1), U(1, 4, 5, 4), U(4, 1, 3, 3), **LAYER)
case("conv2d", lambda T, F, x, w, b: T.conv2d(x, w, b, padding=1), U(3, 6, 5), FILTER, U(4), **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w, stride=3), U(1, 1, 7, 7), U(1, 1, 1, 1), **LAYER)
case("conv2d", lambda T, F, x, w: T.conv2d(x, w), U(1, 2, 3, 2), U(3, 2, 3, 2), **LAYER)
case("F.conv2d", lambda T, F, x, w: F.conv2d(x, w, None, 2), IMAGE, FILTER, **LAYER)
UP = U(3, 4, 3, 2)
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w), IMAGE, UP, **LAYER)
case("conv_transpose2d", lambda T, F, x, w, b: T.conv_transpose2d(x, w, b, 2, 1), IMAGE, UP, U(4), **LAYER)
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w, None, 2, 1, 1), IMAGE, UP, **LAYER)
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w, stride=(3, 2), output_padding=(2, 1)),
     IMAGE, UP, **LAYER)  # fmt: skip
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w, dilation=(1, 2)), IMAGE, UP, **LAYER)
case(
    "conv_transpose2d",
    lambda T, F, x, w: T.conv_transpose2d(x, w, groups=2),
    U(1, 4, 3, 3),
    U(4, 2, 2, 2),
    **LAYER,
)
case("conv_transpose2d", lambda T, F, x, w: T.conv_transpose2d(x, w, padding=1), U(3, 4, 4), UP, **LAYER)

LINE, TAPS = U(2, 4, 9), U(6, 4, 3)
case("conv1d", lambda T, F, x, w: T.conv1d(x, w), LINE, TAPS, **LAYER)
case("conv1d", lambda T, F, x, w, b: T.conv1d(x, w, b, 2, 1, 2), LINE, TAPS, U(6), **LAYER)
case("conv1d", lambda T, F, x, w, b: F.conv1d(x, w, b, (3,), (2,), (1,), 2), LINE, U(6, 2, 3), U(6), **LAYER)
case("conv1d", lambda T, F, x, w: F.conv1d(x, w, padding="same", dilation=3), LINE, U(6, 4, 2), **LAYER)
case("conv1d", lambda T, F, x, w: F.conv1d(x, w, padding="valid"), U(4, 9), TAPS, **LAYER)
case("conv1d", lambda T, F, x, w: F.conv1d(x, w), U(1, 1, 1), U(1, 1, 1), **LAYER)
TAPS_UP = U(4, 3, 3)
case("conv_transpose1d", lambda T, F, x, w: T.conv_transpose1d(x, w), LINE, TAPS_UP, **LAYER)
case(
    "conv_transpose1d",
    lambda T, F, x, w, b: T.conv_transpose1d(x, w, b, 3, 1, 2),
    LINE,
    TAPS_UP,
    U(3),
    **LAYER,
)
case("conv_transpose1d", lambda T, F, x, w, b: F.conv_transpose1d(x, w, b, (2,), groups=2, dilation=(2,)),
     LINE, TAPS_UP, U(6), **LAYER)  # fmt: skip
case(
    "conv_transpose1d", lambda T, F, x, w: F.conv_transpose1d(x, w, None, 2, 0, 1), U(4, 5), TAPS_UP, **LAYER
)
