"""Pictures of a run: images side by side, points of the plane, the curves of metrics.jsonl.  As the bytes of a PNG."""

import io
import math

import numpy as np

from tinygen.imports import whole


def grid(images, columns: int | None = None, gap: int = 2) -> np.ndarray:
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
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), np.float32)
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet[..., 0] if channels == 1 else sheet


def png(picture) -> bytes:
    """Encode values in [0, 1]; what lies outside is clipped.  (H, W) or (H, W, 3) -> bytes"""
    Image = whole("PIL.Image")  # comes with matplotlib

    out = io.BytesIO()
    Image.fromarray(_eight_bits(picture)).save(out, "png")
    return out.getvalue()


def gif(sheets, milliseconds: int = 60, hold: int = 1500) -> bytes:
    """Encode pictures of values in [0, 1] as an animation that stays on the last for `hold` ms, and starts again."""
    Image = whole("PIL.Image")

    frames = [Image.fromarray(_eight_bits(sheet)) for sheet in sheets]
    durations = [milliseconds] * (len(frames) - 1) + [hold]
    out = io.BytesIO()
    frames[0].save(out, "gif", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return out.getvalue()


def points(frames, reach: float | None = None, titles=None, centers=None) -> bytes:
    """Draw sets of points of the plane side by side, rows of at most five, `centers` as crosses.

    frames (F, N, 2) or one set (N, 2); the square [-reach, reach]², or as far as they go
    """
    frames = [np.asarray(frame) for frame in (frames if np.ndim(frames) == 3 else [frames])]
    reach = reach or 1.05 * max(np.abs(frame).max() for frame in frames) or 1.0
    columns = min(5, len(frames))
    rows = math.ceil(len(frames) / columns)
    figure, save = _figure(2.2 * columns, (2.75 if titles else 2.2) * rows)
    for i, frame in enumerate(frames):
        axes = figure.add_subplot(rows, columns, i + 1, aspect="equal", xticks=[], yticks=[])
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        if titles:
            axes.set_title(titles[i], fontsize=8)
        if centers is not None:
            axes.plot(*np.asarray(centers).T, "+", color="tab:red", markersize=5, markeredgewidth=0.7)
        axes.plot(*frame.T, ".", color="black", markersize=2, alpha=0.3, markeredgewidth=0)
    return save()


def surface(values, reach: float, title: str = "", over=None) -> bytes:
    """Draw a function of the plane as colours with its scale, points `over` it.

    values (n, n) over [-reach, reach]², the first row at the bottom; over (N, 2)
    """
    figure, save = _figure(4.6, 4)
    axes = figure.add_subplot(title=title)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    square = (-reach, reach, -reach, reach)
    figure.colorbar(axes.imshow(values, origin="lower", extent=square, cmap="viridis"), ax=axes)
    if over is not None:
        axes.plot(*np.asarray(over).T, ".", color="white", markersize=2, alpha=0.4, markeredgewidth=0)
    return save()


def panels(x, panels: dict[str, dict], label: str, logarithmic=frozenset()) -> bytes:
    """Draw functions of the same x in panels side by side, two in a row.

    panels: title -> {name: values like x}; label of x; logarithmic: which panels, counted from 0
    """
    rows = math.ceil(len(panels) / 2)
    figure, save = _figure(8, 2.6 * rows)
    for i, (title, lines) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, 2, i + 1, xlabel=label)
        axes.set_title(title, fontsize=9)
        for name, values in lines.items():
            axes.plot(x, values, label=name, linewidth=1)
        if i in logarithmic:
            axes.set_yscale("log")
        if len(lines) > 1:
            axes.legend()
        axes.grid(alpha=0.3)
    return save()


def curves(records: list[dict], unit: str = "") -> bytes:
    """Draw every term of the lines of metrics.jsonl against the step, one labelled line each."""
    figure, save = _figure(7, 4)
    axes = figure.add_subplot(xlabel="step", ylabel=unit)
    names = dict.fromkeys(name for record in records for name in record if name not in ("step", "seconds"))
    for name in names:
        points = [(record["step"], record[name]) for record in records if name in record]
        axes.plot(*zip(*points), label=name, linewidth=1, marker="." if len(points) < 20 else None)
    if names:
        axes.legend()
    axes.grid(alpha=0.3)
    return save()


def _figure(width: float, height: float):
    """An empty figure of so many inches, and the function that gives its PNG."""
    FigureCanvasAgg = whole("matplotlib.backends.backend_agg").FigureCanvasAgg
    Figure = whole("matplotlib.figure").Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")

    def save() -> bytes:
        out = io.BytesIO()
        FigureCanvasAgg(figure).print_png(out)
        return out.getvalue()

    return figure, save


def _eight_bits(picture) -> np.ndarray:
    """Values in [0, 1], what lies outside clipped, as 0 ... 255."""
    return np.rint(np.clip(np.nan_to_num(_array(picture)), 0, 1) * 255).astype(np.uint8)


def _array(values):
    return np.asarray(getattr(values, "_data", values))
