"""The kernels of the matrix product are named, and so is a setting that slows them down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygen
from tinygen import doctor
from tinygen.kernels.runtime import blas

CPU = "flags\t\t: fpu avx2 avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl\n"


def said_by_a_process(name, **variables) -> str:
    environment = {k: v for k, v in os.environ.items() if k != blas.VARIABLE} | variables
    code = f"import tinygen.kernels.runtime.blas; print(tinygen.kernels.runtime.blas.{name}())"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.skipif(blas.core() is None, reason="NumPy's BLAS is not an OpenBLAS that chooses its kernels")
def test_openblas_finds_the_best_kernels_itself_and_we_name_them():
    chosen = said_by_a_process("core")
    assert blas.advice(chosen) is None
    if set(Path("/proc/cpuinfo").read_text().split()) >= blas.AVX512:
        assert chosen in blas.AVX512_CORES
        assert said_by_a_process("core", OPENBLAS_CORETYPE="Haswell") == "Haswell"


@pytest.mark.skipif(blas.threads() is None, reason="NumPy's BLAS is not an OpenBLAS")
@pytest.mark.parametrize("count", [1, 2])
def test_threads_are_counted(count):
    variables = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": str(count)}
    assert said_by_a_process("threads", **variables) == str(min(count, len(os.sched_getaffinity(0))))


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


def test_numbers_of_threads():
    code = """
import tinygen as tg
from tinygen.kernels.runtime import blas
known = blas.threads() is not None
for n in 1, 2, 99:
    tg.set_num_threads(n)
    print(tg.get_num_threads(), blas.threads() if known else tg.get_num_threads())
"""
    environment = {
        **os.environ,
        **dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2"),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1", "2", "2", "2", "2"], done.stderr
    for wrong, kind in ((0, RuntimeError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(kind, match="set_num_threads: found"):
            tinygen.set_num_threads(wrong)


@pytest.mark.parametrize(
    "maps, maker",
    [
        ("7f /opt/conda/lib/libmkl_rt.so.2\n", "MKL"),
        ("7f /usr/lib/x86_64-linux-gnu/blis-openmp/libblis.so.4\n", "BLIS"),
        ("7f /usr/lib/libc.so.6\n", None),
    ],
)
def test_another_blas_is_told_by_the_libraries_of_the_process(maps, maker, monkeypatch):
    monkeypatch.setattr(blas, "core", lambda: None)
    monkeypatch.setattr(
        blas.np, "show_config", lambda mode: {"Build Dependencies": {"blas": {"name": "blas"}}}
    )
    monkeypatch.setattr(blas, "_text", lambda path: maps)
    assert blas.maker.__wrapped__() == maker
    monkeypatch.setattr(blas, "core", lambda: "SkylakeX")
    assert blas.maker.__wrapped__() == "OpenBLAS"


def test_the_family_of_a_cpu(monkeypatch):
    for text, family in (
        (f"vendor_id\t: GenuineIntel\n{CPU}", "GenuineIntel avx512"),
        ("vendor_id\t: AuthenticAMD\nflags : avx2 fma\n", "AuthenticAMD avx2"),
        ("", "unknown"),
    ):
        monkeypatch.setattr(blas, "_text", lambda path, text=text: text)
        assert blas.cpu_family.__wrapped__() == family
