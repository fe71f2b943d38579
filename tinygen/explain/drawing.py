"""Draw a graph in layers with matplotlib, so that no other program is needed.

An operation is placed below all its inputs, a leaf right above the operation that reads it.  Edges that cross several
layers get a bend on each, and each layer is sorted by the mean position of its neighbors, several times up and down.
"""

from __future__ import annotations

import io
import itertools

import numpy as np

from tinygen.explain.graph import Graph
from tinygen.run.imports import whole

COLOURS = {"operation": "#e8eef7", "leaf": "#dff0d8", "constant": "#f5f5f5"}
SWEEPS = 12
CHARACTER, LINE, GAP, DROP = 0.075, 0.17, 0.25, 0.55  # inches


def layers_of(graph: Graph) -> list[int]:
    """The layer of every vertex, 0 at the top, by the longest path down to a result."""
    below = [0] * len(graph.vertices)
    for a, b, _ in sorted(graph.edges, key=lambda edge: -edge[1]):  # consumers, which come later, first
        below[a] = max(below[a], below[b] + 1)
    height = max(below, default=0)
    return [height - n for n in below]


class Layout:
    """Positions of vertices and of bends in edges.  `rows[k]` lists layer k from left to right; bends are numbered
    after the vertices."""

    def __init__(self, graph: Graph) -> None:
        self.layer = layers_of(graph)
        self.width = [max(len(line) for line in v.lines) * CHARACTER + 0.2 for v in graph.vertices]
        self.height = [len(v.lines) * LINE + 0.12 for v in graph.vertices]
        self.paths = [self._path(a, b) for a, b, _ in graph.edges]
        count = len(self.layer)
        self.above: list = [[] for _ in range(count)]
        self.below: list = [[] for _ in range(count)]
        for path in self.paths:
            for a, b in itertools.pairwise(path):
                self.below[a].append(b)
                self.above[b].append(a)
        self.rows = [[i for i in range(count) if self.layer[i] == k] for k in range(max(self.layer) + 1)]
        self.x = np.zeros(count)
        self._place()

    def _path(self, a: int, b: int) -> list[int]:
        """The vertices of an edge: its ends, and a bend on every layer between them."""
        bends = []
        for layer in range(self.layer[a] + 1, self.layer[b]):
            bends.append(len(self.layer))
            self.layer.append(layer)
            self.width.append(0.1)
            self.height.append(0.0)
        return [a, *bends, b]

    def _place(self) -> None:
        for row in self.rows:
            self._spread(row, np.arange(len(row), dtype=float))
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            neighbours = self.above if down else self.below
            for row in self.rows if down else reversed(self.rows):
                wanted = [np.mean(self.x[neighbours[i]]) if neighbours[i] else self.x[i] for i in row]
                order = np.argsort(wanted, kind="stable")
                row[:] = [row[i] for i in order]
                self._spread(row, np.array(wanted)[order])
        self.x -= min(self.x[i] - self.width[i] / 2 for i in range(len(self.x)))
        tallest = [max((self.height[i] for i in row), default=0) for row in self.rows]
        centres = np.cumsum([h + DROP for h in tallest]) - np.array(tallest) / 2 - DROP
        self.y = -np.array([centres[layer] for layer in self.layer])

    def _spread(self, row: list, wanted) -> None:
        """Set positions as close to the wanted ones as space allows: pushed apart to the right and to the left, then
        averaged."""
        room = [(self.width[a] + self.width[b]) / 2 + GAP for a, b in itertools.pairwise(row)]
        right, left = np.array(wanted, float), np.array(wanted, float)
        for k in range(1, len(row)):
            right[k] = max(right[k], right[k - 1] + room[k - 1])
        for k in range(len(row) - 2, -1, -1):
            left[k] = min(left[k], left[k + 1] - room[k])
        self.x[row] = (left + right) / 2


def draw(graph: Graph, kind: str) -> bytes:
    """The graph as the bytes of a PNG or an SVG."""
    FigureCanvasAgg = whole("matplotlib.backends.backend_agg").FigureCanvasAgg
    Figure = whole("matplotlib.figure").Figure

    layout, margin = Layout(graph), 0.2
    n = len(graph.vertices)
    width = max(layout.x[i] + layout.width[i] / 2 for i in range(len(layout.x))) + 2 * margin
    top, bottom = (
        max(layout.y[i] + layout.height[i] / 2 for i in range(n)),
        min(layout.y[i] - layout.height[i] / 2 for i in range(n)),
    )
    figure = Figure(figsize=(width, top - bottom + 2 * margin), dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-margin, width - margin)
    axes.set_ylim(bottom - margin, top + margin)
    axes.axis("off")
    for path in layout.paths:
        _edge(axes, layout, path)
    for i, vertex in enumerate(graph.vertices):
        _box(axes, layout, i, vertex)
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    return out.getvalue()


def _edge(axes, layout: Layout, path: list) -> None:
    """A smooth line down through its bends, with an arrow at the end."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    points = [(layout.x[path[0]], layout.y[path[0]] - layout.height[path[0]] / 2)]
    points += [(layout.x[i], layout.y[i]) for i in path[1:-1]]
    points.append((layout.x[path[-1]], layout.y[path[-1]] + layout.height[path[-1]] / 2))
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Path.CURVE4] * 3
    arrow = FancyArrowPatch(
        path=Path(vertices, codes), arrowstyle="-|>", mutation_scale=8, lw=0.8, color="#666666"
    )
    axes.add_patch(arrow)


def _box(axes, layout: Layout, i: int, vertex) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y, width, height = layout.x[i], layout.y[i], layout.width[i], layout.height[i]
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height,
            boxstyle="round,pad=0,rounding_size=0.06" if vertex.kind == "operation" else "square,pad=0",
            facecolor=COLOURS[vertex.kind], edgecolor="#666666", lw=0.8,
            linestyle="--" if vertex.kind == "constant" else "-", zorder=2,
        )
    )  # fmt: skip
    axes.text(x, y, "\n".join(vertex.lines), ha="center", va="center", fontsize=8, zorder=3, linespacing=1.2,
              parse_math=False)  # fmt: skip
