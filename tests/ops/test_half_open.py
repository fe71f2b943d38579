"""Half-open intervals stay half-open after rounding: every draw is below its upper bound, in every dtype."""

import numpy as np
import pytest

import tinygen as tg
from tinygen import random
from tinygen.nn import functional as F
from tinygen.nn import init

DTYPES = [tg.float16, tg.float32, tg.float64]
BOUNDS = [(0, 1), (1, 2), (-1, 0), (0.1, 0.2), (-0.3, 0.3), (1, 1.001), (5, 5.01), (-3e4, 6e4), (-1e-7, 1e-7)]


@pytest.fixture(params=["largest", "smallest"])
def extreme(request, monkeypatch):
    """Every stream draws the largest possible uniform number, or the smallest, 0."""

    def uniform(self, shape=(), dtype=np.float32):
        bits = 24 if dtype == np.float32 else 53
        return np.full(shape, 1 - 2.0**-bits if request.param == "largest" else 0, dtype)

    monkeypatch.setattr(random.Stream, "uniform", uniform)
    return request.param


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_uniforms_are_below_one(dtype, extreme):
    x = tg.zeros(3, dtype=dtype)
    for drawn in (tg.rand(3, dtype=dtype), tg.rand_like(x), x.uniform_(), init.uniform_(x)):
        assert drawn.dtype == dtype and 0 <= drawn.min().item() <= drawn.max().item() < 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("a, b", BOUNDS)
def test_uniforms_between_bounds(dtype, a, b, extreme):
    x = tg.zeros(3, dtype=dtype)
    for fill in (x.uniform_, lambda a, b: init.uniform_(x, a, b)):
        drawn = fill(a, b).double().numpy()
        assert a <= drawn.min() and drawn.max() < b


def test_bounds_too_near_or_equal_give_the_lower_one(extreme):
    for a, b in ((2.0, 2.0), (1.0, 1 + 1e-12)):
        assert (tg.empty(3).uniform_(a, b) == a).all() and (init.uniform_(tg.empty(3), a, b) == a).all()


def test_a_range_wider_than_the_largest_number(extreme):
    for dtype in DTYPES:
        largest = float(np.finfo(dtype).max)
        x = tg.empty(3, dtype=dtype).uniform_(-largest, largest)
        assert np.isfinite(x.numpy()).all() and x.max() < largest and x.min() >= -largest


def test_draws_inside_keep_their_bits():
    """Runs made before this rule resume to the same bits: only draws that would have reached the bound differ."""
    u = random.Generator(3).at("u").uniform(100_000)
    for a, b in BOUNDS:
        plain = np.float32(a) + np.float32(b - a) * u
        drawn = random.between(a, b, u, np.float32)
        same = drawn == plain
        assert (plain[~same] >= np.float32(b)).all() and same.mean() > 0.999
    half = u.astype(np.float16)
    assert ((half == random.inside(0, 1, u, np.float16)) | (half == 1)).all() and (half == 1).any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_probability_of_one_is_certain_and_of_zero_impossible(dtype, extreme):
    one, zero = tg.ones(3, dtype=dtype), tg.zeros(3, dtype=dtype)
    assert (one.bernoulli() == 1).all() and (zero.bernoulli() == 0).all()
    assert (one.bernoulli(1.0) == 1).all() and (one.bernoulli(0.0) == 0).all()
    assert (zero.bernoulli_(1.0) == 1).all() and (one.bernoulli_(0.0) == 0).all()


def test_a_small_probability_of_float16_is_not_lost_in_rounding():
    p = tg.full((400_000,), 1e-4, dtype=tg.float16)
    assert (
        abs(p.bernoulli().float().sum().item() - 40) < 32
    )  # five standard deviations; float16 uniforms round to the bound more often


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dropout_of_nearly_everything(dtype, extreme):
    y = F.dropout(tg.ones(4, dtype=dtype), 1 - 1e-6)
    assert not np.isnan(y.numpy()).any() and ((y == 0).all() if extreme == "smallest" else (y > 1e3).all())


@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial_never_draws_what_has_no_weight(replacement, extreme):
    weights = tg.tensor([0.0, 5e-324, 0.0, 0.0, 5e-324, 0.0], dtype=tg.float64)
    assert set(weights.multinomial(2, replacement).tolist()) <= {1, 4}


def test_gumbels_are_finite(extreme):
    for dtype in DTYPES:
        assert np.isfinite(F.gumbel_softmax(tg.zeros(5, dtype=dtype), dim=0).numpy()).all()


def test_whole_numbers_stay_below_their_bound():
    x = tg.randint(0, 4098, (200_000,), dtype=tg.float16)  # 4097 rounds to 4098 or 4096
    assert 0 <= x.min().item() and x.max().item() < 4098
    assert tg.randint(-5, 2**24 + 2, (9,), dtype=tg.float32).max() < 2**24 + 2
    assert set(tg.randint(0, 2, (99,), dtype=tg.bool).tolist()) == {False, True}


@pytest.mark.parametrize(
    "low, high, dtype", [(0, 257, tg.uint8), (-1, 3, tg.uint8), (0, 70_000, tg.float16), (0, 3, tg.bool)]
)
def test_whole_numbers_that_do_not_fit_are_refused(low, high, dtype):
    with pytest.raises(RuntimeError, match=f"randint: the range {low}..{high - 1} does not fit into {dtype}"):
        tg.randint(low, high, (3,), dtype=dtype)


def test_bounds_that_hold_nothing_are_refused():
    for x, a, b in (
        (tg.zeros(2), 2, 1),
        (tg.zeros(2), 0, np.inf),
        (tg.zeros(2).half(), 0, 1e6),
        (tg.zeros(2), np.nan, 1),
    ):
        with pytest.raises(RuntimeError, match="uniform_: found bounds"):
            x.uniform_(a, b)
    with pytest.raises(TypeError, match="uniform_: found dtype int64"):
        tg.zeros(2, dtype=tg.int64).uniform_()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_truncated_normals_keep_their_bounds(dtype):
    for a, b in ((-0.1, 0.1), (0.1, 0.3), (-2.0, 2.0)):
        drawn = init.trunc_normal_(tg.empty(20_000, dtype=dtype), 0, 1, a, b).double().numpy()
        assert a <= drawn.min() and drawn.max() <= b


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_single_number_is_an_array(dtype):
    """NumPy's scalars: its functions return them for arrays without dimensions."""
    x = tg.rand((), dtype=dtype)
    for drawn in (
        x,
        tg.randint(0, 5, (), dtype=dtype),
        x.bernoulli(),
        tg.empty((), dtype=dtype).uniform_(1, 2),
    ):
        assert type(drawn._data) is np.ndarray and drawn.dtype == dtype and drawn.shape == ()
