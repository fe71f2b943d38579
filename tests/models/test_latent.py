"""Walks and attribute vectors, in a latent space whose images are strokes of known slant; and their commands."""

import json

import numpy as np
import pytest

from tinygen.cli import main
from tinygen.metrics import MetricError
from tinygen.models import cgan, gan, pacgan, vae
from tinygen.models.latent import attributes, walks
from tinygen.models.latent.explore import explored
from tinygen.models.latent.space import LatentSpace
from tinygen.run.training import Run


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Vectors are computed from fewer images than by the command, in parts."""
    monkeypatch.setattr(attributes, "FOUND_ON", 3000)
    monkeypatch.setattr(attributes, "ROWS", 700)


# Walks


def test_linear():
    path = walks.linear(np.zeros((1, 2), np.float32), np.array([[2, 4]], np.float32), 3)
    assert path.shape == (1, 3, 2) and path.dtype == np.float32
    np.testing.assert_allclose(path[0], [[0, 0], [1, 2], [2, 4]])


def test_spherical_keeps_the_length_and_turns_evenly():
    rng = np.random.default_rng(0)
    start, end = (5 * v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 4, 30)))
    path = walks.spherical(start.astype(np.float32), end.astype(np.float32), 7)
    np.testing.assert_allclose(path[:, 0], start, rtol=1e-5)
    np.testing.assert_allclose(path[:, -1], end, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path, axis=2), 5, rtol=1e-5)
    turn = (path[:, 1:] * path[:, :-1]).sum(2) / 25
    np.testing.assert_allclose(turn, turn[:, :1] * np.ones(6), rtol=1e-5)
    assert np.linalg.norm(walks.linear(start, end, 7), axis=2).min() < 4  # the line cuts through


def test_spherical_where_there_is_no_arc():
    start = np.array([[1, 2, 2], [1, 2, 2], [0, 0, 0]], np.float32)
    end = np.array([[2, 4, 4], [-1, -2, -2], [1, 0, 0]], np.float32)
    np.testing.assert_allclose(walks.spherical(start, end, 5), walks.linear(start, end, 5), atol=1e-5)


# Attributes


def test_the_vector_is_the_attribute_without_the_class():
    """The attribute grows with z0 and, faster, with z1, on which the class depends too."""
    z = np.random.default_rng(0).normal(size=(60_000, 6)).astype(np.float32)
    classes = np.digitize(z[:, 1], [-0.5, 0.5])
    vector = attributes.attribute_vector(z, z[:, 0] + 3 * z[:, 1], classes)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert vector[0] > 0.97 and abs(vector[1]) < 0.05
    opposite = attributes.attribute_vector(z, -z[:, 0] - 3 * z[:, 1], classes)
    np.testing.assert_allclose(vector, -opposite, atol=1e-5)


def test_the_vector_ignores_images_without_the_attribute():
    z = np.random.default_rng(1).normal(size=(2000, 3)).astype(np.float32)
    values = np.where(z[:, 1] > 1, np.nan, z[:, 0])
    assert attributes.attribute_vector(z, values, np.zeros(2000))[0] > 0.98
    with pytest.raises(MetricError, match="found 3 images, too few to find high and low ones in any class"):
        attributes.attribute_vector(z[:3], values[:3], np.zeros(3))


def strokes(z):
    """Strokes with slant 0.1 z0, shifted sideways by 2 z1.  (N, L) -> (N, 28, 28)"""
    y, x = 13.5 - np.mgrid[:28][:, None], np.mgrid[:28] - 13.5
    middle = 2 * z[:, 1, None, None] + 0.1 * z[:, 0, None, None] * y
    return np.clip(2.5 - np.abs(x - middle), 0, 1) * (np.abs(y) < 9)


def by_side(data, images):
    """Two classes, left and right of the middle; unsure within half a pixel of it."""
    side = (images * (np.mgrid[:28] - 13.5)).sum((1, 2)) / images.sum((1, 2))
    right = np.clip(0.5 + side, 0, 1)
    return np.stack([1 - right, right], axis=1)


def space(decode=strokes, seen=None):
    def draw(n, split, seed):
        if seen is not None:
            seen.append((n, split))
        return np.random.default_rng([seed, split == "test"]).normal(size=(n, 5)).astype(np.float32)

    return LatentSpace(draw, decode, "mnist")


def test_a_planted_attribute_is_found_and_measured(monkeypatch):
    monkeypatch.setattr(attributes, "class_probabilities", by_side)
    seen = []
    found = attributes.attribute_measures(space(seen=seen), attribute="slant", samples=300)
    assert seen == [
        (300, "test"),
        (attributes.FOUND_ON, "train"),
    ]  # never measured on the images it was computed from
    assert found["slope"] == pytest.approx(0.1, rel=0.03) and found["r2"] > 0.999 and found["monotone"]
    assert found["class_kept"] > 0.99 and found["class_kept_all"] < found["class_kept"]
    assert found["sure"] == pytest.approx(0.8, abs=0.06)  # P(|2 z1| > 0.5)
    assert found["images"] == 300 and len(found["values"]) == 9


def test_measures_show_when_the_class_changes_or_the_attribute_does_not_grow(monkeypatch):
    monkeypatch.setattr(attributes, "class_probabilities", by_side)

    def entangled(z):  # the slant also shifts the stroke
        return strokes(np.concatenate([z[:, :1], z[:, :1] + 0.1 * z[:, 1:2], z[:, 2:]], axis=1))

    monkeypatch.setattr(
        attributes, "attribute_vector", lambda z, values, classes: np.eye(5, dtype=np.float32)[0]
    )
    found = attributes.attribute_measures(space(entangled), attribute="slant", samples=300)
    assert found["r2"] > 0.99 and found["class_kept"] < 0.8
    assert found["class_kept_worst"] < found["class_kept"]

    bent = attributes.attribute_measures(space(lambda z: strokes(np.abs(z))), attribute="slant", samples=300)
    assert not bent["monotone"] and bent["r2"] < 0.5


def test_the_image_itself_does_not_count_as_kept(monkeypatch):
    middle = strokes(space().draw(100, "test", 0))

    def another_class_when_moved(data, images):
        return np.eye(2)[[0 if np.array_equal(a, b) else 1 for a, b in zip(images, middle)]]

    monkeypatch.setattr(attributes, "FOUND_ON", 100)
    monkeypatch.setattr(attributes, "class_probabilities", another_class_when_moved)
    assert attributes.attribute_measures(space(), attribute="slant", samples=100)["class_kept"] == 0


def test_without_an_evaluator_the_classes_are_left_out(capsys):
    found = attributes.attribute_measures(
        LatentSpace(space().draw, strokes, "another"), attribute="slant", samples=100
    )
    assert found["r2"] > 0.99 and "class_kept" not in found
    assert (
        "another has no evaluator: whether images keep their class is not measured" in capsys.readouterr().err
    )


def test_line_fit():
    x = np.array([-1.0, 0, 1, 2])
    y = np.array([0.0, 1, 3, 3])
    slope, r2 = attributes.line_fit(x, y)
    assert slope == pytest.approx(1.1) and r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert attributes.line_fit(x, 0 * x)[1] == 0


def test_rows_go_from_less_to_more_of_the_attribute(monkeypatch):
    monkeypatch.setattr(attributes, "class_probabilities", by_side)
    sheet = explored(space(), 3, attribute="slant")
    images = sheet.images
    assert images.shape == (27, 28, 28) and sheet.columns == 9
    assert list(sheet.over) == ["-2", "-1.5", "-1", "-0.5", "0", "+0.5", "+1", "+1.5", "+2"]
    found = attributes.ATTRIBUTES["slant"](images).reshape(3, 9)
    assert (np.diff(found, axis=1) > 0).all()
    sheet = explored(space(), 3, walk="spherical")
    images = sheet.images
    z = space().draw(6, "test", 0)
    assert images.shape == (30, 28, 28) and sheet.columns == 10
    assert list(sheet.over)[:2] == ["from", "0.11"] and list(sheet.over)[-2:] == ["0.89", "to"]
    np.testing.assert_allclose(images[[0, 10, 20]], strokes(z[:3]), atol=1e-5)
    np.testing.assert_allclose(images[[9, 19, 29]], strokes(z[3:]), atol=1e-5)


def test_held_numbers_stay_along_walks_and_attributes(monkeypatch):
    """The last number is not a coordinate: the larger it is, the more the strokes lean."""
    monkeypatch.setattr(attributes, "class_probabilities", lambda data, images: None)
    seen = []

    def decode(z):
        seen.append(z)
        return strokes(np.column_stack([z[:, 0] + z[:, -1], z[:, 1:]]))

    held = LatentSpace(
        lambda n, split, seed: np.column_stack([space().draw(n, split, seed), np.arange(n) % 10]).astype("f"),
        decode,
        "mnist",
        held=1,
    )
    explored(held, 3, walk="spherical")
    (z,) = seen
    assert np.array_equal(z[:, -1], np.repeat([0, 1, 2], 10))
    expected = walks.spherical(*np.split(space().draw(6, "test", 0), 2), 10)
    np.testing.assert_array_equal(z[:, :-1], expected.reshape(30, 5))
    vector = attributes.found_vector(held, "slant")
    assert vector.shape == (6,) and vector[-1] == 0 and vector[0] > 0.9


# On runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent")
    short = {"data": "glyphs", "steps": 2, "batch": 20}
    vae.train(vae.Config(**short), Run.create("vae", vae.Config(**short), folder / "vae"))
    gan.train(gan.Config(**short), Run.create("gan", gan.Config(**short), folder / "gan"))
    cgan.train(cgan.Config(**short), Run.create("cgan", cgan.Config(**short), folder / "cgan"))
    toy = pacgan.Config(steps=2, batch=10)
    pacgan.train(toy, Run.create("pacgan", toy, folder / "pacgan"))
    return folder


@pytest.mark.parametrize("model", ["vae", "gan", "cgan"])
def test_the_latent_spaces_of_runs(runs, model):
    module = {"vae": vae, "gan": gan, "cgan": cgan}[model]
    found = module.latent_space(Run.open(runs / model, module.Config))
    z = found.draw(30, "test", 0)
    assert z.dtype == np.float32 and found.decode(z).shape == (30, 28, 28)
    np.testing.assert_array_equal(z, found.draw(30, "test", 0))
    for other in found.draw(30, "train", 0), found.draw(30, "test", 1):
        assert not np.array_equal(z, other)


@pytest.mark.parametrize("model", ["vae", "gan", "cgan"])
def test_the_commands(runs, model, tmp_path, capsys):
    from PIL import Image

    for flags, columns in [(["--walk", "linear"], 10), (["--attribute", "stroke_width"], 9)]:
        assert main(["sample", str(runs / model), "-n", "3", *flags, "-o", str(tmp_path / "x.png")]) == 0
        width, height = Image.open(tmp_path / "x.png").size
        assert width >= columns * 28 * 3 and height >= 3 * 28 * 3
    assert main(["sample", str(runs / model), "--walk", "spherical", "--seed", "5"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("samples/walk-spherical-n8-seed5-000002.png")
    assert main(["eval", str(runs / model), "--attribute", "slant", "--samples", "100"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["attribute"] == "slant" and printed["images"] == 100 and "r2" in printed
    for name in "eval-slant.json", "eval-slant-samples100-000002.json":
        assert json.loads((runs / model / name).read_text()) == printed
    assert not (runs / model / "eval.json").exists()  # which holds the measures of all images


def test_walks_keep_the_label(runs, monkeypatch, capsys):
    folder, asked = str(runs / "cgan"), []
    forward = cgan.Generator.forward

    def noted(net, z, label):
        asked.append(label.numpy())
        return forward(net, z, label)

    monkeypatch.setattr(cgan.Generator, "forward", noted)
    for more, labels in [([], [0, 1, 2]), (["--label", "7"], [7, 7, 7])]:
        assert main(["sample", folder, "-n", "3", "--walk", "linear", *more]) == 0
        assert np.array_equal(asked[-1], np.repeat(labels, 10))
    assert main(["sample", folder, "--walk", "linear", "--label", "10"]) == 2
    assert "--label: found 10, expected 0 to 9" in capsys.readouterr().err


def test_errors_are_one_line(runs, capsys):
    of_vae, toy = str(runs / "vae"), str(runs / "pacgan")
    for argv, says in [
        (["sample", of_vae, "--attribute", "smile"], "--attribute: unknown value 'smile'; known: slant"),
        (["sample", of_vae, "--walk", "round"], "--walk: unknown value 'round'; known: linear, spherical"),
        (["sample", of_vae, "--walk", "linear", "--attribute", "slant"], "expected one of them"),
        (["sample", toy, "--walk", "linear"], "--walk: pacgan has no latent space to walk in"),
        (
            ["eval", of_vae, "--attribute", "slant", "--samples", "20"],
            "found 20 samples, expected 100 or more",
        ),
        (["eval", of_vae, "--attribute", "slant", "--k", "5"], "--k: cannot be combined with --attribute"),
        (["eval", toy, "--attribute", "slant"], "unknown flag '--attribute'"),
    ]:
        assert main(argv) == 2, argv
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1, said
