"""The compile report: every kernel is within its budget on every architecture, and one that is not is reported."""

import json
import subprocess
import sys

import pytest

from tinygen.kernels.runtime import budgets, compile_report, cuda_source
from tinygen.kernels.runtime.sources import nvrtc

SOURCES = sorted(cuda_source.FOLDER.glob("*/*.cu"))
SPILLS = """
// More sums than the 32 registers that 2048 threads a multiprocessor leave to each.
extern "C" __global__ void __launch_bounds__(1024, 2) spilling(const float *x, float *y, int n) {
    float sum[48] = {};
    for (int i = 0; i < n; ++i)
#pragma unroll
        for (int j = 0; j < 48; ++j) sum[j] += x[i * 48 + j] * sum[(j + 1) % 48];
#pragma unroll
    for (int j = 0; j < 48; ++j) y[threadIdx.x * 48 + j] = sum[j];
}
"""


@pytest.fixture
def compiler():
    try:
        return nvrtc.load()
    except nvrtc.NvrtcMissing as error:
        pytest.skip(f"NVRTC is not installed: {error}")


def disassembler():
    if compile_report.disassembler() is None:
        pytest.skip("nvdisasm is not installed: pip install nvidia-cuda-nvdisasm")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_kernel_is_within_its_budget(compiler, source, capsys):
    assert compile_report.main([str(source)]) == 0, capsys.readouterr().err
    lines = capsys.readouterr().out.splitlines()
    kernels = {line.split()[0] for line in lines[1:]}
    assert kernels and len(lines) == 1 + len(compile_report.ARCHITECTURES) * len(kernels)


def test_every_budget_is_a_kernels(compiler):
    rows = [
        row for path in SOURCES for row in compile_report.measure(cuda_source.CudaSource(path), 90, compiler)
    ]
    assert set(budgets.BUDGETS) <= {row.kernel for row in rows}


def test_matmul_reads_and_computes_as_its_header_says(compiler):
    disassembler()
    rows = {
        r.kernel: r for r in compile_report.measure(cuda_source.CudaSource("matmul/matmul.cu"), 90, compiler)
    }
    assert list(rows) == sorted(rows) and len(rows) == 8
    assert rows["matmul_naive"].shared == 0 and rows["matmul_tiled"].shared == 2 * 32 * 33 * 4
    assert rows["matmul_naive"].instructions["BAR"] == 0 and rows["matmul_tiled"].instructions["BAR"] == 2
    for layout in "nn", "nt", "tn", "tt":  # four of the eight steps along k are unrolled
        row = rows[f"matmul_vectorized_{layout}"]
        assert row.shared == 2 * 2 * 8 * 132 * 4
        assert (
            row.instructions["FFMA"] == 4 * 64
            and row.instructions["LDS"] == row.instructions["LDS.128"] == 4 * 4
        )


def test_a_kernel_that_spills_fails(compiler, tmp_path, capsys):
    (tmp_path / "spilling.cu").write_text(SPILLS)
    arguments = ["--arch", "90", str(tmp_path / "spilling.cu"), "--json", str(tmp_path / "rows.json")]
    assert compile_report.main(arguments) == 1
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["kernel"] == "spilling" and row["registers"] == 32 and row["spills"] > 0
    message = capsys.readouterr().err
    assert f"over budget: spilling, sm_90: {row['spills']} bytes spilled, its budget allows 0" in message


def test_a_budget_may_allow_spills_and_says_why(compiler, tmp_path, capsys, monkeypatch):
    (tmp_path / "spilling.cu").write_text(SPILLS)
    monkeypatch.setitem(budgets.BUDGETS, "spilling", budgets.Budget(spills=10_000, reason="to be seen"))
    assert compile_report.main(["--arch", "90", str(tmp_path / "spilling.cu")]) == 0
    with pytest.raises(ValueError, match="reason"):
        budgets.Budget(spills=1)
    with pytest.raises(ValueError, match="must not give one"):
        budgets.Budget(reason="none needed")


@pytest.mark.parametrize(
    "budget, message",
    [
        (budgets.Budget(registers=16), "64 registers, its budget allows 16"),
        (budgets.Budget(shared=1), "2 bytes of shared memory, its budget allows 1"),
        (budgets.Budget(at_least={"LDS.128": 8}), "4 LDS.128, its budget expects 8 or more"),
    ],
)
def test_what_is_past_a_budget(budget, message):
    row = compile_report.Row(
        "k", 80, 64, 2, 0, 400, {**dict.fromkeys(compile_report.INSTRUCTIONS, 0), "LDS.128": 4}
    )
    assert row.overspent(budget) == [f"k, sm_80: {message}"]
    assert row.overspent(budgets.Budget()) == []
    row.instructions = None
    assert len(row.overspent(budget)) == (not budget.at_least)  # not counted, so not over budget


def test_a_source_that_does_not_compile(compiler, tmp_path, capsys):
    (tmp_path / "wrong.cu").write_text('extern "C" __global__ void wrong(float *x) { x[0] = y; }\n')
    assert compile_report.main([str(tmp_path / "wrong.cu")]) == 2
    assert 'wrong.cu(1): error: identifier "y" is undefined' in capsys.readouterr().err
    (tmp_path / "empty.cu").write_text("__device__ int f() { return 1; }\n")
    assert compile_report.main([str(tmp_path / "empty.cu"), "--arch", "90"]) == 2
    assert "empty.cu: contains no kernel" in capsys.readouterr().err
    assert compile_report.main([str(tmp_path / "nowhere.cu")]) == 2
    assert "nowhere.cu" in capsys.readouterr().err


def test_an_architecture_that_is_not_known(compiler, capsys):
    assert compile_report.main(["--arch", "90,17"]) == 2
    assert "cannot compile for '17'" in capsys.readouterr().err


def test_without_nvrtc(monkeypatch, capsys):
    monkeypatch.setattr(nvrtc, "libraries", list)
    nvrtc.load.cache_clear()
    try:
        assert compile_report.main([]) == 2
    finally:
        nvrtc.load.cache_clear()
    assert "NVRTC, which compiles CUDA C++, is not installed: pip install" in capsys.readouterr().err


def test_without_a_disassembler(compiler, monkeypatch, capsys):
    monkeypatch.setattr(compile_report, "disassembler", lambda: None)
    assert compile_report.main(["--arch", "90", str(SOURCES[0])]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[-1] == "-" and "pip install nvidia-cuda-nvdisasm" in err


def test_a_header_that_changes_is_compiled_anew(compiler, tmp_path):
    (tmp_path / "k.cu").write_text('#include "a.cuh"\nextern "C" __global__ void k(float *x) { x[0] = A; }\n')
    (tmp_path / "a.cuh").write_text('#pragma once\n#include "b.cuh"\n')
    (tmp_path / "b.cuh").write_text("#define A 1\n")
    paths = [cuda_source.CudaSource(tmp_path / "k.cu").cubin_path(90, compiler)]
    (tmp_path / "b.cuh").write_text("#define A 2\n")
    source = cuda_source.CudaSource(tmp_path / "k.cu")
    paths += [source.cubin_path(90, compiler), source.cubin_path(80, compiler)]
    assert len(set(paths)) == 3 and all(path.read_bytes()[:4] == b"\x7fELF" for path in paths)


def test_the_command_needs_no_gpu_and_no_cupy(compiler):
    code = (
        "import sys; sys.modules['cupy'] = None; from tinygen.kernels.runtime.compile_report import main;"
        "sys.exit(main(['--arch', '90']) or 'numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
