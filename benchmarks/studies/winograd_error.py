"""How large are the rounding errors of Winograd convolutions, beside those of direct ones, as the channels grow?

python -m tinygen.benchmarks.studies.winograd_error [--channels 16 64 128 256 512 1024] [--images 8] [--size 14]

Images, filters and gradients are standard normal.  The error is the largest difference from float64 over all outputs,
divided by the largest output.  A second table compares choices of the interpolation points: the formulas alone, in
numpy, on random tiles.
"""

from __future__ import annotations

import argparse

import numpy as np

from tinygen import kernels

AT = dict(stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)
KERNELS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
POINTS = ((1, 2), (1 / 2, 1), (1 / 2, 3 / 2), (5 / 8, 3 / 2))  # the last pair is the one in use


def error(kernel: str, variant: str, channels: int, images: int = 8, size: int = 14, seed: int = 0) -> float:
    """The largest difference between float32 and float64, divided by the largest value."""
    rng = np.random.default_rng(seed)
    x, gy = (rng.standard_normal((images, channels, size, size), np.float32) for _ in range(2))
    w = rng.standard_normal((channels, channels, 3, 3), np.float32)
    args, shape = {
        "conv2d": ((x, w), {}),
        "conv2d_input_grad": ((gy, w), {"shape": x.shape}),
        "conv2d_weight_grad": ((x, gy), {"shape": w.shape}),
    }[kernel]
    with kernels.use(**{kernel: variant}):
        got = getattr(kernels, kernel)(*args, **AT, **shape)
    with kernels.use(**{kernel: "reference"}):
        true = getattr(kernels, kernel)(*(a.astype(np.float64) for a in args), **AT, **shape)
    return float(np.abs(got - true).max() / np.abs(true).max())


def error_of_points(near: float, far: float, channels: int = 64, tiles: int = 2000, seed: int = 0) -> float:
    """The same error for `tiles` tiles in numpy, each of 6x6 pixels and all channels, with these points."""
    from tinygen.kernels.conv2d.winograd_loops import combine, evaluate, interpolate

    rng = np.random.default_rng(seed)
    d = rng.standard_normal((6, 6, tiles, channels), np.float32)
    g = rng.standard_normal((3, 3, channels), np.float32)

    def both(transform, a):
        """Transform the columns, then the rows."""
        a = np.stack(transform(a)).swapaxes(0, 1)
        return np.stack(transform(a)).swapaxes(0, 1)

    def formula(d, g):
        v, u = both(lambda a: interpolate(a, near, far), d), both(lambda a: evaluate(a, near, far), g)
        return both(lambda a: combine(a, 4, near, far), np.einsum("ijtc,ijc->ijt", v, u))

    true = formula(d.astype(np.float64), g.astype(np.float64))
    return float(np.abs(formula(d, g) - true).max() / np.abs(true).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 64, 128, 256, 512, 1024])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--size", type=int, default=14)
    args = parser.parse_args()
    print(f"{args.images} images of {args.size}x{args.size}; largest error / largest value")
    print(f"{'':20}{'channels':>9}{'reference':>11}{'taps':>10}{'winograd':>10}{'/ taps':>8}")
    for kernel in KERNELS:
        for channels in args.channels:
            found = [
                error(kernel, name, channels, args.images, args.size)
                for name in ("reference", "taps", "winograd")
            ]
            print(
                f"{kernel:20}{channels:9}{found[0]:11.1e}{found[1]:10.1e}{found[2]:10.1e}{found[2] / found[1]:8.1f}"
            )
    print("points 0, ±near, ±far, ∞ of F(4x4, 3x3) with 64 channels")
    for near, far in POINTS:
        print(f"  {near:g}, {far:g}: {error_of_points(near, far):.1e}")


if __name__ == "__main__":
    main()
