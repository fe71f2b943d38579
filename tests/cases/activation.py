"""Activations."""

from cases.table import C, P, U, case

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
