"""How far do the losses of a short VAE training differ between CPU and GPU, step by step, with the same seed?

python -m tinygen.benchmarks.gpu.loss_curves [--steps 100] [--json FILE] [--devices cpu cuda]

Both draw the same random numbers, so they differ only by the rounding of float32 sums in a different order, a
difference that grows slowly in training.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tinygen.models import vae
from tinygen.run.training import Run


def losses(device: str, config: vae.Config) -> list[float]:
    """-ELBO in nats per image at every step."""
    found = []

    class Recorded(Run):
        def log(self, **values) -> None:
            found.append(float(values["loss"].item()))
            super().log(**values)

    with tempfile.TemporaryDirectory() as folder:
        vae.train(config, Recorded.create("vae", config, Path(folder, "run"), device=device))
    return found


def compare(steps: int, batch: int = 100, devices: tuple[str, str] = ("cpu", "cuda")) -> dict:
    """-> the two curves and the largest relative difference at one step"""
    config = vae.Config(steps=steps, batch=batch, pictures_every=steps, checkpoint_every=steps)
    one, other = (losses(device, config) for device in devices)
    apart = [abs(a - b) / abs(a) for a, b in zip(one, other)]
    return {
        "model": "vae",
        "steps": steps,
        "batch": batch,
        "seed": config.seed,
        "devices": list(devices),
        "losses": [one, other],
        "largest_relative_difference": max(apart),
        "at_step": apart.index(max(apart)),
    }


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--devices", nargs=2, default=["cpu", "cuda"])
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args(argv)
    result = compare(arguments.steps, arguments.batch, tuple(arguments.devices))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result) + "\n", encoding="utf-8")
    first, last = ([curve[i] for curve in result["losses"]] for i in (0, -1))
    print("first step {:.6f} and {:.6f},".format(*first), "last {:.6f} and {:.6f};".format(*last), end=" ")
    print(
        f"largest relative difference {result['largest_relative_difference']:.1e}, step {result['at_step']}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
