"""One launch under g++'s sanitizers, in a separate process.

AddressSanitizer must be loaded before anything else in a process, so it cannot be loaded into this one: the kernel, the
machine and sanitized_main.cpp become a program.  The program gets the arguments in a file, and its report becomes a
KernelError.  It finds most of what the checked build finds, and more of what a thread does to its own local arrays.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tinygen.kernels.hostcuda import build
from tinygen.kernels.hostcuda.launch import ORDERS, KernelError, Module, checked_shape, convert

PIECES = 64  # of memory: sanitized_main.cpp has room for that many
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0:handle_segv=0:color=never",
    "UBSAN_OPTIONS": "print_stacktrace=0:color=never",
}


def launch_sanitized(
    module: Module,
    name,
    grid,
    block,
    arguments,
    *,
    shared=0,
    order="forward",
    seed=0,
    reachable=(),
    timeout=120,
) -> None:
    """`module.launch(...)` under AddressSanitizer and UndefinedBehaviorSanitizer; results are written back."""
    entry = module.kernels[name]
    values = convert(entry, arguments)
    program, _ = build.library(module.source, module.flags, "sanitized")
    shape = checked_shape(entry, grid, block, shared)
    arrays = [v for p, v in zip(entry.parameters, values) if p.pointer and v is not None]
    pieces = _pieces([*arrays, *reachable])
    if len(pieces) > PIECES:
        raise ValueError(f"{name}: {len(pieces)} arrays: a sanitized launch takes up to {PIECES}")
    with tempfile.TemporaryDirectory() as temporary:
        job, result = Path(temporary) / "job", Path(temporary) / "result"
        numbers = [*shape[0], *shape[1], shared, ORDERS[order], seed]
        job.write_bytes(_job(entry, numbers, pieces, values, _addresses(arrays, reachable, pieces)))
        done = subprocess.run(
            [str(program), str(job), str(result)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **OPTIONS},
        )
        print(done.stdout, end="")
        if done.returncode:
            raise _error(name, done.stderr)
        written = [v for p, v in zip(entry.parameters, values) if p.pointer and not p.is_const]
        _write_back([*written, *reachable], pieces, result.read_bytes())


def _pieces(arrays) -> list[tuple[int, int]]:
    """The memory of the arrays as (start, end), with overlapping pieces merged."""
    pieces: list[tuple[int, int]] = []
    for start, size in sorted((_address(a), a.nbytes) for a in arrays):
        if pieces and start < pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], max(pieces[-1][1], start + size))
        else:
            pieces.append((start, start + size))
    return pieces


def _place(array: np.ndarray, pieces) -> tuple[int, int]:
    """(the number of its piece, its offset in that piece)"""
    which = max(i for i, (start, _) in enumerate(pieces) if start <= _address(array))
    return which, _address(array) - pieces[which][0]


def _addresses(arrays, reachable, pieces) -> list[tuple[int, int, int, int]]:
    """(place, target) of each address of a reachable array that is stored in one of the arrays."""
    places = {_address(array): _place(array, pieces) for array in reachable}
    found = []
    for array in arrays if places else ():
        if array.dtype.kind in "iu" and array.itemsize == 8:
            which, offset = _place(array, pieces)
            words = enumerate(array.reshape(-1).tolist())
            found += [(which, offset + 8 * i, *places[word]) for i, word in words if word in places]
    return found


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _memory(start: int, end: int) -> memoryview:
    import ctypes

    return memoryview((ctypes.c_char * (end - start)).from_address(start)).cast("B")


def _job(entry, numbers, pieces, values, addresses) -> bytes:
    """The file that sanitized_main.cpp reads; every number has 8 bytes."""

    def number(*values) -> bytes:
        return struct.pack(f"={len(values)}Q", *values)

    parts = [number(len(entry.name)), entry.name.encode(), number(*numbers), number(len(pieces))]
    for start, end in pieces:
        parts += [number(end - start), bytes(_memory(start, end))]
    parts.append(number(len(values)))
    for parameter, value in zip(entry.parameters, values):
        if not parameter.pointer:
            parts += [number(len(pieces), value.nbytes), value.tobytes()]
        elif value is None:
            parts.append(number(len(pieces) + 1, 0))
        else:
            parts.append(number(*_place(value, pieces)))
    parts.append(number(len(addresses)))
    parts += [number(*address) for address in addresses]
    return b"".join(parts)


def _write_back(arrays, pieces, content: bytes) -> None:
    offsets, end = [], 0
    for start, stop in pieces:
        offsets.append(end)
        end += stop - start
    for array in arrays:
        if array is not None and array.flags.writeable:
            which, offset = _place(array, pieces)
            bytes_ = np.frombuffer(content, np.uint8, array.nbytes, offsets[which] + offset)
            array.reshape(-1).view(np.uint8)[:] = bytes_


def _error(name: str, report: str) -> KernelError:
    """The report of a sanitizer, or of the machine, as a KernelError"""
    numbers = re.search(r"hostcuda-thread (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", report)
    place = tuple(map(int, numbers.groups())) if numbers else ()
    own = re.search(r"hostcuda-error ([^:]*): (.*)", report)
    address = re.search(r"AddressSanitizer: ([\w-]+)", report)
    undefined = re.search(r"([^\s/]+:\d+):\d+: runtime error: (.*)", report)
    if own:
        kind, what = own.groups()
    elif undefined:
        what = f"{undefined.group(2)} ({undefined.group(1)})"
        kind = "misaligned" if "misaligned" in what else "undefined behaviour"
        kind = "out of bounds" if "out of bounds" in what else kind
        what = f"UndefinedBehaviorSanitizer: {what}"
    elif address:
        access = re.search(r"(READ|WRITE) of size (\d+)", report)
        line = re.search(r"#\d+ \S+ in .*/([^/\s]+\.cu\w*:\d+)", report)
        where = re.search(r"is located (.*)", report)
        words = (
            f"{access.group(1).lower()} of {access.group(2)} bytes",
            where and where.group(1),
            line and f"({line.group(1)})",
        )
        kind = "out of bounds" if re.search("overflow|poison", address.group(1)) else address.group(1)
        what = (
            f"AddressSanitizer: {address.group(1)}: "
            + ", ".join(filter(None, words[:2]))
            + f" {words[2] or ''}"
        )
    else:
        kind, what = "crash", report.strip()[-1000:]
    error = KernelError(name, place[:3], place[3:], kind, what.strip())
    error.report = report
    return error
