"""The vector registers that compiled tiles are cut for: those of the CPU that numba compiles for, as a rule this one.

NUMBA_CPU_NAME and NUMBA_CPU_FEATURES let numba compile for another CPU.  Importing this file imports numba (0.5 s).
"""

from __future__ import annotations

from tinygen.kernels.runtime.with_numba import config, llvm


def features() -> set[str]:
    """The names of the instruction sets, such as avx512f"""
    if config.CPU_FEATURES is None:
        return {name for name, has in llvm.get_host_cpu_features().items() if has}
    return {name[1:] for name in config.CPU_FEATURES.split(",") if name.startswith("+")}


def registers(has: set[str], triple: str) -> tuple[str, int, int]:
    """-> name of the instruction set, bytes of a vector register, how many there are"""
    if "avx512f" in has:
        return "AVX-512", 64, 32
    if "avx2" in has:
        return "AVX2", 32, 16
    if triple.startswith(("aarch64", "arm64")):
        return "NEON", 16, 32
    return "SSE", 16, 16


NAME, BYTES, COUNT = registers(features(), llvm.get_process_triple())
