"""The shipped evaluators, measures of images with floors and ceilings, and the classifier behind the evaluators."""

import contextlib
import hashlib
import json
import os

import numpy as np
import pytest
from support.gpu import gpu
from support.resuming import require_same_bits

from tinygen.data import DataError, load
from tinygen.metrics import MetricError, image_measures, images, limits
from tinygen.metrics.evaluator import WEIGHTS, Evaluator, features_and_logits, load_evaluator
from tinygen.metrics.frechet import frechet_distance
from tinygen.models import classifier
from tinygen.run import checkpoint
from tinygen.run.training import Run

ACCURACY = {"glyphs": 0.999, "mnist": 0.993, "fashion-mnist": 0.92}
NAMES = (
    "fd kid inception_score top_probability class_kl precision recall density coverage memorisation".split()
)
HIGHER_IS_BETTER = {"inception_score", "precision", "recall", "density", "coverage"}


@pytest.fixture(params=ACCURACY)
def data(request):
    if request.param != "glyphs" and not os.environ.get("TINYGEN_DATA"):
        pytest.skip(f"no {request.param} here: set TINYGEN_DATA")
    return request.param


# The shipped evaluators


def test_the_shipped_evaluator_classifies_the_test_set(data):
    """With the accuracy that its metadata state."""
    path = WEIGHTS / f"{data}.safetensors"
    assert path.stat().st_size <= 2_000_000
    test, (_, facts) = load(data), checkpoint.read(path)
    found = classifier.accuracy(load_evaluator(data), test.test_images, test.test_labels)
    assert found >= ACCURACY[data]
    assert found == pytest.approx(
        facts["accuracy"], abs=2e-4
    )  # on another machine, rounding may change an image or two
    assert facts["command"].startswith(f"tinygen train classifier --data {data} --seed ")


def test_the_test_set_is_next_to_the_training_set(data):
    """The floor of the Fréchet distance, computed with the first 10,000 training images."""
    dataset, net = load(data), load_evaluator(data)
    train, _ = features_and_logits(net, dataset.train_images[:10_000])
    test, _ = features_and_logits(net, dataset.test_images)
    standardise = images.Standardised(train)
    distance = frechet_distance(standardise(test), standardise(train))
    assert 0 < distance < 1
    assert distance == pytest.approx(images.known_limits(data)["fd_floor"], rel=1e-3)


def test_floors_and_ceilings_are_of_the_shipped_weights_and_apart(data):
    known = json.loads((WEIGHTS / f"{data}.json").read_text())
    assert (
        known["weights_sha256"] == hashlib.sha256((WEIGHTS / f"{data}.safetensors").read_bytes()).hexdigest()
    )
    for name in NAMES:
        floor, ceiling = known["floor"][name], known["ceiling"][name]
        if name not in ("memorisation", "top_probability"):  # noise has zero of one, and can fool the other
            assert floor > ceiling if name in HIGHER_IS_BETTER else floor < ceiling, name


@pytest.mark.slow
def test_floors_and_ceilings_are_what_the_command_measures(data):
    known = json.loads((WEIGHTS / f"{data}.json").read_text())
    for kind in limits.KINDS:
        assert limits.measured(data, kind) == pytest.approx(known[kind], rel=1e-3, abs=1e-3), kind


def test_data_without_an_evaluator():
    with pytest.raises(
        MetricError, match=r"cifar10 has no evaluator, .* there is one for fashion-mnist, glyphs, mnist$"
    ):
        image_measures(np.zeros((10_000, 28, 28), np.float32), "cifar10")


# Measures of images


@pytest.fixture
def small(monkeypatch):
    """An untrained evaluator and 1,500 + 1,500 glyphs, so that all measures take a second."""
    glyphs = load("glyphs")
    x = np.divide(glyphs.train_images[:3000], 255, dtype=np.float32)
    net = Evaluator().eval()
    reference = images.Reference(net, x[:1500], glyphs.train_labels[:1500])
    monkeypatch.setattr(images, "load_evaluator", lambda name: net)
    monkeypatch.setattr(images.Reference, "of", lambda *names: reference)
    monkeypatch.setattr(images, "known_limits", lambda name: {f"{n}_floor": 0.0 for n in NAMES})
    return x


def test_image_measures_has_the_contracts_keys(small):
    found = image_measures(small[1500:], "mnist")
    assert list(found) == NAMES + [f"{name}_floor" for name in NAMES]
    assert all(np.isfinite(value) for value in found.values()) and found["fd"] > 0
    quick = images.quick_measures(small[1500:], "mnist")
    assert quick == {name: found[name] for name in ("fd", "inception_score")}
    assert image_measures(small[1500:, None].astype(np.float64), "mnist") == pytest.approx(found, rel=1e-5)


