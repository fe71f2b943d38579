"""Memory, roofline, scaling and first_step: each measures, and says what it measured."""

import json
import subprocess
import sys

import pytest
from example_results import ONE

import tinygen
from tinygen.benchmarks import machine, memory
from tinygen.benchmarks.sides import OURS
from tinygen.benchmarks.studies import first_step, launch, products, scaling


@pytest.mark.skipif(not memory.available(), reason="no /proc/self/clear_refs here")
def test_memory_is_measured_in_another_process():
    cases = [("conv2d", 8, 8, 28, 3, n) for n in (1, 512)]
    for case in cases:
        memory.find(case).make(OURS)()  # fills the compilation cache: compilers need much memory
    small, large = (memory.measure(case, torch=False, threads=1, calls=2) for case in cases)
    assert set(small) == {"mib", "peak_mib", "imports_mib", "malloc"}
    assert small["peak_mib"] == pytest.approx(small["mib"] + small["imports_mib"], abs=0.2)
    x = 512 * 8 * 28 * 28 * 4 / 2**20
    assert large["mib"] - small["mib"] > 3 * x  # at least x, g and gx


def test_a_failure_in_the_other_process_is_told():
    with pytest.raises(RuntimeError, match=r"memory of \('step', 'nobody', 2\): KeyError: 'nobody'"):
        memory.measure(("step", "nobody", 2), torch=False, threads=1)


def test_slope_of_the_upper_half():
    work = [1, 2, 4, 8, 16, 32]
    assert scaling.slope(work, [100, 100, 100, 64, 256, 1024]) == pytest.approx(2.0)


def test_scaling(tmp_path):
    lines = {"attention over T": [(T, scaling.attention_case(1, 1, T, 4)) for T in (2, 4, 8, 16)]}
    result = scaling.run(ONE, lines)
    points = result["scaling"]["attention over T"]
    assert [point["work"] for point in points] == [2, 4, 8, 16] and "tinygen" in result["slopes"][
        "attention over T"
    ]["ms"]
    assert "slope of ms: tinygen" in scaling.text(result)
    scaling.draw(result, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1000


def test_a_growing_case_is_found_again_in_another_process():
    for points in scaling.series().values():
        for _, case in points:
            assert memory.find(json.loads(json.dumps(case.memory))).shape == case.shape


def test_the_roof_is_measured():
    roof = machine.roofline(1, size=64, megabytes=1, repeat=1)
    assert roof["gflops"] == max(roof["sgemm_gflops"].values()) > 0
    assert roof["gbps"] == max(roof["copy_gbps"].values()) > 0 and set(roof["copy_gbps"]) == {"copy", "add"}
    assert tinygen.__version__ == machine.versions()["tinygen"]


def test_first_step_times_fresh_processes(monkeypatch, capsys):
    asked = iter([[9.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 2.0, 1.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    monkeypatch.setattr(first_step, "fresh_process", lambda: next(asked))
    first_step.main(["--processes", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("medians of 3")  # the first process is not counted
    assert [line.rsplit(maxsplit=2) for line in lines[1:]] == [
        ["import", "2.000", "2.000"],
        ["data", "2.000", "4.000"],
        ["network", "2.000", "6.000"],
        ["first step", "2.000", "8.000"],
        ["second step", "2.000", "10.000"],
    ]
    with pytest.raises(SystemExit):
        first_step.main(["--processes", "0"])


def test_first_step_of_one_process():
    assert len(seconds := first_step.fresh_process()) == len(first_step.STAGES) and min(seconds) > 0


def test_products_are_measured_and_kept(tmp_path, monkeypatch, capsys):
    place = tmp_path / "products.json"
    place.write_text(
        '{"a CPU avx2": {"blas": "OpenBLAS Zen", "shapes": [[1, 2, 3, "nt", 0.5], [64, 8, 40, "nt", 9.0]]}}'
    )
    monkeypatch.setattr(products.panels, "MEASURED", place)
    monkeypatch.setattr(products.blas, "cpu_family", lambda: "a CPU avx2")
    monkeypatch.setattr(products, "LAYERS", {"small": [(64, 40, 8)]})
    monkeypatch.setattr("sys.argv", ["products", "--threads", "1", "--write"])
    assert products.main() == 0
    shapes = json.loads(place.read_text())["a CPU avx2"]["shapes"]
    assert [row[:4] for row in shapes] == [
        [1, 2, 3, "nt"],
        [64, 8, 40, "nt"],
        [64, 40, 8, "nn"],
        [8, 40, 64, "tn"],
    ]
    assert all(0 < row[4] < 9 for row in shapes)
    assert "gradient of x: 1 threads: BLAS" in capsys.readouterr().err


def test_the_measured_products_can_be_read():
    for family in json.loads(products.panels.MEASURED.read_text()).values():
        assert set(family) == {"blas", "shapes"} and family["shapes"]
        for M, N, K, layout, ratio in family["shapes"]:
            assert min(M, N, K) > 0 and layout in ("nn", "nt", "tn", "tt") and ratio > 0


def test_the_cost_of_a_launch_is_printed_for_every_kernel():
    """In a process of its own: it puts a cupy without a driver in the place of the real one."""
    code = "from tinygen.benchmarks.studies import launch; launch.CALLS = 3; launch.main(['--repeat', '1'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == [kernel for _, kernel in launch.KERNELS]
    assert int(rows[0][1]) == 3 and int(rows[-1][1]) >= 32
