"""Measures of features compared with closed forms, scipy, and values printed by published code.

The published code that was run on the arrays of `clouds`, after pip install prdc scipy (none of it is copied here):

    prdc.compute_prdc(real, fake, nearest_k=1), and 5; prdc 0.2 of github.com/clovaai/generative-evaluation-prdc
    scipy.linalg.sqrtm(covariance1 @ covariance2) in the formula of frechet.py; scipy 1.17.1
    sklearn.metrics.pairwise.polynomial_kernel(degree=3, coef0=1), means without the diagonals; scikit-learn 1.9.1
"""

import numpy as np
import pytest

from tinygen.metrics import MetricError, kid, neighbours
from tinygen.metrics.classes import class_histogram_kl, inception_score, top_probability
from tinygen.metrics.evaluator import Standardised
from tinygen.metrics.frechet import frechet_distance, gaussian_frechet_distance, mean_and_covariance
from tinygen.metrics.kid import kernel_distance
from tinygen.metrics.neighbours import ball_radii, memorisation, precision_recall_density_coverage

PRDC = {
    1: {"precision": 0.5866666666666667, "recall": 0.1475, "density": 0.9333333333333333, "coverage": 0.25},
    5: {"precision": 0.7433333333333333, "recall": 0.445, "density": 1.042, "coverage": 0.7925},
}
SCIPY_FD, SKLEARN_KID = 0.7506901882085888, 0.37769319694942727


def cloud(n, first, stretch=1.0):
    """Scattered points in a cube, without random numbers.  -> (n, 6)"""
    i = np.arange(first, first + n, dtype=np.float64)[:, None]
    return stretch * (2 * np.modf(i * i * np.sqrt([2, 3, 5, 7, 11, 13]))[0] - 1)


def clouds():
    """400 real points and 300 fake ones, most of them too central, the others outside."""
    return cloud(400, 1), np.concatenate([cloud(200, 1001, 0.6), cloud(100, 2001) + 0.8])


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# Fréchet distance


def test_frechet_distance_of_gaussians_with_a_common_basis_has_a_closed_form():
    """For commuting covariances: |m|² + sum of (sqrt(a_i) - sqrt(b_i))²."""
    basis, _ = np.linalg.qr(normal(0, 5, 5))
    a, b, m = np.array([4, 1, 0.25, 1e-9, 0]), np.array([1, 9, 0.25, 1e-3, 0]), normal(1, 5)
    found = gaussian_frechet_distance(np.zeros(5), basis * a @ basis.T, m, basis * b @ basis.T)
    assert found == pytest.approx(m @ m + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), abs=1e-6)


def test_frechet_distance_of_two_by_two_covariances_has_a_closed_form():
    """For covariances that do not commute: tr sqrt(S1 S2) = sqrt(tr(S1 S2) + 2 sqrt(det S1 det S2))."""
    s1, s2 = np.array([[2.0, 0.9], [0.9, 1.0]]), np.array([[1.0, -0.7], [-0.7, 3.0]])
    root = np.sqrt(np.trace(s1 @ s2) + 2 * np.sqrt(np.linalg.det(s1) * np.linalg.det(s2)))
    found = gaussian_frechet_distance(np.zeros(2), s1, np.zeros(2), s2)
    assert found == pytest.approx(np.trace(s1) + np.trace(s2) - 2 * root, rel=1e-12)


def test_frechet_distance_is_what_scipy_computes():
    assert frechet_distance(*clouds()) == pytest.approx(SCIPY_FD, rel=1e-10)


