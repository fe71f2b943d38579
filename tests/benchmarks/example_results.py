"""A result of a benchmark for the tests of tables, and the settings of a short one."""

from tinygen.benchmarks import bench

ROOF = {"gflops": 100.0, "gbps": 10.0, "sgemm": "8³", "copy_megabytes": 1}

ONE = bench.Settings(threads=1, repeat=1, torch=False, memory=False)


def example(**case):
    """A result of bench.run with one operation and one step."""
    times = {
        name: {"ms": ms, "min_ms": ms / 2, "spread": 0.1, "turns": 5}
        for name, ms in (("tinygen", 2.0), ("torch", 8.0))
    }
    times["torch channels-last"] = {"ms": 7.5, "min_ms": 7.0, "spread": 0.1, "turns": 5}
    row = {"name": "conv2d", "group": "conv2d", "shape": "64×64", "step": False, "flops": 1e9, "bytes": 1e7}
    row |= {"kernels": {}, "sides": times} | bench._ratios(times)
    row["rates"] = {name: {"gflops": 500.0, "gbps": 5.0, "roofline": 50.0} for name in times}
    one = {"mib": 10.4, "peak_mib": 110.0}
    step = row | {"name": "vae step", "step": True, "memory": {"tinygen": one, "torch": one | {"mib": 20.0}}}
    return {
        "machine": {"cpu": "Z80", "threads": 2, "cores": 2, "BLAS": "openblas 1", "BLAS core": "Zen"},
        "versions": {"python": "3.11", "torch": None},
        "load": {"before": [0.5, 1, 1], "after": [0.75, 1, 1]},
        "roofline": ROOF,
        "settings": {"ladder": False},
        "not_available": {"torch.compile": "no compiler"},
        "cases": [row, step | case],
    }
