import subprocess
import sys

import numpy as np
import pytest

from tinygen import kernels, random
from tinygen.kernels.philox import conversions
from tinygen.kernels.philox import streams as philox
from tinygen.random import Generator

F = 0xFFFFFFFF
VARIANTS = "reference", "in_registers"

# Random123, tests/kat_vectors, the three "philox4x32 10" lines: counter (4), key (2) -> words (4)
KNOWN_ANSWERS = """
00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""


def words(variant, *args):
    with kernels.use(philox_words=variant):
        return philox.words(*args)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("row", KNOWN_ANSWERS.strip().splitlines())
def test_philox_known_answers(variant, row):
    c0, c1, c2, c3, k0, k1, *want = (int(word, 16) for word in row.split())
    assert words(variant, k0 | k1 << 32, c1, c2 | c3 << 32, c0, 4).tolist() == want


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 1001])
def test_philox_variants_agree(n):
    args = 2**63 + 5, F - 1, 2**40 + 3, 7, n
    want, got = (words(variant, *args) for variant in VARIANTS)
    assert want.shape == (n,) and want.dtype == np.uint32
    np.testing.assert_array_equal(got, want)


def test_fused_loops_agree_with_the_reference():
    args = 3, 9, 2**33, 11
    for n in (1, 255, 257, 1002, 1003):
        u = conversions.uniform32_from_words(words("reference", *args, n))
        np.testing.assert_array_equal(philox.uniform32(*args, n), u)
        p = np.linspace(0, 1, n, dtype=np.float32)
        np.testing.assert_array_equal(philox.bernoulli32(*args, p), (u < p).astype(np.float32))


def test_words_continue_from_block_to_block():
    whole = philox.words(1, 2, 3, 0, 4000)
    np.testing.assert_array_equal(philox.words(1, 2, 3, 500, 2000), whole[2000:])


@pytest.mark.parametrize(
    "bad", [(-1, 0, 0, 0), (2**64, 0, 0, 0), (0, 2**32, 0, 0), (0, 0, -1, 0), (0, 0, 0, 2**32)]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_philox_refuses_what_does_not_fit_the_counter(variant, bad):
    with pytest.raises(ValueError, match="philox"):
        words(variant, *bad, 4)


def test_conversions_are_defined_by_their_bits():
    words = np.array([0, 0, F, F, 1 << 8, 1 << 6], np.uint32)
    np.testing.assert_array_equal(
        conversions.uniform32_from_words(words), np.float32([0, 0, 1 - 2**-24, 1 - 2**-24, 2**-24, 0])
    )
    np.testing.assert_array_equal(conversions.uniform64_from_words(words), [0, 1 - 2**-53, 2**-24 + 2**-53])


def test_normals_are_box_muller():
    words = philox.words(1, 2, 3, 0, 2002)
    words[:8] = [0, 0, F, F, 0, 1 << 30, 0, 1 << 31]
    a, b = words[0::2].astype(float), words[1::2].astype(float)
    r, angle = np.sqrt(-2 * np.log((a + 1) / 2**32)), 2 * np.pi * b / 2**32
    got = conversions.normal64_from_words(words)
    np.testing.assert_allclose(got[0::2], r * np.cos(angle), rtol=0, atol=1e-14)
    np.testing.assert_allclose(got[1::2], r * np.sin(angle), rtol=0, atol=1e-14)
    assert abs(got).max() <= np.sqrt(64 * np.log(2)) + 1e-12
    parts = [
        conversions.normal64_from_words(part) for part in np.split(words, 1001)
    ]  # numpy; the whole: numba
    np.testing.assert_array_equal(np.concatenate(parts), got)


DRAWS = {
    "uniform": lambda rng, n: rng.uniform((n,)),
    "uniform64": lambda rng, n: rng.uniform((n,), np.float64),
    "normal": lambda rng, n: rng.normal((n,)),
    "normal64": lambda rng, n: rng.normal((n,), np.float64),
    "integers": lambda rng, n: rng.integers(-5, 100, (n,)),
    "bernoulli": lambda rng, n: rng.bernoulli(np.full(n, 0.3)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_prefix_and_purity(draw):
    """Large and small n, numba and numpy, repeated draws: the same first numbers."""
    at = Generator(4).at
    long = draw(at("a", 1), 3001)
    for n in (1, 2, 7, 200, 2999):
        np.testing.assert_array_equal(draw(at("a", 1), n), long[:n])
    for other in (at("a", 2), at("b", 1), Generator(5).at("a", 1)):
        assert (draw(other, 3001) != long).mean() > 0.3


def test_calls_on_one_stream_differ_and_do_not_overlap():
    rng = Generator(0).at("x")
    draws = np.concatenate([rng.uniform((n,), np.float64) for n in (1, 3, 5, 1000)])
    assert len(np.unique(draws)) == draws.size
    again = Generator(0).at("x")
    for n in (1, 3, 5):
        again.uniform((n,), np.float64)
    np.testing.assert_array_equal(again.uniform((1000,), np.float64), draws[9:])


def _ks(sample, cdf):
    x = np.sort(np.asarray(sample, float).ravel())
    f, n = cdf(x), x.size
    return np.sqrt(n) * max((np.arange(1, n + 1) / n - f).max(), (f - np.arange(n) / n).max())


def _normal_cdf(x):
    from math import erf

    return np.array([0.5 + 0.5 * erf(v / 2**0.5) for v in x])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distributions(dtype):
    rng, n = Generator(123).at("statistics"), 40_000
    u, x = rng.uniform((n,), dtype), rng.normal((n,), dtype)
    assert u.dtype == x.dtype == dtype
    assert 0 <= u.min() and u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / np.sqrt(12 * n) and abs(u.var() * 12 - 1) < 0.03
    assert abs(x.mean()) < 5 / np.sqrt(n) and abs(x.var() - 1) < 5 * np.sqrt(2 / n)
    assert _ks(u, lambda v: v) < 1.95 and _ks(x, _normal_cdf) < 1.95  # the 0.1 % level
    for v in (u, x):
        for lag in (1, 2, 3, 4):  # neighbours in a pair, in a block, and in the next block
            assert abs(np.corrcoef(v[:-lag], v[lag:])[0, 1]) < 5 / np.sqrt(n)


def test_streams_are_independent():
    at, n = Generator(0).at, 20_000
    columns = [at("a").normal((n,)), at("b").normal((n,)), at("a", 1).normal((n,))]
    columns.append(Generator(1).at("a").normal((n,)))
    correlation = np.corrcoef(columns) - np.eye(4)
    assert abs(correlation).max() < 5 / np.sqrt(n)


def test_bernoulli():
    rng = Generator(0).at("b")
    p = np.repeat(np.float32([0, 0.25, 1]), 20_000).reshape(3, 20_000)
    x = rng.bernoulli(p)
    assert x.shape == p.shape and x.dtype == np.float32 and set(np.unique(x)) == {0, 1}
    assert x[0].sum() == 0 and x[2].sum() == 20_000 and abs(x[1].mean() - 0.25) < 0.016
    np.testing.assert_array_equal(rng.bernoulli(p.T[::2]).shape, (10_000, 3))


def test_integers():
    rng = Generator(0).at("i")
    x = rng.integers(-3, 7, (50_000,))
    assert x.dtype == np.int64
    counts = np.bincount(x + 3)
    assert len(counts) == 10 and ((counts - 5000) ** 2 / 5000).sum() < 28  # chi², 9 degrees, 0.1 %
    wide = rng.integers(-(2**31), 2**31, (10_000,))
    assert wide.min() < -0.99 * 2**31 and wide.max() > 0.99 * 2**31
    words = philox.words(0, 5, 6, 0, 2000)
    key = [int(a) << 32 | int(b) for a, b in words.reshape(-1, 2)]
    stream = Generator(0).at("")
    stream._key = 0, 5, 6
    width = 2**32 - 1
    assert stream.integers(0, width, (1000,)).tolist() == [k * width >> 64 for k in key]
    for low, high in [(3, 3), (4, 3), (0, 2**32 + 1)]:
        with pytest.raises(ValueError, match="integers"):
            rng.integers(low, high)


def test_permutation():
    rng = Generator(0).at("p")
    first, second = rng.permutation(1000), rng.permutation(1000)
    assert first.dtype == np.int64
    np.testing.assert_array_equal(np.sort(first), np.arange(1000))
    assert (first == second).sum() < 10 and (first == np.arange(1000)).sum() < 10
    places = np.stack([rng.permutation(4) for _ in range(2400)])
    _, counts = np.unique(places, axis=0, return_counts=True)
    assert len(counts) == 24 and ((counts - 100) ** 2 / 100).sum() < 50  # chi², 23 degrees, 0.1 %


def test_shapes_and_dtypes():
    rng = Generator(0).at("s")
    assert rng.uniform().shape == () and rng.normal((2, 3)).shape == (2, 3) and rng.normal(5).shape == (5,)
    assert rng.uniform((0, 4)).shape == (0, 4) and rng.permutation(0).shape == (0,)
    with pytest.raises(ValueError, match="float16"):
        rng.normal(3, np.float16)
    with pytest.raises(ValueError, match="64 bits"):
        Generator(2**64)
    np.testing.assert_array_equal(Generator(-1).at("a").uniform(3), Generator(2**64 - 1).at("a").uniform(3))


def test_default_generator():
    before = random.get_state()
    try:
        random.manual_seed(7)
        first, second = random.default_stream().uniform(4), random.default_stream().uniform(4)
        assert (first != second).all()
        state = random.get_state()
        third = random.default_stream().uniform(4)
        random.set_state(state)
        np.testing.assert_array_equal(random.default_stream().uniform(4), third)
        random.manual_seed(7)
        np.testing.assert_array_equal(random.default_stream().uniform(4), first)
        with pytest.raises(ValueError, match="counter"):
            random.set_state({"seed": 1, "counter": -1})
    finally:
        random.set_state(before)


def test_small_draws_and_import_leave_numba_alone():
    draw = "from tinygen.random import Generator; Generator(0).at('x').normal(8)"
    code = f"import sys; {draw}; print('numba' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
