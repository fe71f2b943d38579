"""A profile as text, as a picture and as JSON."""

from __future__ import annotations

from pathlib import Path

from tinygen.run.imports import whole
from tinygen.run.terminal import tell

HEAD = ("operation", "forward ms", "calls", "backward ms", "calls", "kept", "at peak", "ms", "share")
REST = "not in any of these"


def show(profile) -> None:
    tell(profile.table() + "\n")


def table(profile, row_limit: int | None = None) -> str:
    """One line per row of the profile; below them the rest of the block's time, and its total."""
    wall, rows = profile.wall_ms, profile.rows
    operations, others = parts(rows, row_limit)
    rest = wall - sum(row["ms"] for row in rows)
    foot = [_other_cells(row) for row in others]
    foot.append([REST, *[""] * 6, f"{rest:.2f}", _share(rest / wall if wall else 0)])
    forward, backward = _sum(operations, "forward"), _sum(operations, "backward")
    kept = size(sum(row["kept_bytes"] for row in rows)), size(profile.peak_bytes)
    foot.append(["the block", *forward, *backward, *kept, f"{wall:.2f}", _share(1.0)])
    return _aligned([list(HEAD), *map(_operation_cells, operations)], foot)


def parts(rows: list[dict], row_limit: int | None) -> tuple[list[dict], list[dict]]:
    """The rows of operations, with those after `row_limit` as one, and the rows of the tape and the optimizers."""
    operations = [row for row in rows if row["kind"] == "operation"]
    others = [row for row in rows if row["kind"] != "operation"]
    if row_limit is not None and len(operations) > row_limit:
        rest = operations[row_limit:]
        numbers = [name for name, value in rest[0].items() if isinstance(value, (int, float))]
        summed = {name: sum(row[name] for row in rest) for name in numbers}
        operations = [*operations[:row_limit], {"operation": f"{len(rest)} more", **summed}]
    return operations, others


def label(row: dict) -> str:
    """mul (100, 20) (20,)"""
    shapes = [str(tuple(shape)) for shape in row.get("shapes", ())]
    return " ".join([row["operation"], *shapes])


def size(nbytes: int) -> str:
    """Bytes with a unit: 784 B, 3.1 KiB, 12.0 MiB"""
    if nbytes < 1024:
        return f"{nbytes} B"
    for unit in ("KiB", "MiB", "GiB"):
        nbytes /= 1024
        if nbytes < 1024 or unit == "GiB":
            return f"{nbytes:.1f} {unit}"


def _share(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _sum(rows: list[dict], direction: str) -> list[str]:
    return [
        f"{sum(row[f'{direction}_ms'] for row in rows):.2f}",
        str(sum(row[f"{direction}_calls"] for row in rows)),
    ]


def _operation_cells(row: dict) -> list[str]:
    kept = size(row["kept_bytes"]), size(row["peak_bytes"])
    return [label(row), *_sum([row], "forward"), *_sum([row], "backward"), *kept, *_in_all(row)]


def _other_cells(row: dict) -> list[str]:
    """The tape and the optimizers do not count in the columns' sums; their calls are shown with the name."""
    kept = [size(row["kept_bytes"]), size(row["peak_bytes"])] if row["kept_bytes"] else ["", ""]
    return [f"{label(row)}, {row['calls']} calls", *[""] * 4, *kept, *_in_all(row)]


def _in_all(row: dict) -> list[str]:
    return [f"{row['ms']:.2f}", _share(row["share"])]


def _aligned(head: list, foot: list) -> str:
    """Align columns, the first to the left, numbers to the right; with a rule below the head and above the foot."""
    widths = [max(map(len, column)) for column in zip(*head, *foot)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

    def line(cells):
        first, *rest = cells
        numbers = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:]))
        return "  ".join([f"{first:<{widths[0]}}", *numbers]).rstrip()

    return "\n".join([line(head[0]), rule, *map(line, head[1:]), rule, *map(line, foot)])


def plot(profile, path=None, row_limit: int = 12):
    """Plot a bar per row: milliseconds, forward and backward end to end, and beside them the bytes kept at the peak."""
    Figure = whole("matplotlib.figure").Figure

    operations, others = parts(profile.rows, row_limit)
    rows = [*operations, *others]
    rest = profile.wall_ms - sum(row["ms"] for row in rows)
    names = [*map(label, rows), REST]
    at = range(len(names))
    forward = [row["forward_ms"] for row in rows] + [0]
    backward = [row["backward_ms"] for row in rows] + [0]
    other = [row["ms"] - row["forward_ms"] - row["backward_ms"] for row in rows] + [rest]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(names)), dpi=120, layout="constrained")
    times, memory = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    times.barh(at, forward, label="forward", color="tab:blue")
    times.barh(at, backward, left=forward, label="backward", color="tab:orange")
    times.barh(at, other, label="neither", color="tab:gray")
    times.set_yticks(at, names)
    times.invert_yaxis()
    times.set_xlabel(f"ms, of {profile.wall_ms:.1f}")
    times.legend()
    memory.barh(at, [row["peak_bytes"] / 2**20 for row in rows] + [0], color="tab:green")
    memory.set_xlabel(f"MiB kept at the peak, of {profile.peak_bytes / 2**20:.2f}")
    for axes in (times, memory):
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    if path is not None:
        figure.savefig(path)
    return figure


def to_json(profile, path) -> None:
    import json

    content = {"wall_ms": profile.wall_ms, "peak_bytes": profile.peak_bytes, "rows": profile.rows}
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
