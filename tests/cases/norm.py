"""Normalization, softmax, dropout."""

import numpy as np

from cases.table import LAYER, C, N, U, case, constant

for shape, dim in (((3, 4), -1), ((3, 4), 0), ((2, 3, 4), 1), ((), 0), ((0, 3), 1), ((2, 1), 1)):
    case("softmax", lambda T, F, x, d=dim: T.softmax(x, d), U(*shape), **LAYER)
    case("log_softmax", lambda T, F, x, d=dim: T.log_softmax(x, dim=d), U(*shape), **LAYER)
case("softmax", lambda T, F, x: (F.softmax(x, 0), x.softmax(0), x.log_softmax(0)), U(3, 4), **LAYER)
case("softmax", lambda T, F, x: T.softmax(x, 0), C([900.0, 899.0, -900.0]), **LAYER)
case("softmax", lambda T, F, x: T.softmax(x, 0), C([0.5, -np.inf, 1.0]), second=False, **LAYER)
case("log_softmax", lambda T, F, x: T.log_softmax(x, 0), C([900.0, 899.0, -900.0]), **LAYER)
case("layer_norm", lambda T, F, x, w, b: F.layer_norm(x, (4,), w, b), U(3, 4), U(4), U(4), **LAYER)
case("layer_norm", lambda T, F, x: F.layer_norm(x, (3, 4), eps=0.1), U(2, 3, 4), **LAYER)
case("rms_norm", lambda T, F, x, w: F.rms_norm(x, (4,), w), U(3, 4), U(4), **LAYER)
case("rms_norm", lambda T, F, x, w: T.rms_norm(x, [3, 4], w, 0.1), U(2, 3, 4), U(3, 4), **LAYER)
case("rms_norm", lambda T, F, x: F.rms_norm(x, (4,)), C([[0.0] * 4, [1e-8] * 4]), second=False, **LAYER)
case("group_norm", lambda T, F, x, w, b: F.group_norm(x, 2, w, b), U(2, 4, 3), U(4), U(4), **LAYER)
case("group_norm", lambda T, F, x: F.group_norm(x, 3, eps=0.1), U(2, 3, 2, 2), **LAYER)
case("F.group_norm_silu", lambda T, F, x, w, b: F.group_norm_silu(x, 2, w, b), U(2, 4, 3), U(4), U(4),
     torch=lambda T, F, x, w, b: F.silu(F.group_norm(x, 2, w, b)), **LAYER)  # fmt: skip
case("F.group_norm_silu", lambda T, F, x, w, b: F.group_norm_silu(x, 3, w, b, eps=0.1), U(2, 3, 2, 2), U(3), U(3),
     torch=lambda T, F, x, w, b: F.silu(F.group_norm(x, 3, w, b, eps=0.1)), **LAYER)  # fmt: skip
case("F.group_norm_silu", lambda T, F, x: F.group_norm_silu(x, 1), U(2, 3, 2),
     torch=lambda T, F, x: F.silu(F.group_norm(x, 1)), **LAYER)  # fmt: skip
RUNNING = (constant(C([0.1, -0.2, 0.3])), constant(C([0.5, 1.5, 2.0])))

case("batch_norm", lambda T, F, x, m, v, w, b: F.batch_norm(x, m.clone(), v.clone(), w, b, True),
     U(4, 3, 2, 2), *RUNNING, U(3), U(3), **LAYER)  # fmt: skip
case("batch_norm", lambda T, F, x, m, v, w, b: F.batch_norm(x, m, v, w, b),
     U(4, 3), *RUNNING, U(3), U(3), **LAYER)  # fmt: skip
case("batch_norm", lambda T, F, x: F.batch_norm(x, None, None, training=True, eps=0.1), U(5, 3), **LAYER)
case(
    "instance_norm",
    lambda T, F, x, w, b: F.instance_norm(x, None, None, w, b),
    U(2, 3, 5),
    U(3),
    U(3),
    **LAYER,
)
case(
    "dropout",
    lambda T, F, x: (F.dropout(x, 0.5, False), F.dropout(x, 0.0), F.dropout(x, 1.0)),
    U(3, 4),
    **LAYER,
)
case("dropout", lambda T, F, x: (T.manual_seed(0), F.dropout(x, 0.4))[1], U(3, 4), parity=False, **LAYER)
case("F.dropout2d", lambda T, F, x: (F.dropout2d(x, 0.5, False), F.dropout2d(x, 1.0)), U(2, 3, 2, 2), **LAYER)
case("F.dropout2d", lambda T, F, x: (T.manual_seed(0), F.dropout2d(x))[1], U(2, 3, 2), parity=False, **LAYER)
case(
    "F.normalize",
    lambda T, F, x: (F.normalize(x), F.normalize(x, 1, 0), F.normalize(x, dim=-1)),
    U(3, 4),
    **LAYER,
)

# the functions of nn.functional choose a dim with a warning (test_functional.py)

for shape in ((3, 4), (3,), (), (2, 3, 2), (1, 2, 3, 2)):
    for name in "softmax log_softmax softmin".split():
        case(f"F.{name}", lambda T, F, x, f=name: getattr(F, f)(x), U(*shape), **LAYER)
case("F.softmin", lambda T, F, x: (F.softmin(x, 0), F.softmin(x, dim=-1)), U(3, 4), **LAYER)
case("F.softmax", lambda T, F, x: F.softmax(x, 0, dtype=T.float64), N(3, 2), grad=False)
case("F.gumbel_softmax", lambda T, F, x: (T.manual_seed(0), F.gumbel_softmax(x, 0.7, dim=0))[1], U(3, 4),
     parity=False, **LAYER)  # fmt: skip
