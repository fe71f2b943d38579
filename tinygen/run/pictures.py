"""Pictures of a run as the bytes of a PNG or GIF: sheets of images, points in the plane, curves of metrics.jsonl."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinygen.run.imports import whole

LEAST = 600  # pixels of a picture's longer side
GAP, TEXT, LINE = 4, 14, 22  # pixels: between enlarged images, font size, height of a line of text
SPAN = 20  # an axis is logarithmic if the largest value is more than this times the smallest


@dataclass(frozen=True)
class Sheet:
    """Images to lay out in rows, with labels for rows and columns.

    images (N, H, W) or (N, 1 or 3, H, W) in [0, 1]; over: text over each column; beside: text beside each row
    """

    images: np.ndarray
    columns: int | None = None
    over: Sequence[str] = ()
    beside: Sequence[str] = ()
    title: str = ""

    def drawn(self) -> np.ndarray:
        """The sheet as one picture, enlarged until its longer side has LEAST pixels and the column labels fit.
        -> (H', W') or (H', W', 3)"""
        over, beside = ([_words(text) for text in texts] for texts in (self.over, self.beside))
        plain = grid(self.images, self.columns, 0)
        columns = min(len(self.images), self.columns or math.ceil(math.sqrt(len(self.images))))
        rows = math.ceil(len(self.images) / columns)
        height, width = plain.shape[0] // rows, plain.shape[1] // columns
        room = max([word.shape[1] for word in over], default=0)
        times = max(math.ceil(LEAST / max(plain.shape[:2])), math.ceil(room / width))
        large = [_enlarged(image, times) for image in self.images]
        body = grid(large, columns, GAP, background=1.0)
        left = max([word.shape[1] + GAP for word in beside], default=0) + GAP
        top = LINE * (bool(self.title) + bool(over)) + GAP
        title = _words(self.title) if self.title else np.ones((0, 0), np.float32)
        size = top + body.shape[0] + GAP, left + max(body.shape[1], title.shape[1]) + GAP
        page = np.ones((*size, *body.shape[2:]), np.float32)
        page[top : top + body.shape[0], left : left + body.shape[1]] = body
        _print(page, title, GAP, left)
        for i, word in enumerate(over[:columns]):
            middle = left + i * (times * width + GAP) + times * width // 2
            _print(page, word, top - LINE, middle - word.shape[1] // 2)
        for i, word in enumerate(beside[:rows]):
            middle = top + i * (times * height + GAP) + times * height // 2
            _print(page, word, middle - word.shape[0] // 2, left - GAP - word.shape[1])
        return page


def by_class(images, labels=None) -> Sheet:
    """A sheet of images with these labels, all equal or cycling through the classes: one column per class.

    labels (N,) or None
    """
    if labels is None:
        return Sheet(images)
    classes = list(dict.fromkeys(int(label) for label in labels))
    if len(classes) == 1:
        return Sheet(images, title=f"class {classes[0]}")
    return Sheet(images, len(classes), over=[f"class {c}" for c in classes])


def grid(images, columns: int | None = None, gap: int = 2, background: float = 0.0) -> np.ndarray:
    """Lay images out in rows.  (N, H, W) or (N, 1 or 3, H, W) -> (H', W') or (H', W', 3)"""
    images = np.stack([_array(image) for image in images]) if len(images) else np.zeros((0, 1, 1))
    if images.ndim == 4 and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not len(images):
        raise ValueError(
            f"grid: found images of shape {images.shape}, expected (N, H, W) or (N, 1 or 3, H, W)"
        )
    n, height, width, channels = images.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    size = rows * (height + gap) - gap, columns * (width + gap) - gap
    sheet = np.full((*size, channels), background, np.float32)
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet[..., 0] if channels == 1 else sheet


def png(picture) -> bytes:
    """Encode values in [0, 1] as a PNG; others are clipped.  (H, W) or (H, W, 3) -> bytes"""
    Image = whole("PIL.Image")  # comes with matplotlib

    out = io.BytesIO()
    Image.fromarray(_eight_bits(picture)).save(out, "png")
    return out.getvalue()


def gif(sheets, milliseconds: int = 60, hold: int = 2000) -> bytes:
    """Encode pictures of values in [0, 1] as an endless animation that stays on the last one for `hold` ms."""
    Image = whole("PIL.Image")

    frames = [Image.fromarray(_eight_bits(sheet)) for sheet in sheets]
    durations = [milliseconds] * (len(frames) - 1) + [hold]
    out = io.BytesIO()
    frames[0].save(out, "gif", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return out.getvalue()


def points(frames, reach: float | None = None, titles=None, centers=None) -> bytes:
    """Plot sets of points in the plane side by side, at most five in a row, with `centers` as crosses.

    frames (F, N, 2) or one set (N, 2); axes cover [-reach, reach]², by default all points
    """
    frames = [np.asarray(frame) for frame in (frames if np.ndim(frames) == 3 else [frames])]
    reach = reach or 1.05 * max(np.abs(frame).max() for frame in frames) or 1.0
    columns = min(5, len(frames))
    rows = math.ceil(len(frames) / columns)
    side = max(2.2, 5.4 / columns)
    figure, save = _figure(side * columns, (side + 0.55 if titles else side) * rows)
    for i, frame in enumerate(frames):
        axes = figure.add_subplot(rows, columns, i + 1, aspect="equal")
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        if len(frames) > 1:
            axes.set(xticks=[], yticks=[])
        if titles:
            axes.set_title(titles[i], fontsize=8)
        if centers is not None:
            axes.plot(*np.asarray(centers).T, "+", color="tab:red", markersize=5, markeredgewidth=0.7)
        # a few points must be visible too
        size, alpha = max(2, 0.8 * side), min(1, max(0.3, 300 / len(frame)))
        axes.plot(*frame.T, ".", color="black", markersize=size, alpha=alpha, markeredgewidth=0)
    return save()


def surface(values, reach: float, title: str = "", over=None, label: str = "") -> bytes:
    """Draw a function on the plane in colors, with a scale named `label` and the points `over` on top.

    values (n, n) over [-reach, reach]², the first row at the bottom; over (N, 2)
    """
    figure, save = _figure(6, 5.2)
    axes = figure.add_subplot(title=title)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    square = (-reach, reach, -reach, reach)
    image = axes.imshow(values, origin="lower", extent=square, cmap="viridis")
    figure.colorbar(image, ax=axes, label=label)
    if over is not None:
        axes.plot(*np.asarray(over).T, ".", color="white", markersize=2, alpha=0.4, markeredgewidth=0)
    return save()


def panels(x, panels: dict[str, tuple], label: str, logarithmic=frozenset()) -> bytes:
    """Plot functions of the same x in panels, two in a row.

    panels: title -> (label of the values, values like x); label: that of x; logarithmic: indices of panels
    """
    rows = math.ceil(len(panels) / 2)
    figure, save = _figure(8, 2.6 * rows)
    for i, (title, (name, values)) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, 2, i + 1, xlabel=label, ylabel=name)
        axes.set_title(title, fontsize=9)
        axes.plot(x, values, linewidth=1)
        if i in logarithmic:
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
    return save()


def curves(records: list[dict], units: str | dict[str, str] = "") -> bytes:
    """Plot every value in the lines of metrics.jsonl against the step; values of the same unit share a panel.

    units: the unit of all values, or name -> unit; a value without a unit has a panel of its own
    """
    names = dict.fromkeys(name for record in records for name in record if name not in ("step", "seconds"))
    groups: dict[str, list] = {}
    for name in names:
        unit = units if isinstance(units, str) else units.get(name)
        groups.setdefault(name if unit is None else unit, []).append(name)
    columns = min(2, max(1, len(groups)))
    rows = max(1, math.ceil(len(groups) / columns))
    figure, save = _figure(7 if columns == 1 else 10, 4 if rows == 1 else 2.6 * rows)
    if groups:
        figure.suptitle("each point is the mean of the steps since the one before it", fontsize=8)
    else:
        figure.text(0.5, 0.5, "no step has been taken yet", ha="center", va="center")
    for i, (unit, members) in enumerate(groups.items()):
        axes = figure.add_subplot(rows, columns, i + 1, xlabel="step", ylabel=unit)
        _lines(axes, {name: [(r["step"], r[name]) for r in records if name in r] for name in members})
    return save()


def _lines(axes, lines: dict[str, list]) -> None:
    """Plot name -> (step, value) pairs, with dots if there are few, on a logarithmic axis if they span a lot."""
    for name, pairs in lines.items():
        few = None if len(pairs) > 20 else "." if len(pairs) > 1 else "o"
        axes.plot(*zip(*pairs), label=name, linewidth=1, marker=few)
    axes.set_xlim(0, 1.05 * max(step for pairs in lines.values() for step, _ in pairs))
    axes.xaxis.get_major_locator().set_params(integer=True)
    values = [value for pairs in lines.values() for _, value in pairs]
    if min(values) > 0 and max(values) > SPAN * min(values):
        axes.set_yscale("log")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _figure(width: float, height: float):
    """An empty figure of this size in inches, and a function that returns it as a PNG."""
    FigureCanvasAgg = whole("matplotlib.backends.backend_agg").FigureCanvasAgg
    Figure = whole("matplotlib.figure").Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")

    def save() -> bytes:
        out = io.BytesIO()
        FigureCanvasAgg(figure).print_png(out)
        return out.getvalue()

    return figure, save


def _enlarged(image, times: int) -> np.ndarray:
    """Each pixel as a square of times x times pixels.  (H, W) or (1 or 3, H, W) -> as many dimensions"""
    return _array(image).repeat(times, -1).repeat(times, -2)


@lru_cache(maxsize=1)
def _font():
    folder = whole("matplotlib").get_data_path()
    return whole("PIL.ImageFont").truetype(f"{folder}/fonts/ttf/DejaVuSans.ttf", TEXT)


@lru_cache(maxsize=256)
def _words(text: str) -> np.ndarray:
    """A line of black text on white.  -> (LINE - GAP, W) in [0, 1]"""
    paper = whole("PIL.Image").new("L", (math.ceil(_font().getlength(text)) + 2, LINE - GAP), 255)
    whole("PIL.ImageDraw").Draw(paper).text((1, 0), text, fill=0, font=_font())
    return np.asarray(paper, np.float32) / 255


def _print(page: np.ndarray, word: np.ndarray, y: int, x: int) -> None:
    """Print text on a page, (H, W) or (H, W, 3), with its upper left corner at (y, x)."""
    place = page[max(y, 0) : max(y, 0) + word.shape[0], max(x, 0) : max(x, 0) + word.shape[1]]
    place[:] = word.reshape(*word.shape, *[1] * (page.ndim - 2))[: place.shape[0], : place.shape[1]]


def _eight_bits(picture) -> np.ndarray:
    """Values in [0, 1], others clipped, as 0 ... 255."""
    return np.rint(np.clip(np.nan_to_num(_array(picture)), 0, 1) * 255).astype(np.uint8)


def _array(values):
    return np.asarray(getattr(values, "_data", values))
