"""Running sums and products."""

import numpy as np

from cases.table import FIXED, C, U, case

case("cumsum", lambda T, F, x: (T.cumsum(x, 0), x.cumsum(-1)), U(3, 4))
case("cumsum", lambda T, F, x: T.cumsum(x, 0), U())
case("cumsum", lambda T, F, x: T.cumsum(x, 1), U(2, 0))
case("cumprod", lambda T, F, x: (T.cumprod(x, 0), x.cumprod(-1)), U(3, 4))
case("cumprod", lambda T, F, x: T.cumprod(x, 0), C([2.0, 0.0, 3.0, 0.0, 4.0]))
case("cumprod", lambda T, F, x: (T.cumprod(x, 0), T.cumprod(x, 1)), U(0, 2))
case("prod", lambda T, F, x: T.prod(x, 0), C([[2.0, 0.0, 0.0], [3.0, 5.0, 0.0]]))
case("prod", lambda T, F, x: (T.prod(x), x.prod(0), x.prod(1)), U(0, 2))
case("cumsum", lambda T, F, x: (T.cumsum(input=x, dim=0), x.cumsum(1, dtype=T.float64)), U(3, 4))
case("cumprod", lambda T, F, x: T.cumprod(x, 0, dtype=T.float64), U(3, 4))
case("prod", lambda T, F, x: (T.prod(x, dtype=T.float64), x.prod(0, dtype=T.float64)), U(3, 4))
case(
    "prod",
    lambda T, F, x: (T.prod(x), T.prod(x, 1)),
    C([[2.0, np.inf, 3.0], [-np.inf, 0.5, 1.0]]),
    **FIXED,
)
case(
    "cumprod",
    lambda T, F, x: (T.cumprod(x, 0), T.cumprod(x, 1)),
    C([[2.0, np.inf], [-np.inf, 0.5]]),
    **FIXED,
)
