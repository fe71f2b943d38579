"""From a .cu file to a library for this CPU: preprocess, read the signatures, replace three words, compile, cache.

    source.cu --g++ -E--> text --rewrite--> text --g++ -c--> object --with the machine's object--> library.so

The library is kept in the user's cache folder under a hash of everything that went into it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tinygen.kernels.runtime import disk_cache
from tinygen.kernels.runtime.announce import announce
from tinygen.kernels.runtime.sources import headers
from tinygen.kernels.runtime.sources.signatures import Signature, closing, signatures, split

FOLDER = Path(__file__).parent
PARTS = {  # of the machine, by the kind of build
    "fast": ("machine.cpp", "guards.cpp"),
    "debug": ("machine.cpp", "guards.cpp"),
    "checked": ("machine.cpp", "guards.cpp", "memory_checks.cpp"),
    "sanitized": ("machine.cpp", "guards.cpp", "sanitized_main.cpp"),
}

COMMON = ("-std=c++20", "-fPIC", "-fvisibility=hidden", "-fno-stack-protector", "-U_FORTIFY_SOURCE")
COMMON += ("-fno-strict-aliasing",)  # a float * is read as a float4 * all the time
COMMON += ("-ffp-contract=fast",)  # a * b + c in one rounding where the CPU can, as nvcc does by default
WARNINGS = (
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Wno-volatile",
    "-Wno-sign-compare",
    "-Wno-unused-function",
    "-Wno-unused-variable",
)
BUILDS = {
    "fast": ("-O2", "-march=native", "-g1"),
    "debug": ("-O0", "-g"),
    # every load and store, and every failing check, calls the machine: memory_checks.cpp answers
    "checked": ("-O1", "-march=native", "-g", "-DHOSTCUDA_CHECKED"),
    # a separate program under the compiler's sanitizers: sanitize.py
    "sanitized": ("-O1", "-g", "-DHOSTCUDA_SANITIZED"),
}
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
INSTRUMENT = {
    "checked": ("-fsanitize=thread", "-fsanitize=alignment,bounds,integer-divide-by-zero"),
    "sanitized": SANITIZERS,
}
LINK = {"sanitized": SANITIZERS}


class CompileError(RuntimeError):
    """g++ did not accept the source, or is not installed."""


# -- the compiler


@functools.cache
def compiler() -> str:
    """The path of g++ ($CXX if it is set)."""
    if sys.platform != "linux":
        raise CompileError(f"running a .cu file on the CPU works on Linux only; this is {sys.platform}")
    path = shutil.which(os.environ.get("CXX", "g++"))
    if path is None:
        raise CompileError(
            "running a .cu file on the CPU needs the C++ compiler g++, which is not on the PATH: install it "
            "(Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++)"
        )
    return path


@functools.cache
def machine_key() -> str:
    """What a compiled library depends on besides its source: compiler and processor."""
    real = os.path.realpath(compiler())
    status = os.stat(real)
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return f"{real} {status.st_size} {status.st_mtime_ns}\n{platform.machine()}\n{features}"


def run_compiler(arguments, source: str) -> str:
    command = [compiler(), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise CompileError(f"g++ does not accept {source}:\n{result.stderr.strip()}")
    return result.stdout


# -- the cache


@functools.cache
def _text_of_the_machine() -> str:
    files = [
        *sorted(FOLDER.glob("*.h")),
        *sorted(FOLDER.glob("*.cpp")),
        *sorted((FOLDER / "toolkit").glob("*.h")),
    ]
    return "".join(path.read_text(encoding="utf-8") for path in files)


def _with_headers(source: Path) -> str:
    """The text of a source and of every file it includes with quotes."""
    return "".join([source.read_text(encoding="utf-8"), *headers.included(source).values()])


def key(*parts: str) -> str:
    content = "\0".join((*parts, _text_of_the_machine(), machine_key()))
    return hashlib.sha256(content.encode()).hexdigest()[:24]


# -- reading and rewriting the preprocessed text


def _declared_names(declaration: str) -> list[str]:
    """`float a[4], b[N][2]` -> [a, b]"""
    return [re.search(r"(\w+)\s*(\[.*)?$", part, re.DOTALL).group(1) for part in split(declaration)]


def rewrite(text: str) -> str:
    """Replace the three words that no macro can express: __global__, __launch_bounds__(...), __shared__."""
    text = re.sub(r"\b__global__\b", "", text)
    while match := re.search(r"\b__launch_bounds__\s*\(", text):
        text = text[: match.start()] + text[closing(text, match.end() - 1) + 1 :]

    def dynamic(match: re.Match) -> str:
        declaration = re.sub(r"__attribute__\s*\(\(.*?\)\)\s*\)?", "", match.group(1), flags=re.DOTALL)
        type_name, name = re.fullmatch(r"\s*(.*?)\s*(\w+)\s*\[\s*\]\s*", declaration, re.DOTALL).groups()
        lines = "\n" * match.group(0).count("\n")
        return f"{type_name} *const {name} = ({type_name} *)hostcuda::dynamic_shared_memory();{lines}"

    def static(match: re.Match) -> str:
        number = static.count = static.count + 1
        declaration = f"{match.group(1) or ''} {match.group(2)}".replace("static", "")
        names = _declared_names(match.group(2))
        structure = f"hostcuda_shared_{number}"
        parts = [f"struct {structure} {{ {declaration}; }};"]
        parts.append(
            f"static hostcuda::SharedVariable {structure}_place = "
            f'{{"{", ".join(names)}", sizeof({structure}), alignof({structure}), nullptr, 0}};'
        )
        parts.append(
            f"{structure} &{structure}_variables = hostcuda::shared_variable<{structure}>({structure}_place);"
        )
        parts += [f"auto &{name} = {structure}_variables.{name};" for name in names]
        return " ".join(parts).replace("\n", " ") + "\n" * match.group(0).count("\n")

    static.count = 0
    text = re.sub(r"\bextern\s+__shared__\b([^;]*);", dynamic, text)
    return re.sub(r"\b((?:static\s+|volatile\s+)*)__shared__\b([^;]*);", static, text)


# -- building


def _machine_object(build: str, where: Path) -> Path:
    """The compiled machine, shared by all kernels of one kind of build."""
    path = where / f"machine-{build}-{key(build)}.o"
    if not disk_cache.is_kept(path):
        with tempfile.TemporaryDirectory(dir=where) as temporary:
            parts = []
            for name in PARTS[build]:
                parts.append(Path(temporary) / f"{name}.o")
                run_compiler([*COMMON, *BUILDS[build], "-c", FOLDER / name, "-o", parts[-1]], name)
            run_compiler(["-r", "-nostdlib", *parts, "-o", Path(temporary) / "machine.o"], "the machine")
            disk_cache.keep_file(path, Path(temporary) / "machine.o")
    return path


def preprocess(source: Path, flags) -> str:
    options = [
        *COMMON,
        *flags,
        "-E",
        "-x",
        "c++",
        "-include",
        FOLDER / "hostcuda.h",
        "-I",
        FOLDER / "toolkit",
        "-I",
        headers.FOLDER,
    ]
    return run_compiler([*options, source], source.name)


def library(source: Path, flags=(), build: str = "fast") -> tuple[Path, dict[str, list[str]]]:
    """Compile `source` unless it is cached.  -> the library, the parameters of its kernels"""
    where = disk_cache.writable_folder("hostcuda")
    ending = "" if build == "sanitized" else ".so"
    stem = f"{source.stem}-{build}-{key(str(source), _with_headers(source), repr(tuple(flags)), build)}"
    path, listing = where / f"{stem}{ending}", where / f"{stem}.json"
    if not (disk_cache.is_kept(path) and disk_cache.is_kept(listing)):
        announce(f"compiling {source.name} for the CPU … (cached for the next time)")
        text = preprocess(source, [*BUILDS[build], *flags])
        try:
            kernels = signatures(text)
        except ValueError as error:
            raise CompileError(f"{source.name}: {error}") from None
        if not kernels:
            raise CompileError(f"{source.name} has no __global__ function")
        text = "\n".join([rewrite(text), *map(_exported, kernels), _listed(kernels), ""])
        with tempfile.TemporaryDirectory(dir=where) as temporary:
            cpp, obj, out = (Path(temporary) / f"kernel{end}" for end in (".cpp", ".o", ".out"))
            cpp.write_text(text, encoding="utf-8")
            options = [*COMMON, *WARNINGS, *BUILDS[build], *INSTRUMENT.get(build, ()), *flags]
            run_compiler([*options, "-c", cpp, "-o", obj], source.name)
            run_compiler(
                [*LINK.get(build, ["-shared"]), obj, _machine_object(build, where), "-o", out], source.name
            )
            disk_cache.keep(listing, json.dumps({k.name: k.parameters for k in kernels}).encode())
            disk_cache.keep_file(path, out)
    return path, json.loads(listing.read_text(encoding="utf-8"))


def _exported(kernel: Signature) -> str:
    """The line that makes a kernel known to Python."""
    kind = 'extern "C" __attribute__((visibility("default"), used)) const hostcuda::Kernel'
    value = f'hostcuda::describe<&{kernel.name}>("{kernel.name}", {kernel.launch_bound})'
    return f"{kind} hostcuda_kernel_{kernel.name} = {value};"


def _listed(kernels: list[Signature]) -> str:
    """All kernels of the file, for sanitized_main.cpp."""
    entries = "".join(f"&hostcuda_kernel_{k.name}, " for k in kernels)
    return f'extern "C" const hostcuda::Kernel *const hostcuda_kernels[] = {{{entries}nullptr}};'


def source_key(source: Path) -> str:
    """A hash of a source and the headers it includes: a module is compiled again when they change."""
    return hashlib.sha256(_with_headers(source).encode()).hexdigest()


def source_line(library: Path, offset: int) -> str:
    """ " (kernel.cu:12)" for an instruction of a library; empty if addr2line is missing or does not know."""
    tool = shutil.which("addr2line")
    if tool is None:
        return ""
    command = [tool, "-i", "-e", str(library), hex(offset - 1)]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    kernel = [line.split(" ")[0] for line in lines if not line.startswith(str(FOLDER.resolve()))]
    known = [line for line in kernel if line and "?" not in line and "/hostcuda/hostcuda.h" not in line]
    return f" ({Path(known[0]).name})" if known else ""


@functools.cache
def symbols(library: Path) -> dict[str, int]:
    """The sizes of the variables that a library exports: name -> bytes."""
    tool = shutil.which("nm")
    if tool is None:
        raise CompileError("nm, which comes with g++ (binutils), is not on the PATH")
    command = [tool, "-D", "-S", "--defined-only", str(library)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {f[3]: int(f[1], 16) for f in map(str.split, lines) if len(f) == 4 and f[2] in "BbDdGgSsRr"}
