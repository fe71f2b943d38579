"""Creation: values and dtypes only."""

from cases.table import FIXED, RANDOM, C, N, U, V, case

case("zeros", lambda T, F: (T.zeros(2, 3), T.zeros((2,)), T.zeros(()), T.zeros(0, 2, dtype=T.int64)), **FIXED)
case("ones", lambda T, F: (T.ones(2, 3), T.ones([2]), T.ones(1, dtype=T.float64)), **FIXED)
case(
    "empty", lambda T, F: (T.empty(2, 3).fill_(0), T.empty(0), T.empty((2,), dtype=T.int64).fill_(1)), **FIXED
)
case("full", lambda T, F: (T.full((2, 3), 7), T.full((2,), 7.5), T.full((), True)), **FIXED)
case("full", lambda T, F: (T.full((2,), 7, dtype=T.float64), T.full([0], 1.0)), **FIXED)
case("eye", lambda T, F: (T.eye(3), T.eye(2, 3), T.eye(0), T.eye(2, dtype=T.int64)), **FIXED)
case("arange", lambda T, F: (T.arange(5), T.arange(2, 7), T.arange(7, 2, -2), T.arange(0)), **FIXED)
case("arange", lambda T, F: (T.arange(0.0, 1, 0.1), T.arange(1, 2.5, 0.5), T.arange(3.0)), **FIXED)
case("arange", lambda T, F: (T.arange(3, dtype=T.float64), T.arange(2, dtype=T.int32)), **FIXED)
case("linspace", lambda T, F: (T.linspace(0, 1, 7), T.linspace(3, -3, 4), T.linspace(2, 5, 1)), **FIXED)
case("linspace", lambda T, F: T.linspace(-1, 1, 33, dtype=T.float64), **FIXED)
case("zeros_like", lambda T, F, x: (T.zeros_like(x), T.zeros_like(x, dtype=T.int64)), U(2, 3), grad=False)
case("ones_like", lambda T, F, x: (T.ones_like(x), T.ones_like(x, dtype=T.float64)), U(2, 3), grad=False)
case("empty_like", lambda T, F, x: T.zeros_like(T.empty_like(x)), U(2, 3), grad=False)
case("full_like", lambda T, F, x: (T.full_like(x, 3), T.full_like(x, 1, dtype=T.int64)), U(2), grad=False)
case("rand", lambda T, F: T.rand(2, 3), **RANDOM)
case("randn", lambda T, F: T.randn(2, 3), **RANDOM)
case("randint", lambda T, F: T.randint(3, (2, 3)), **RANDOM)
case("randperm", lambda T, F: T.randperm(5), **RANDOM)
case("bernoulli", lambda T, F, x: T.bernoulli(x), V(2, 3), **RANDOM)
case("rand_like", lambda T, F, x: T.rand_like(x), U(2, 3), **RANDOM)
case("randn_like", lambda T, F, x: T.randn_like(x), U(2, 3), **RANDOM)
case("one_hot", lambda T, F, x: T.one_hot(x, 4), N(3, 2), torch=lambda T, F, x: F.one_hot(x, 4), grad=False)
case("one_hot", lambda T, F, x: T.one_hot(x), N(5), torch=lambda T, F, x: F.one_hot(x), grad=False)
case(
    "zeros",
    lambda T, F: (T.zeros(size=(2, 3)), T.ones(size=[2]), T.empty(size=(2,)) * 0, T.zeros([])),
    **FIXED,
)
case("arange", lambda T, F: (T.arange(end=5), T.arange(start=2, end=9, step=3)), **FIXED)
case("full_like", lambda T, F, x: T.full_like(input=x, fill_value=3), U(2), grad=False)
case("randint", lambda T, F: (T.randint(1, (2,)), T.randint(high=1, size=(2,)), T.randint(1, size=(2,)),
     T.randint(low=4, high=5, size=(2, 1)), T.randint(4, 5, (2,), dtype=T.int32)), **FIXED)  # fmt: skip
case(
    "randint_like",
    lambda T, F, x: (T.randint_like(x, 1), T.randint_like(x, 4, 5, dtype=T.int64)),
    U(3),
    **FIXED,
)
case("normal", lambda T, F: (T.normal(2.0, 0.0, (2, 3)), T.normal(mean=2.0, std=0.0, size=(2,))), **FIXED)
case(
    "normal",
    lambda T, F, x, s: (T.normal(x, s), T.normal(x, 0.0), T.normal(1.0, s)),
    U(2, 3),
    C([0.0]),
    **FIXED,
)
case("bernoulli", lambda T, F, x: (T.bernoulli(x, 1.0), T.bernoulli(x, p=0)), U(2, 3), **FIXED)
case("multinomial", lambda T, F, x: (T.multinomial(x, 2), x.multinomial(3, True)), V(2, 3), **RANDOM)
case("multinomial", lambda T, F: (T.multinomial(T.tensor([0.0, 3.0, 0.0]), 4, replacement=True),
     T.multinomial(T.tensor([[0.0, 3.0], [2.0, 0.0]]), num_samples=1)), **FIXED)  # fmt: skip
