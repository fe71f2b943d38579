"""Compile every CUDA C++ kernel without a GPU, print what it uses, and check it against `budgets.py`.

    python -m tinygen.kernels.runtime.compile_report --arch 80,86,89,90 [FILE.cu ...] [--json OUT]

NVRTC makes the machine code and keeps it in the user's cache folder, from which kernels are later loaded.  ptxas, which
is part of NVRTC, reports registers, shared memory and spills.  With nvdisasm (pip install nvidia-cuda-nvdisasm) the
report also counts the instructions that matter.  Exit status 1: a kernel exceeds its budget.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tinygen.kernels.runtime.budgets import BUDGETS, Budget
from tinygen.kernels.runtime.cuda_source import FOLDER, CudaSource
from tinygen.kernels.runtime.sources import nvrtc

ARCHITECTURES = (80, 86, 89, 90)  # A100; RTX 30; RTX 40 and L4; H100 and H200

# Column of the table -> the SASS instructions it counts: the start of the opcode, and a part of the rest.
INSTRUCTIONS = {
    "FFMA": ("FFMA", ""),
    "LDS": ("LDS", ""),
    "LDS.128": ("LDS", ".128"),
    "LDG": ("LDG", ""),
    "LDG.128": ("LDG", ".128"),
    "STG": ("STG", ""),
    "STG.128": ("STG", ".128"),
    "BAR": ("BAR", ""),
    "SHFL": ("SHFL", ""),
}


@dataclass
class Row:
    """What one kernel uses on one architecture."""

    kernel: str
    arch: int
    registers: int  # per thread
    shared: int  # bytes of static shared memory per block
    spills: int  # bytes stored to and loaded from local memory
    constant: int  # bytes of constant memory: parameters and __constant__
    instructions: dict[str, int] | None = field(default=None)  # None: no disassembler

    def overspent(self, budget: Budget) -> list[str]:
        """A sentence for each limit of the budget that is exceeded."""
        found = []
        for what in ("registers", "shared", "spills"):
            used, allowed = getattr(self, what), getattr(budget, what)
            if used > allowed:
                found.append(
                    f"{self.kernel}, sm_{self.arch}: {used} {UNITS[what]}, its budget allows {allowed}"
                )
        for name, least in budget.at_least.items() if self.instructions is not None else ():
            if self.instructions[name] < least:
                there = self.instructions[name]
                found.append(
                    f"{self.kernel}, sm_{self.arch}: {there} {name}, its budget expects {least} or more"
                )
        return found


UNITS = {"registers": "registers", "shared": "bytes of shared memory", "spills": "bytes spilled"}

_ENTRY = re.compile(r"Compiling entry function '(\w+)'(.*?)Used (\d+) registers([^\n]*)", re.DOTALL)


def measure(source: CudaSource, arch: int, compiler: nvrtc.Nvrtc) -> list[Row]:
    """Compile one file (or take it from the cache) and collect what ptxas, the cubin and the disassembler say."""
    cubin = source.cubin_path(arch, compiler)
    constants, counts = constant_bytes(cubin.read_bytes()), instructions(cubin)
    rows = []
    for kernel, body, registers, rest in _ENTRY.findall(
        cubin.with_suffix(".log").read_text(encoding="utf-8")
    ):
        spills = sum(map(int, re.findall(r"(\d+) bytes spill", body)))
        shared = sum(map(int, re.findall(r"(\d+) bytes smem", rest)))
        code = counts and {name: counts[kernel][name] for name in INSTRUCTIONS}
        rows.append(Row(kernel, arch, int(registers), shared, spills, constants.get(kernel, 0), code))
    if not rows:
        raise nvrtc.CompileError(
            f"{source.path.name}: contains no kernel, or the compiler's report has an unknown form"
        )
    return sorted(rows, key=lambda row: row.kernel)


def constant_bytes(cubin: bytes) -> dict[str, int]:
    """kernel -> bytes of its constant banks.  A cubin is an ELF file with a section .nv.constantN.KERNEL per bank."""
    offset, entry, count, names_at = (
        struct.unpack_from(f"<{kind}", cubin, at)[0]
        for kind, at in (("Q", 0x28), ("H", 0x3A), ("H", 0x3C), ("H", 0x3E))
    )
    sections = [struct.unpack_from("<IIQQQQ", cubin, offset + i * entry) for i in range(count)]
    strings = sections[names_at][4]
    found: Counter = Counter()
    for name_at, *_, size in sections:
        name = cubin[strings + name_at : cubin.index(b"\0", strings + name_at)].decode()
        if bank := re.fullmatch(r"\.nv\.constant\d\.(\w+)", name):
            found[bank[1]] += size
    return found


def disassembler() -> str | None:
    """The path of nvdisasm: from the wheels, the toolkit, or PATH."""
    spec = importlib.util.find_spec("nvidia")
    wheels = [
        f for base in (spec.submodule_search_locations if spec else ()) for f in Path(base).glob("*/bin")
    ]
    toolkit = Path(os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda") / "bin"
    return shutil.which("nvdisasm", path=os.pathsep.join(map(str, [*wheels, toolkit]))) or shutil.which(
        "nvdisasm"
    )


def instructions(cubin: Path) -> dict[str, Counter] | None:
    """kernel -> how often each of INSTRUCTIONS occurs in its code; None without a disassembler."""
    program = disassembler()
    if program is None:
        return None
    text = subprocess.run([program, "-c", str(cubin)], capture_output=True, text=True, check=True).stdout
    found: dict[str, Counter] = {}
    for section in re.split(r"\n\s*\.section\s+", text)[1:]:
        kernel = re.match(r"\.text\.(\w+)", section)
        if not kernel:
            continue
        counts = found.setdefault(kernel[1], Counter())
        for opcode in re.findall(
            r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", section, re.MULTILINE
        ):
            start, _, rest = opcode.partition(".")
            counts.update(n for n, (o, part) in INSTRUCTIONS.items() if start == o and part in f".{rest}.")
    return found


def table(rows: list[Row]) -> str:
    """The rows as text with aligned columns."""
    head = ["kernel", "sm", "registers", "shared", "spills", "constant", *INSTRUCTIONS]
    cells = [
        [
            r.kernel,
            r.arch,
            r.registers,
            r.shared,
            r.spills,
            r.constant,
            *(r.instructions or dict.fromkeys(INSTRUCTIONS, "-")).values(),
        ]
        for r in rows
    ]
    widths = [max(len(str(line[i])) for line in [head, *cells]) for i in range(len(head))]
    lines = (
        "  ".join([str(line[0]).ljust(widths[0]), *(str(c).rjust(w) for c, w in zip(line[1:], widths[1:]))])
        for line in [head, *cells]
    )
    return "\n".join(lines)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tinygen.kernels.runtime.compile_report", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("files", nargs="*", metavar="FILE.cu", help="sources (default: all of the package)")
    parser.add_argument("--arch", default=",".join(map(str, ARCHITECTURES)), help="(default %(default)s)")
    parser.add_argument(
        "--json", metavar="OUT", help="also write the rows to this file; - prints them instead of the table"
    )
    options = parser.parse_args(argv)
    try:
        compiler = nvrtc.load()
        architectures = known(options.arch, compiler)
        sources = [Path(f).resolve() for f in options.files] or sorted(FOLDER.glob("*/*.cu"))
        jobs = [(CudaSource(file), arch, compiler) for file in sources for arch in architectures]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = [row for found in pool.map(lambda job: measure(*job), jobs) for row in found]
    except (nvrtc.NvrtcMissing, nvrtc.CompileError, ValueError, OSError) as error:
        print(f"compile: {error}", file=sys.stderr)
        return 2
    if options.json:
        text = json.dumps([asdict(row) for row in rows], indent=1)
        print(text) if options.json == "-" else Path(options.json).write_text(text + "\n", encoding="utf-8")
    if options.json != "-":
        print(table(rows))
        if disassembler() is None:
            print("instructions were not counted: pip install nvidia-cuda-nvdisasm", file=sys.stderr)
    overspent = [line for row in rows for line in row.overspent(BUDGETS.get(row.kernel, Budget()))]
    for line in overspent:
        print(f"over budget: {line}", file=sys.stderr)
    return 1 if overspent else 0


def known(text: str, compiler: nvrtc.Nvrtc) -> list[int]:
    """The architectures in a flag like 80,90.  ValueError for one that this NVRTC cannot compile for."""
    found = []
    for part in text.split(","):
        number = part.strip().removeprefix("sm_")
        if not number.isdecimal() or int(number) not in compiler.architectures():
            names = ", ".join(map(str, compiler.architectures()))
            version = ".".join(map(str, compiler.version))
            raise ValueError(f"--arch: NVRTC {version} cannot compile for {part!r}; known: {names}")
        found.append(int(number))
    return found


if __name__ == "__main__":
    sys.exit(main())
