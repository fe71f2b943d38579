"""Slant and stroke width, of strokes with known values and of digits sheared and enlarged by known amounts."""

import warnings

import numpy as np
import pytest
from PIL import Image

from tinygen.data import DataError, load
from tinygen.metrics import MetricError
from tinygen.metrics.attributes import slant, stroke_width

SIZE, FINE = 28, 8  # pixels, and sample points per pixel in each direction
AXIS = (np.arange(SIZE * FINE) + 0.5) / FINE - SIZE / 2
X, Y = np.meshgrid(AXIS, -AXIS)  # y upwards


def drawn(inside):
    """A shape as gray pixels: the fraction of each pixel that lies inside."""
    return inside.astype(float).reshape(SIZE, FINE, SIZE, FINE).mean((1, 3))[None]


def stroke(tangent, width, length=16, x=0.0, y=0.0):
    """A straight stroke with round ends that leans `tangent` to the right for each pixel up."""
    along = np.array([tangent, 1]) / np.hypot(tangent, 1)
    t = np.clip((X - x) * along[0] + (Y - y) * along[1], -length / 2, length / 2)
    return drawn(np.hypot(X - x - t * along[0], Y - y - t * along[1]) < width / 2)


def ring(radius, width):
    return drawn(np.abs(np.hypot(X, Y) - radius) < width / 2)


def sheared(images, amount):
    """x -> x + amount y, rows moved with linear interpolation.  (N, H, W) -> (N, H, W + 20)"""
    padded = np.pad(images, ((0, 0), (0, 0), (10, 10)))
    out = np.empty_like(padded)
    for i in range(SIZE):
        move = amount * ((SIZE - 1) / 2 - i)
        whole = int(np.floor(move))
        before, after = (np.roll(padded[:, i], shift, axis=1) for shift in (whole, whole + 1))
        out[:, i] = before + (move - whole) * (after - before)
    return out


@pytest.fixture(scope="module", params=["glyphs", "mnist"])
def digits(request):
    try:
        return load(request.param).test_images[:300] / 255
    except DataError:
        pytest.skip(f"no {request.param} here")


@pytest.mark.parametrize("tangent", [-0.6, -0.2, 0.0, 0.3, 0.5])
def test_slant_of_a_thin_stroke_is_its_tangent(tangent):
    assert slant(stroke(tangent, 1.2))[0] == pytest.approx(tangent, abs=0.015)


def test_slant_does_not_depend_on_place_and_brightness():
    found = slant(stroke(0.3, 2))
    assert slant(stroke(0.3, 2, x=3, y=-2)) == pytest.approx(found, abs=1e-3)
    assert slant(0.5 * stroke(0.3, 2)) == pytest.approx(found, rel=1e-12)


def test_a_shear_adds_exactly_its_amount():
    """With rows moved by whole pixels, mu_xy grows by s mu_yy, and mu_yy does not change."""
    image = np.zeros((1, 9, 40))
    image[0, :, 15:20] = np.random.default_rng(0).uniform(size=(9, 5))
    moved = np.stack([np.roll(row, 8 - i) for i, row in enumerate(image[0])])[None]
    assert slant(moved)[0] - slant(image)[0] == pytest.approx(1, rel=1e-12)


def test_slant_of_sheared_digits_regresses_to_the_shear(digits):
    shears = np.array([-0.3, -0.15, 0.0, 0.15, 0.3])
    found = np.array([slant(sheared(digits, s)) - slant(digits) for s in shears])
    fitted, offset = np.polyfit(shears, found.mean(1), 1)
    assert fitted == pytest.approx(1, abs=0.02) and abs(offset) < 0.005
    assert np.abs(found - shears[:, None]).max() < 0.01


@pytest.mark.parametrize("width", [2, 2.5, 3, 4, 5])
def test_width_of_rings(width):
    for radius in 6, 8:
        assert stroke_width(ring(radius, width))[0] == pytest.approx(width, rel=0.015)


@pytest.mark.parametrize("width", [2.5, 3, 4])
@pytest.mark.parametrize("tangent", [0.0, 0.25, 0.5, 1.0])
def test_width_of_strokes_with_their_ends(width, tangent):
    expected = width * (16 + np.pi * width / 4) / (16 + np.pi * width / 2)
    assert stroke_width(stroke(tangent, width))[0] == pytest.approx(expected, rel=0.05)


def test_width_of_enlarged_digits_regresses_to_the_factor(digits):
    """Compares enlargements with each other, so that the blur of the interpolation matters little."""
    factors = np.array([2, 2.5, 3, 3.5, 4])
    widths = []
    for factor in factors:
        size = (int(SIZE * factor),) * 2
        large = [Image.fromarray(x).resize(size, Image.BICUBIC) for x in digits[:60].astype(np.float32)]
        widths.append(stroke_width(np.clip(np.stack([np.asarray(x) for x in large]), 0, 1)))
    relative = (widths / widths[0]).mean(1)
    fitted, _ = np.polyfit(factors / 2, relative, 1)
    assert fitted == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(relative, factors / 2, rtol=0.03)


def test_an_image_without_ink_has_no_attributes():
    images = np.concatenate([np.zeros((1, SIZE, SIZE)), stroke(0.2, 2)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for measure in slant, stroke_width:
            assert list(np.isnan(measure(images))) == [True, False]
            assert measure(images[:0]).shape == (0,)


def test_what_is_no_grey_image_in_0_to_1():
    for measure in slant, stroke_width:
        with pytest.raises(
            MetricError, match=r"found images of shape \(2, 3, 32, 32\), expected \(N, H, W\)"
        ):
            measure(np.zeros((2, 3, 32, 32)))
        with pytest.raises(MetricError, match=r"found values from 0 to 255, expected \[0, 1\]"):
            measure(255 * stroke(0, 2))
