"""Where does our own matrix product take less time than NumPy's BLAS?  Its answer is what `matmul` decides by.

python -m tinygen.benchmarks.studies.products [--threads 1 2] [--layers vae gan …] [--torch] [--write]

A layer x weightᵀ has three products: forward, the gradient of x and that of the weights.  Each is timed by BLAS and by
our product, in turns; --torch adds torch.mm, whose threads spin for a while, and therefore a pause before each turn.
--write keeps our time divided by BLAS's, the geometric mean over the numbers of threads, in
kernels/matmul/products.json under the name of this CPU's family: `matmul` then takes our product for the shapes that
are most like those where it took at most 0.97 of BLAS's time.
"""

from __future__ import annotations

import argparse
import json
import math
import time

import numpy as np

from tinygen.benchmarks.sides import load_torch
from tinygen.benchmarks.timing import interleaved, require_equal
from tinygen.kernels.matmul import matmul, panels
from tinygen.kernels.runtime import blas
from tinygen.run.terminal import say

# rows of x, columns of x, rows of the weights
LAYERS = {
    "vae": [(128, 784, 256), (128, 256, 256), (128, 256, 20), (128, 20, 256), (128, 256, 784)],
    "gan": [(64, 100, 128), (64, 128, 256), (64, 256, 512), (64, 512, 1024), (64, 1024, 784)]
    + [(64, 784, 512), (64, 512, 256), (64, 256, 1)],
    "unet": [(32, 128, 64), (32, 128, 128)],
    "dit": [(64, 96, 576), (3136, 96, 288), (3136, 96, 96), (3136, 96, 384), (3136, 384, 96), (3136, 96, 16)],
    "others": [(512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (1024, 256, 256), (16, 784, 512)]
    + [(8192, 64, 64), (256, 2048, 512), (4096, 128, 512), (1, 784, 512)],
}
LAYOUTS = {"forward": "nt", "gradient of x": "nn", "of the weights": "tn"}


def operands(rows: int, columns: int, outputs: int, layout: str):
    """The two matrices of one of a layer's three products"""
    rng = np.random.default_rng(0)
    x, weight, g = (
        rng.standard_normal(shape, np.float32)
        for shape in ((rows, columns), (outputs, columns), (rows, outputs))
    )
    return {"nt": (x, weight.T), "nn": (g, weight), "tn": (g.T, x)}[layout]


def by_blas(x, w):
    """The product as `matmul` computes it where it does not take our own"""
    names = [name for name, *_ in matmul.ladder["cpu"]]
    for _, function, usable in reversed(matmul.ladder["cpu"][: names.index("panels")]):
        if usable is None or usable(x, w):
            return function(x, w)


def measure(layer: tuple[int, int, int], layout: str, torch) -> dict[str, float]:
    """Seconds of one product, by side"""
    x, w = operands(*layer, layout)
    sides = {"BLAS": lambda: by_blas(x, w), "panels": lambda: panels.product(x, w)}
    require_equal(f"{layer} {layout}", "panels", sides["panels"](), sides["BLAS"](), "BLAS", 1e-4)
    if torch is not None:
        tx, tw = (torch.from_numpy(a.T).T if a.flags.f_contiguous else torch.from_numpy(a) for a in (x, w))
        sides["torch"] = lambda: torch.mm(tx, tw)
    pause = time.sleep if torch is not None else lambda _: None
    turns = interleaved(sides, repeat=7, turn=2e-3, sleep=pause)
    return {side: timing.median for side, timing in turns.items()}


def study(layers, threads, torch) -> list[list]:
    """-> rows M, N, K, layout, our time by BLAS's, as in products.json; prints a line each"""
    rows = []
    for layer in layers:
        for name, layout in LAYOUTS.items():
            x, w = operands(*layer, layout)
            (M, K), N = x.shape, w.shape[1]
            ratios, line = [], []
            for count in threads:
                blas.set_num_threads(count)
                if torch is not None:
                    torch.set_num_threads(count)
                seconds = measure(layer, layout, torch)
                ratios.append(seconds["panels"] / seconds["BLAS"])
                times = ", ".join(f"{side} {1e6 * s:.0f}" for side, s in seconds.items())
                by_torch = (
                    f", {seconds['panels'] / seconds['torch']:.2f} of torch" if torch is not None else ""
                )
                line.append(f"{count} threads: {times} us, {ratios[-1]:.2f} of BLAS{by_torch}")
            rows.append([M, N, K, layout, round(math.prod(ratios) ** (1 / len(ratios)), 3)])
            say(f"({M} x {K}) ({K} x {N}) {name}: {'; '.join(line)}")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--write", action="store_true", help="keep the ratios for this family of CPUs")
    parser.add_argument("--torch", action="store_true", help="beside torch.mm")
    options = parser.parse_args()
    torch = load_torch(1) if options.torch else None
    rows = study([layer for name in options.layers for layer in LAYERS[name]], options.threads, torch)
    if options.write:
        known = json.loads(panels.MEASURED.read_text(encoding="utf-8"))
        family = known.setdefault(blas.cpu_family(), {})
        new = [row[:4] for row in rows]
        family["blas"] = f"OpenBLAS {blas.core()}"
        family["shapes"] = [row for row in family.get("shapes", []) if row[:4] not in new] + rows
        panels.MEASURED.write_text(text_of(known), encoding="utf-8")
    return 0


def text_of(known: dict) -> str:
    """JSON with a shape a line"""
    families = []
    for name, family in sorted(known.items()):
        shapes = ",\n".join(f"      {json.dumps(row)}" for row in family["shapes"])
        head = f'  {json.dumps(name)}: {{\n    "blas": {json.dumps(family["blas"])},\n    "shapes": [\n'
        families.append(f"{head}{shapes}\n    ]\n  }}")
    return "{\n" + ",\n".join(families) + "\n}\n"


if __name__ == "__main__":
    raise SystemExit(main())