def test_frechet_distance_is_what_scipy_computes_here():
    linalg = pytest.importorskip("scipy.linalg")
    x, y = normal(0, 300, 20) @ normal(1, 20, 20), normal(2, 400, 20) @ normal(3, 20, 20) + 1
    (m1, s1), (m2, s2) = mean_and_covariance(x), mean_and_covariance(y)
    expected = ((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * linalg.sqrtm(s1 @ s2).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_to_itself_is_nothing_and_it_is_symmetric():
    real, fake = clouds()
    assert 0 <= frechet_distance(real, real) < 1e-9
    assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-9)


def test_frechet_distance_is_taken_in_float64_though_features_are_float32():
    # float32 rounds the squares of these features to multiples of 1/16
    real, fake = (x.astype(np.float32) + 1000 for x in clouds())
    assert frechet_distance(real, fake) == pytest.approx(SCIPY_FD, rel=1e-4)


def test_frechet_distance_of_too_few_images_is_refused():
    real, fake = clouds()
    with pytest.raises(MetricError, match="found 41 images, expected at least 42"):
        frechet_distance(real, fake[:41])
    frechet_distance(real, fake[:42])


# Kernel distance


def test_kernel_distance_is_what_sklearns_kernel_gives():
    assert kernel_distance(*clouds()) == pytest.approx(SKLEARN_KID, rel=1e-10)


def test_kernel_distance_does_not_depend_on_the_blocks(monkeypatch):
    monkeypatch.setattr(kid, "ROWS", 37)
    assert kernel_distance(*clouds()) == pytest.approx(SKLEARN_KID, rel=1e-10)


def test_kernel_distance_has_no_bias():
    """For equal distributions it is 0 on average, with values on both sides; the biased estimate is never negative."""
    values = [kernel_distance(normal(2 * i, 20, 3), normal(2 * i + 1, 30, 3)) for i in range(300)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error and 0.2 < np.mean(np.array(values) < 0) < 0.8


# Classes


def test_inception_score_is_one_for_uncertainty_or_one_class_and_ten_for_even_certainty():
    certain = 200.0 * np.eye(10)
    assert inception_score(np.zeros((7, 10))) == pytest.approx(1)
    assert inception_score(certain[[3] * 50]) == pytest.approx(1)
    assert inception_score(np.repeat(certain, 3, axis=0)) == pytest.approx(10)
    assert inception_score(1e4 + certain[:4]) == pytest.approx(4)


def test_inception_score_of_known_probabilities():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    kl = (p * np.log(p / p.mean(axis=0))).sum(axis=1).mean()
    assert inception_score(np.log(p) + [[5], [-3]]) == pytest.approx(np.exp(kl), rel=1e-12)


def test_top_probability():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    assert top_probability(np.log(p) + [[5], [-3]]) == pytest.approx(0.65, rel=1e-12)
    assert top_probability(np.zeros((3, 10))) == pytest.approx(0.1)
    assert top_probability(1e4 * np.eye(10)) == 1


def test_class_histogram_kl():
    even = np.arange(1000) % 10
    assert class_histogram_kl(even[:100], even) == pytest.approx(0, abs=1e-12)
    assert class_histogram_kl(np.full(5, 3), even) == pytest.approx(np.log(10))
    # of generated from data, not the reverse: a class that is never generated costs little, not infinity
    assert class_histogram_kl(even[even < 5], even) == pytest.approx(np.log(2))
    assert class_histogram_kl(even, even[even < 9]) == np.inf


# Neighbours


@pytest.mark.parametrize("k", PRDC)
def test_precision_recall_density_coverage_are_what_the_published_code_prints(k):
    assert precision_recall_density_coverage(*clouds(), k=k) == pytest.approx(PRDC[k], rel=1e-12)


@pytest.mark.parametrize("elements", (1, 4500))
def test_neighbours_do_not_depend_on_the_blocks(monkeypatch, elements):
    real, fake = clouds()
    copied = memorisation(real, fake)
    monkeypatch.setattr(neighbours, "ELEMENTS", elements)
    assert precision_recall_density_coverage(real, fake) == pytest.approx(PRDC[5], rel=1e-12)
    assert memorisation(real, fake) == copied


def test_ball_radii_one_by_one():
    x = clouds()[0][:50]
    expected = [np.sort(((x - row) ** 2).sum(axis=1))[3] for row in x]  # the first is the point itself
    np.testing.assert_allclose(ball_radii(x, 3), expected, rtol=1e-12)


def repeated(seed, times, n=40, F=16):
    return np.repeat(normal(seed, n, F), times, axis=0)


@pytest.mark.parametrize("shift", [0, 1e3, 1e6])
@pytest.mark.parametrize("times", [1, 2, 6, 10])
def test_a_set_against_itself_has_everything_however_often_its_images_repeat(times, shift):
    """Also in another order, and far from the origin, where products of features cancel most."""
    x = repeated(0, times) + shift
    found = precision_recall_density_coverage(x, x[np.random.default_rng(1).permutation(len(x))])
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    # each ball holds the copies of its center and the k = 5 nearest others: 6 images, or all the copies
    assert found["density"] == pytest.approx(-(-6 // times) * times / 5)


def test_one_image_again_and_again_is_in_its_own_ball_alone():
    same = np.ones((50, 8))
    found = precision_recall_density_coverage(same, same)
    assert found == {"precision": 1, "recall": 1, "coverage": 1, "density": 10}
    apart = precision_recall_density_coverage(same, same + 1e-7)
    assert apart == {"precision": 0, "recall": 0, "coverage": 0, "density": 0}


def test_distances_of_equal_rows_are_0_and_the_same_both_ways():
    x = np.concatenate([repeated(0, 3), repeated(0, 1) + 1e-6, repeated(1, 2)]) * [1e4, *[1] * 15] + 77
    ((_, d),) = neighbours._distance_blocks(x, x, "")
    expected = ((x[:, None] - x) ** 2).sum(axis=2)
    assert (d[expected == 0] == 0).all() and (d[expected > 0] > 0).all()
    np.testing.assert_allclose(d, expected, rtol=1e-9)
    np.testing.assert_allclose(d, d.T, rtol=1e-11)


def test_memorisation_does_not_depend_on_how_often_a_training_image_is_there():
    train, fake = normal(0, 200, 8), normal(1, 100, 8)
    doubled = np.concatenate([train, train[::-1], train[:50]])
    for images, share in (
        (train, 1),
        (doubled, 1),
        (train[:70] + 1e-4, 1),
        (fake, memorisation(train, fake)),
    ):
        assert memorisation(doubled, images) == share
    assert memorisation(np.ones((5, 3)), np.ones((2, 3))) == 1


def test_precision_is_lost_outside_and_recall_by_collapse():
    real = normal(0, 500, 4)
    outside = precision_recall_density_coverage(real, normal(1, 500, 4) + 20)
    assert outside == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    collapsed = precision_recall_density_coverage(real, 0.01 * normal(1, 500, 4))
    assert collapsed["precision"] == 1 and collapsed["recall"] < 0.05 and collapsed["coverage"] < 0.1


def test_as_few_images_as_neighbours_are_refused():
    with pytest.raises(MetricError, match="found 5 images, expected more than k = 5"):
        precision_recall_density_coverage(clouds()[0], clouds()[1][:5])


def test_memorisation_one_by_one():
    train, fake = clouds()
    count = 0
    for g in fake:
        d = ((train - g) ** 2).sum(axis=1)
        r = d.argmin()
        others = np.delete(((train - train[r]) ** 2).sum(axis=1), r)
        count += d[r] < others.min()
    assert 0 < count < len(fake) and memorisation(train, fake) == count / len(fake)


def test_memorisation_is_one_for_copies_and_nothing_for_what_is_far():
    train = normal(0, 400, 8)
    copies = train[::2] + 1e-3 * normal(1, 200, 8)
    assert memorisation(train, copies) == 1
    assert memorisation(train, 10 * copies) < 0.05
    unseen = memorisation(train, normal(2, 300, 8))
    assert 0.2 < unseen < 0.8
    mixed = np.concatenate([copies[:100], normal(2, 300, 8)])  # a quarter is copied
    assert memorisation(train, mixed) == pytest.approx((100 + 300 * unseen) / 400)


# Standardized features


def test_standardised_features_have_mean_0_and_deviation_1():
    x = normal(0, 500, 6) * [1, 2, 3, 1, 0.5, 9] + 4
    z = Standardised(x)(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z[:, :4].std(axis=0), 1, rtol=1e-9)


def test_a_feature_that_is_dead_on_the_data_makes_no_distance_of_millions():
    data, generated = normal(0, 500, 6), normal(1, 500, 6)
    data[:, 2] = 0
    data[0, 2] = 1e-4  # nearly dead: divided by its deviation alone, 1 would become 1e5
    standardise = Standardised(data)
    assert 1 < frechet_distance(standardise(data), standardise(generated)) < 200
