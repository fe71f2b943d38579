"""Pictures of a run: images side by side, and the curves of metrics.jsonl.  Both as the bytes of a PNG."""

import io
import math

import numpy as np


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
    from PIL import Image  # comes with matplotlib

    values = np.rint(np.clip(np.nan_to_num(_array(picture)), 0, 1) * 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).save(out, "png")
    return out.getvalue()


def curves(records: list[dict], unit: str = "") -> bytes:
    """Draw every term of the lines of metrics.jsonl against the step, one labelled line each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel=unit)
    names = dict.fromkeys(name for record in records for name in record if name not in ("step", "seconds"))
    for name in names:
        points = [(record["step"], record[name]) for record in records if name in record]
        axes.plot(*zip(*points), label=name, linewidth=1, marker="." if len(points) < 20 else None)
    if names:
        axes.legend()
    axes.grid(alpha=0.3)
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()


def _array(values):
    return np.asarray(getattr(values, "_data", values))