def test_measures_see_noise_collapse_and_copies(small):
    unseen = image_measures(small[1500:], "mnist")
    noise = image_measures(limits.noise((255 * small[:1500]).astype(np.uint8), 1500), "mnist")
    collapsed = image_measures(small[[1500] * 1500], "mnist")
    copies = image_measures(small[:1500], "mnist")
    assert (
        unseen["fd"] < noise["fd"]
        and unseen["kid"] < noise["kid"]
        and unseen["precision"] > noise["precision"]
    )
    assert collapsed["recall"] < 0.01 < unseen["recall"] and collapsed["coverage"] < unseen["coverage"]
    assert copies["memorisation"] > 0.95 > unseen["memorisation"] and copies["fd"] < 1e-6


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.zeros((2000, 3, 28, 28), np.float32), r"images: found colour, \(2000, 3, 28, 28\)"),
        (np.zeros((2000, 784), np.float32), r"images: found shape \(2000, 784\), expected"),
        (np.zeros((2000, 1, 32, 32), np.float32), r"images: found shape \(2000, 32, 32\), expected"),
        (np.zeros((2000, 28, 28), np.uint8), r"images: found uint8, expected floats in \[0, 1\]"),
        (np.full((2000, 28, 28), -1.0), r"images: found values from -1 to -1, expected \[0, 1\]"),
        (np.full((2000, 28, 28), 255.0), r"images: found values from 255 to 255, expected"),
        (np.full((2000, 28, 28), np.nan), r"images: found values from nan to nan, expected"),
        (np.zeros((895, 28, 28), np.float32), r"fd: found 895 images, expected at least 896: 7 for each"),
        (np.zeros((0, 28, 28), np.float32), r"fd: found 0 images"),
    ],
)
def test_images_that_cannot_be_measured(small, bad, message):
    with pytest.raises(MetricError, match=message) as error:
        image_measures(bad, "mnist")
    assert "\n" not in str(error.value)


def test_noise_has_the_mean_images_probabilities():
    train = np.zeros((10, 28, 28), np.uint8)
    train[:5, 3] = 255
    noise = limits.noise(train, 4000)
    assert noise.shape == (4000, 28, 28) and set(np.unique(noise)) == {0, 1}
    assert noise[:, 3].mean() == pytest.approx(0.5, abs=0.01) and noise.sum() == noise[:, 3].sum()


# The classifier


def trained(folder):
    config = classifier.Config(steps=40, batch=50, checkpoint_every=20)
    return classifier.train(config, Run.create("classifier", config, folder))


def test_the_classifier_learns_and_its_export_is_an_evaluator(tmp_path, monkeypatch):
    run = trained(tmp_path / "run")
    measured = classifier.evaluate(Run.open(run.folder, classifier.Config), samples=500)
    assert list(measured) == ["data", "split", "images", "accuracy"] and measured["images"] == 500
    assert 0.5 < measured["accuracy"] < 1
    path = classifier.export(run.folder, tmp_path / "glyphs.safetensors")
    monkeypatch.setattr("tinygen.metrics.evaluator.WEIGHTS", tmp_path)
    net, test = load_evaluator.__wrapped__("glyphs"), load("glyphs")  # not kept for later tests
    assert classifier.accuracy(net, test.test_images[:500], test.test_labels[:500]) == measured["accuracy"]
    command = "tinygen train classifier --data glyphs --seed 0 --steps 40 --batch 50 --lr 0.003"
    assert checkpoint.read(path)[1]["command"] == command


def test_a_stopped_classifier_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    """Including dropout and the running statistics of batch normalization."""
    config = classifier.Config(steps=40, batch=50, checkpoint_every=20)
    require_same_bits(classifier, "classifier", config, tmp_path, 30, monkeypatch)


def test_both_devices_train_a_classifier_alike(tmp_path):
    config = classifier.Config(steps=2, batch=2)
    losses, accuracies = {}, {}
    for device in "cpu", "cuda":
        with gpu() if device == "cuda" else contextlib.nullcontext():
            run = classifier.train(config, Run.create("classifier", config, tmp_path / device, device=device))
            losses[device] = [line["loss"] for line in run.metrics()]
            accuracies[device] = classifier.evaluate(run, samples=2)["accuracy"]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-4)
    assert accuracies["cuda"] == accuracies["cpu"]


def test_images_in_colour_are_refused(tmp_path):
    config = classifier.Config(data="cifar10", steps=1)
    with pytest.raises(
        DataError, match=r"images of cifar10 are 3 x 32 x 32, this network takes 28 x 28 in grey"
    ):
        classifier.train(config, Run.create("classifier", config, tmp_path / "run"))
