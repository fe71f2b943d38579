"""The kernels that are made of register tiles, as compiled for CPUs with other vector registers than this one's.

The tile of this CPU runs in all other tests.  Each width is a process of its own, because tiles are cut at import.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygen.kernels.matmul import register_loops

SCRIPT = Path(__file__).resolve().parents[1] / "support" / "every_width.py"
X86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="compiles for an x86 CPU")
HASWELL = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+popcnt,+lzcnt,+movbe",
}
TILES = {  # what must have run
    "conv2d": {"taps", "winograd"},
    "conv2d_input_grad": {"taps", "winograd"},
    "conv2d_weight_grad": {"taps", "winograd"},
    "attention": {"tiled"},
    "attention_grad": {"tiled"},
}


@pytest.mark.parametrize(
    "registers, environment",
    [
        pytest.param((32, 16), HASWELL, id="AVX2", marks=X86),
        pytest.param((64, 32), None, id="AVX-512 emulated"),
        pytest.param((16, 32), None, id="NEON emulated"),
    ],
)
def test_tiles_of_every_width_agree_with_the_reference(registers, environment, tmp_path):
    """With a cache of its own: numba's key does not know for which registers a tile was cut."""
    if environment is None and registers == (register_loops.BYTES, register_loops.COUNT):
        pytest.skip("this CPU's own registers: all other tests run on them")
    done = subprocess.run(
        [sys.executable, SCRIPT, *(() if environment else map(str, registers))],
        env={**os.environ, **(environment or {}), "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert tuple(found["width"]) == registers
    for kernel, variants in TILES.items():
        assert variants <= set(found["ran"][kernel]), f"{kernel}: {found['ran'][kernel]}"


@pytest.mark.parametrize(
    "features, triple, registers",
    [
        ({"avx2", "avx512f"}, "x86_64-unknown-linux-gnu", ("AVX-512", 64, 32)),
        ({"avx2", "fma"}, "x86_64-unknown-linux-gnu", ("AVX2", 32, 16)),
        ({"sse4.2"}, "x86_64-unknown-linux-gnu", ("SSE", 16, 16)),
        ({"neon"}, "aarch64-unknown-linux-gnu", ("NEON", 16, 32)),
        ({"neon"}, "arm64-apple-darwin23.0.0", ("NEON", 16, 32)),
    ],
)
def test_registers_of_a_cpu(features, triple, registers):
    assert register_loops.registers(features, triple) == registers


def test_features_are_those_that_numba_compiles_for(monkeypatch):
    monkeypatch.setattr(register_loops.config, "CPU_FEATURES", "+avx2,-avx512f,+fma")
    assert register_loops.features() == {"avx2", "fma"}
    monkeypatch.setattr(register_loops.config, "CPU_FEATURES", None)
    host = register_loops.llvm.get_host_cpu_features()
    assert register_loops.features() == {name for name in host if host[name]}
