"""The kernels of the matrix product are named, and what holds them back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygen import blas, doctor

CPU = "flags\t\t: fpu avx2 avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl\n"


def core_of_a_process(**variables) -> str:
    environment = {k: v for k, v in os.environ.items() if k != blas.VARIABLE} | variables
    code = "import tinygen.blas; print(tinygen.blas.core())"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.skipif(blas.core() is None, reason="NumPy's BLAS is not an OpenBLAS that chooses its kernels")
def test_openblas_finds_the_best_kernels_itself_and_we_name_them():
    chosen = core_of_a_process()
    assert blas.advice(chosen) is None
    if set(Path("/proc/cpuinfo").read_text().split()) >= blas.AVX512:
        assert chosen in blas.AVX512_CORES
        assert core_of_a_process(OPENBLAS_CORETYPE="Haswell") == "Haswell"


def test_advice(monkeypatch):
    monkeypatch.setattr(blas, "_text", lambda path: CPU)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE=Haswell is set" in blas.advice("Haswell")
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    assert "try OPENBLAS_CORETYPE=SkylakeX" in blas.advice("Zen")
    for best in *blas.AVX512_CORES, None:
        assert blas.advice(best) is None
    for flag in blas.AVX512:
        monkeypatch.setattr(blas, "_text", lambda path: CPU.replace(f" {flag}", "", 1))
        assert blas.advice("Haswell") is None, flag


def test_the_doctor_names_kernels_speed_and_advice(monkeypatch):
    assert f"{blas.core() or 'unknown'} kernels, sgemm 1024³ at" in doctor._kernels()
    monkeypatch.setattr(blas, "core", lambda: None)
    assert doctor._kernels().startswith("unknown kernels") and ";" not in doctor._kernels()
    monkeypatch.setattr(blas, "advice", lambda core: "drink water")
    assert doctor._kernels().endswith("; drink water")
