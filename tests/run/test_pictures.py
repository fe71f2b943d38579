"""Pictures for people: large enough, with labels where positions mean something, and readable curves."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tinygen.models.adversarial.training import UNITS
from tinygen.models.diffusion import schedule
from tinygen.run import pictures
from tinygen.run.pictures import GAP, LEAST, LINE, Sheet
from tinygen.run.training import Run


@pytest.mark.parametrize("shape", [(64, 28, 28), (64, 3, 32, 32), (1, 28, 28), (8, 1, 28, 28), (900, 28, 28)])
@pytest.mark.parametrize("columns", [None, 1, 12])
def test_images_are_enlarged_whole_times(shape, columns):
    images = np.random.default_rng(0).random(shape, np.float32)
    page = Sheet(images, columns).drawn()
    assert max(page.shape) >= LEAST and page.dtype == np.float32
    plain, sides = pictures.grid(images, columns, 0), np.array(shape[-2:])
    rows_columns = plain.shape[:2] // sides
    times = (page.shape[:2] - GAP * (rows_columns + 1)) / (rows_columns * sides)
    assert times[0] == times[1] == int(times[0]) and max(plain.shape) * (times[0] - 1) < LEAST
    places = [
        np.concatenate([GAP + i * (times[0] * side + GAP) + np.arange(side) * times[0] for i in range(n)])
        for n, side in zip(rows_columns, sides)
    ]
    for offset in 0, int(times[0]) - 1:
        seen = page[np.ix_(*(place.astype(int) + offset for place in places))]
        shown = plain != 0  # the places after the last image stay white
        np.testing.assert_array_equal(seen[shown], plain[shown])


def test_words_stand_over_columns_and_beside_rows():
    images = np.full((6, 4, 4), 0.5)
    plain, page = (
        Sheet(images, 3, **words).drawn()
        for words in ({}, dict(over=["a", "b", ""], beside=["", "image"], title="what it is"))
    )
    left = page.shape[1] - plain.shape[1]
    assert page.shape[0] == plain.shape[0] + 2 * LINE and left > 30
    np.testing.assert_array_equal(page[2 * LINE :, left:], plain)
    side = (plain.shape[1] - 4 * GAP) // 3

    def ink(part):
        return (part < 0.5).any()

    over = page[LINE : 2 * LINE, left + GAP :]
    assert [ink(over[:, i * (side + GAP) : i * (side + GAP) + side]) for i in range(3)] == [True, True, False]
    assert [ink(rows) for rows in np.array_split(page[2 * LINE :, :left], 2)] == [False, True]
    assert ink(page[:LINE])


def test_long_words_get_room():
    images, words = np.zeros((12, 4, 4)), ["the largest of all words"] * 12
    page = Sheet(images, 12, over=words).drawn()
    assert page.shape[1] >= 12 * pictures._words(words[0]).shape[1]
    assert Sheet(np.zeros((1, 28, 28)), title="word " * 40).drawn().shape[1] > 1000
    assert Sheet(np.zeros((4, 3, 28, 28)), over=["a", "b"], beside=["c", "d"]).drawn().shape[2] == 3


@pytest.mark.parametrize(
    "labels, columns, over, title",
    [
        (None, None, [], ""),
        (np.arange(14) % 10, 10, [f"class {c}" for c in range(10)], ""),
        (np.arange(3), 3, ["class 0", "class 1", "class 2"], ""),
        (np.full(5, 7), None, [], "class 7"),
    ],
)
def test_columns_of_classes(labels, columns, over, title):
    sheet = pictures.by_class(np.zeros((14 if labels is None else len(labels), 4, 4)), labels)
    assert (sheet.columns, list(sheet.over), sheet.title) == (columns, over, title)


def test_a_film_rests_on_its_last_frame():
    sheets = [np.full((4, 4), i / 3) for i in range(4)]
    with Image.open(io.BytesIO(pictures.gif(sheets))) as film:
        durations = []
        for i in range(film.n_frames):
            film.seek(i)
            durations.append(film.info["duration"])
    assert durations == [60, 60, 60, 2000]


@pytest.mark.parametrize("frames", [1, 2, 5, 10])
def test_points_are_large_enough(frames):
    picture = pictures.points(np.zeros((frames, 3, 2)))
    assert max(Image.open(io.BytesIO(picture)).size) >= LEAST


@pytest.fixture
def figures(monkeypatch):
    """The figures that pictures are drawn in"""
    made, figure = [], pictures._figure

    def noted(*size):
        made.append(figure(*size))
        return made[-1]

    monkeypatch.setattr(pictures, "_figure", noted)
    return made


def drawn_lines(figure) -> dict:
    """label of the y axis -> {name: [(step, value), ...]}"""
    found = {}
    for axes in figure.axes:
        assert axes.get_xlabel() == "step"
        found[axes.get_ylabel()] = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    return found


def test_what_has_one_unit_shares_an_axis(figures):
    names = ["loss", "loss_g", "d_real", "d_fake", "grad_d", "grad_g", "diversity", "nearest", "fd"]
    records = [
        {"step": s, "seconds": 0.1} | {name: 1.0 * i for i, name in enumerate(names)} for s in (100, 200)
    ]
    pictures.curves(records, UNITS | {"loss": "nats", "loss_g": "nats"})
    panels = drawn_lines(figures[0][0])
    assert [list(lines) for lines in panels.values()] == [names[i : i + 2] for i in range(0, 10, 2)]
    assert next(iter(panels)) == "nats" and list(panels)[-1] == "fd"
    assert panels["nats"]["loss_g"] == [[100, 1], [200, 1]]


def test_a_single_point_is_a_dot_and_wide_ranges_are_logarithmic(figures):
    records = [
        {"step": s, "kl": 10.0**s, "loss": 1.0 + s} | ({"fd": 3.0} if s == 3 else {}) for s in range(1, 4)
    ]
    pictures.curves(records, {})
    axes = {a.get_ylabel(): a for a in figures[0][0].axes}
    assert {name: a.get_yscale() for name, a in axes.items()} == {
        "kl": "log",
        "loss": "linear",
        "fd": "linear",
    }
    assert axes["fd"].lines[0].get_marker() == "o" and axes["kl"].lines[0].get_marker() == "."
    pictures.curves([{"step": s, "loss": -1.0} for s in range(100)], "nats")
    assert figures[1][0].axes[0].lines[0].get_marker() == "None"


def test_nothing_logged_yet_is_said(figures):
    pictures.curves([], "nats")
    assert not figures[0][0].axes and "no step" in figures[0][0].texts[0].get_text()


@pytest.mark.parametrize("steps", [1, 7, 10, 13])
def test_the_curves_end_at_the_last_step(steps, tmp_path, figures):
    """Also if they are drawn during the last step, before its line is written."""
    from tinygen.models.vae import Config

    run = Run.create("vae", Config(steps=steps), tmp_path / "run")
    for step in run.steps(steps, log_every=5):
        run.log(loss=step, other=2.0 * step)
        if run.done == steps:
            run.plot_losses("nats")
    run.plot_losses("nats")
    lines = [json.loads(line) for line in run.path("metrics.jsonl").read_text().splitlines()]
    expected = [[line["step"], line["loss"]] for line in lines]
    assert expected[-1][0] == steps
    for figure, _ in figures:
        assert drawn_lines(figure)["nats"]["loss"] == expected


def test_no_curve_of_a_schedule_hides_another(figures):
    schedule.picture(schedule.NoiseSchedule(schedule.cosine(20)), 0.5)
    axes = figures[0][0].axes
    assert len(axes) == 6 and all(
        len(a.lines) == 1 and a.get_xlabel() == "level t" and a.get_ylabel() for a in axes
    )
    beta, posterior, ratio = (a.lines[0].get_ydata() for a in axes[:3])
    np.testing.assert_allclose(posterior[1:], (beta * ratio)[1:])
    assert ratio[0] == 0 and np.isnan(posterior[0])
