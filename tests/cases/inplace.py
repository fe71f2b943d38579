"""In-place methods, on results, so that the graph records them; and what they return."""

from cases.table import FIXED, RANDOM, B, P, U, V, case

for name in "add_ sub_ mul_ div_".split():
    for a, b in ((U(3, 4), U(3, 4)), (U(3, 4), U(4)), (U(3, 4), U()), (U(), U()), (U(0, 3), U(3))):
        case(f"Tensor.{name}", lambda T, F, x, y, f=name: getattr(x.clone(), f)(y), a, b)
    case(f"Tensor.{name}", lambda T, F, x, f=name: getattr(x.clone(), f)(2), U(3, 4))
case(
    "Tensor.add_", lambda T, F, x, y: (x.clone().add_(y, alpha=3), x.clone().sub_(y, alpha=2)), U(3, 4), U(4)
)
case("Tensor.div_", lambda T, F, x, y: x.clone().div_(y, rounding_mode="floor"), U(3, 4), U(4), grad=False)
case("Tensor.pow_", lambda T, F, x: (x.clone().pow_(2), x.clone().pow_(exponent=3)), U(3, 4))
case("Tensor.pow_", lambda T, F, x, y: x.clone().pow_(y), P(3, 4), U(4))
case("Tensor.remainder_", lambda T, F, x, y: x.clone().remainder_(y), U(3, 4), P(4), second=False)
case("Tensor.floor_divide_", lambda T, F, x, y: x.clone().floor_divide_(y), U(3, 4), P(4), grad=False)
for name in "neg_ abs_ square_ sign_ floor_ ceil_ round_ relu_ exp_ sigmoid_ tanh_ reciprocal_".split():
    case(f"Tensor.{name}", lambda T, F, x, f=name: getattr(x.clone(), f)(), U(3, 4))
for name in "log_ sqrt_ rsqrt_".split():
    case(f"Tensor.{name}", lambda T, F, x, f=name: getattr(x.clone(), f)(), P(3, 4))
case(
    "Tensor.clamp_",
    lambda T, F, x: (x.clone().clamp_(0, 1), x.clone().clamp_(min=1), x.clone().clip_(0)),
    U(3, 4),
)
case("Tensor.clamp_min_", lambda T, F, x: (x.clone().clamp_min_(1), T.clamp_min(x, 1)), U(3, 4))
case("Tensor.clamp_max_", lambda T, F, x: (x.clone().clamp_max_(max=1), T.clamp_max(x, 1)), U(3, 4))
case("clamp_min", lambda T, F, x: (T.clamp_min(x, min=1), x.clamp_max(max=1)), U(3, 4))
case("clamp_max", lambda T, F, x, y: (T.clamp_max(x, y), x.clamp_min(y)), U(3, 4), U(4))
case("Tensor.masked_fill_", lambda T, F, x, m: x.clone().masked_fill_(m, 2), U(3, 4), B(4))
case("Tensor.masked_fill_", lambda T, F, x, m, v: x.clone().masked_fill_(mask=m, value=v), U(3, 4), B(3, 4), U(),
     other_dtypes=False)  # fmt: skip
case("Tensor.copy_", lambda T, F, x, y: (x * 2).copy_(y) * x, U(3, 4), U(4))
case("Tensor.copy_", lambda T, F, x, y: (T.zeros(3, 4).copy_(y), T.zeros(3, 4, dtype=T.int64).copy_(x)), U(3, 4), U(4),
     grad=False)  # fmt: skip
case("Tensor.fill_", lambda T, F, x, v: ((x * 2).fill_(3) * x, (x * 2).fill_(v) * x), U(3, 4), U())
case("Tensor.fill_", lambda T, F: (T.zeros(2, dtype=T.int64).fill_(2.5), T.zeros(()).fill_(True)), **FIXED)
case("Tensor.zero_", lambda T, F, x: (x * 2).zero_() * x, U(3, 4))
case(
    "Tensor.bernoulli_",
    lambda T, F: (T.empty(3).bernoulli_(1), T.ones(2, dtype=T.int64).bernoulli_(p=0.0)),
    **FIXED,
)
case("Tensor.bernoulli_", lambda T, F, x: x.clone().bernoulli_(x), V(2, 3), **RANDOM)
case("Tensor.uniform_", lambda T, F: T.empty(2, 3).uniform_(2, 2), **FIXED)
case("Tensor.normal_", lambda T, F: T.empty(2, 3).normal_(mean=2, std=0), **FIXED)
case("Tensor.lerp_", lambda T, F, x, y, w: (x.clone().lerp_(y, 0.25), x.clone().lerp_(y, w)), U(3, 4), U(3, 4), U(4),
     other_dtypes=False)  # fmt: skip
case("Tensor.addcmul_", lambda T, F, x, y, z: x.clone().addcmul_(y, z, value=2), U(3, 4), U(4), U(3, 1))
case("Tensor.addcdiv_", lambda T, F, x, y, z: x.clone().addcdiv_(y, z, value=2), U(3, 4), U(4), U(3, 1),
     other_dtypes=False)  # fmt: skip
