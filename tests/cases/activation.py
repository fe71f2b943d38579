"""Activations."""

import numpy as np

from cases.table import LAYER, C, P, U, case

for shape in ((3, 4), (), (0,)):
    case("relu", lambda T, F, x: T.relu(x), U(*shape))
    case("F.relu", lambda T, F, x: F.relu(x), U(*shape))
    case("F.leaky_relu", lambda T, F, x: F.leaky_relu(x, 0.2), U(*shape), other_dtypes=False)
    case("F.elu", lambda T, F, x: F.elu(x, 0.7), U(*shape), other_dtypes=False)
    case("F.silu", lambda T, F, x: F.silu(x), U(*shape), other_dtypes=False)
    case("F.softplus", lambda T, F, x: F.softplus(x, 1.5, 3), U(*shape), other_dtypes=False)
    case("F.logsigmoid", lambda T, F, x: F.logsigmoid(x), U(*shape), other_dtypes=False)
    case("F.gelu", lambda T, F, x: F.gelu(x), U(*shape), other_dtypes=False)
    case("F.gelu", lambda T, F, x: F.gelu(x, approximate="tanh"), U(*shape), other_dtypes=False)
case("relu", lambda T, F, x: (T.relu(x), F.leaky_relu(x), F.elu(x)), C([0.0, -0.0]), grad=False)
case("F.elu", lambda T, F, x: F.elu(x), C([-900.0, 900.0, 1e-3]), other_dtypes=False)
case("F.softplus", lambda T, F, x: F.softplus(x), C([-900.0, 900.0, 19.0, 21.0]), other_dtypes=False)
case("F.logsigmoid", lambda T, F, x: F.logsigmoid(x), C([-900.0, 900.0]), other_dtypes=False)
case("F.tanh", lambda T, F, x: F.tanh(x), U(2, 3))
case("F.sigmoid", lambda T, F, x: F.sigmoid(x), U(2, 3))
case("F.prelu", lambda T, F, x, w: F.prelu(x, w), U(2, 3, 2), P(3), other_dtypes=False)
case("F.prelu", lambda T, F, x, w: F.prelu(x, w), U(4, 2), P(1), other_dtypes=False)
case("prelu", lambda T, F, x, w: (T.prelu(x, w), x.prelu(w)), U(4, 2), P(2), other_dtypes=False)
for shape in ((3, 4), (), (0,)):
    for name in "hardtanh relu6 mish softsign selu".split():
        case(f"F.{name}", lambda T, F, x, f=name: getattr(F, f)(x), U(*shape), **LAYER)
case("selu", lambda T, F, x: T.selu(x), U(3, 4), **LAYER)
case("F.hardtanh", lambda T, F, x: F.hardtanh(x.clone(), -0.5, 2, True), U(3, 4), **LAYER)
ENDS = C([-1.0, 1.0, 0.0, 6.0, np.nan, 7.0, -2.0])
case("F.hardtanh", lambda T, F, x: (F.hardtanh(x), F.relu6(x)), ENDS, second=False, **LAYER)
case("F.mish", lambda T, F, x: F.mish(x), C([-900.0, 900.0, 19.0, 21.0]), second=False, **LAYER)
case("F.selu", lambda T, F, x: F.selu(x.clone(), True), C([-900.0, 900.0, 1e-3]), **LAYER)
case("F.glu", lambda T, F, x: (F.glu(x), F.glu(x, 0), F.glu(x, dim=-2)), U(2, 4), **LAYER)
case("F.glu", lambda T, F, x: F.glu(x, 1), U(2, 0), **LAYER)
case("F.silu", lambda T, F, x: F.silu(x.clone(), True), U(3), **LAYER)
