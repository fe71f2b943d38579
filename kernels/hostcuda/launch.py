"""A compiled file of kernels, and the launch of one of them on numpy arrays.  See the package's docstring."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np

from tinygen.kernels.hostcuda import build
from tinygen.kernels.runtime.sources import signatures
from tinygen.kernels.runtime.sources.launching import checked_shape as gpu_shape

ORDERS = {"forward": 0, "reverse": 1, "random": 2}
SHARED_LIMIT = 227 << 10  # bytes of dynamic shared memory that a block may have (sm_90)


class KernelError(RuntimeError):
    """A mistake that a GPU would not survive or not show, with `kernel`, `block`, `thread` and its `kind`"""

    def __init__(self, kernel: str, block: tuple, thread: tuple, kind: str, what: str) -> None:
        super().__init__(f"{kernel}: block {block}, thread {thread}: {what}")
        self.kernel, self.block, self.thread, self.kind, self.what = kernel, block, thread, kind, what


# -- structs of hostcuda.h and machine.h


class _Parameter(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_char),
        ("pointer", ctypes.c_ubyte),
        ("is_const", ctypes.c_ubyte),
        ("lanes", ctypes.c_ushort),
        ("size", ctypes.c_uint),
    )


class _Kernel(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("call", ctypes.c_void_p),
        ("launch_bound", ctypes.c_int),
        ("count", ctypes.c_int),
        ("parameters", ctypes.POINTER(_Parameter)),
    )


class _Region(ctypes.Structure):
    _fields_ = (
        ("start", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("pointer", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("item", ctypes.c_uint),
        ("writable", ctypes.c_int),
    )


class _Launch(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_size_t),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("regions", ctypes.POINTER(_Region)),
        ("region_count", ctypes.c_int),
        ("guard", ctypes.c_int),
        ("failed", ctypes.c_int),
        ("fail_block", ctypes.c_uint * 3),
        ("fail_thread", ctypes.c_uint * 3),
        ("kind", ctypes.c_char * 40),
        ("message", ctypes.c_char * 600),
        ("code_offset", ctypes.c_size_t),
        ("static_shared", ctypes.c_size_t),
        ("switches", ctypes.c_ulong),
    )


# -- parameters and arguments


class Parameter(signatures.Parameter):
    """One parameter of a compiled kernel, and how an argument is passed for it."""

    def __init__(self, name: str, raw: _Parameter) -> None:
        super().__init__(
            name,
            raw.kind.decode(),
            raw.lanes,
            raw.size,
            pointer=bool(raw.pointer),
            is_const=bool(raw.is_const),
        )
        self.encoded_name = name.encode()

    def convert(self, value):
        """The argument as an array; the kernel gets its bytes or its address."""
        if self.pointer:
            return self._array(value)
        if self.takes(type(value)):
            return self.number(value)
        array = np.asarray(value)
        if array.size != 1:
            raise TypeError(f"is an array of shape {array.shape}: expected one {self.text}")
        if self.kind == "V" or self.lanes > 1:
            if isinstance(value, (int, float)) and not isinstance(value, np.generic):
                raise TypeError(f"is a Python number: expected {self.text}")
            if array.nbytes != self.size:
                raise TypeError(f"has {array.nbytes} bytes: expected a struct of {self.size}")
        elif not self.accepts(array.dtype):
            return self.number(array[()] if isinstance(value, np.ndarray) else value)
        return _aligned(array) if array.nbytes > 8 else array

    def _array(self, value):
        if value is None:
            return None
        if not isinstance(value, np.ndarray):
            raise TypeError(f"is {signatures.described(value)}: expected an array for {self.text}")
        if not self.accepts(value.dtype):
            raise TypeError(f"is an array of {value.dtype}: expected {self.text}")
        if not value.flags.c_contiguous:
            raise ValueError("is not contiguous: the kernel sees an address, no strides")
        if not (self.is_const or value.flags.writeable):
            raise ValueError(f"is read-only, and the kernel declares {self.text}, not const")
        return value


def _aligned(array: np.ndarray) -> np.ndarray:
    """A copy on a 64-byte boundary: a struct passed by value may hold vectors."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    place = room[start : start + array.nbytes]
    place[:] = np.frombuffer(array.tobytes(), np.uint8)
    return place


# -- a compiled file


class _Entry:
    """One kernel of a module."""

    def __init__(self, name: str, raw: _Kernel, names: list[str]) -> None:
        self.name, self.raw, self.launch_bound = name, raw, raw.launch_bound
        self.shapes: dict = {}  # grids and blocks that have been checked
        self.parameters = [Parameter(names[i], raw.parameters[i]) for i in range(raw.count)]


class Module:
    """The kernels of one source file, compiled for this CPU."""

    def __init__(self, source: Path, flags: tuple[str, ...], build_kind: str) -> None:
        self.source, self.flags, self.build = source, flags, build_kind
        self.path, names = build.library(source, flags, build_kind)
        self._library = ctypes.CDLL(str(self.path))
        self._launch = self._library.hostcuda_launch
        self._launch.argtypes = [ctypes.POINTER(_Kernel), ctypes.POINTER(_Launch)]
        self._lock = threading.Lock()
        self.kernels = {
            name: _Entry(name, _Kernel.in_dll(self._library, f"hostcuda_kernel_{name}"), parameters)
            for name, parameters in names.items()
        }

    def __repr__(self) -> str:
        return f"<hostcuda module {self.source.name} ({self.build}): {', '.join(self.kernels)}>"

    def constant(self, name: str, dtype=np.float32) -> np.ndarray:
        """The bytes of the `__constant__` variable `name` as an array, to read and write between launches."""
        symbol = build.symbols(self.path).get(name)
        if symbol is None:
            raise ValueError(f"{self.source.name} has no __constant__ variable {name!r}")
        start = ctypes.addressof(ctypes.c_char.in_dll(self._library, name))
        return np.frombuffer((ctypes.c_char * symbol).from_address(start), dtype)

    def launch(
        self, name, grid, block, arguments, *, shared=0, order="forward", seed=0, guard=True, reachable=()
    ) -> None:
        """Run kernel `name` with `grid` blocks of `block` threads on numpy arrays and numbers.

        `shared`: bytes of dynamic shared memory.
        `order`: the order of threads and blocks, "forward", "reverse" or "random" (by `seed`).  A result that depends
        on it comes from a race.
        `guard`: let the kernel work on copies that end at a forbidden page; they are copied back if all went well.
        `reachable`: further arrays that the kernel finds through addresses in its arguments.  A checked build would
        otherwise report accesses to them.
        Raises KernelError.
        """
        entry = self.kernels.get(name)
        if entry is None:
            raise ValueError(f"{self.source.name} has no kernel {name!r}: it has {', '.join(self.kernels)}")
        if order not in ORDERS:
            raise ValueError(f"order is {order!r}: expected one of {', '.join(ORDERS)}")
        if not (isinstance(grid, (tuple, list)) and isinstance(block, (tuple, list))):
            raise TypeError(
                f"{name}: grid is {grid!r}, block is {block!r}: expected tuples of one to three ints"
            )
        values = convert(entry, arguments)
        launch, keep = _described(entry, values, reachable)
        shape = (*grid, "x", *block, shared)
        if shape not in entry.shapes:
            entry.shapes[shape] = checked_shape(entry, grid, block, shared)
        launch.grid, launch.block = entry.shapes[shape]
        launch.shared, launch.order, launch.seed, launch.guard = shared, ORDERS[order], seed, guard
        with self._lock:
            failed = self._launch(entry.raw, launch)
        del keep
        if not failed:
            return
        error = self._error(name, launch)
        if error.kind == "interrupted":
            raise KeyboardInterrupt(str(error))
        if error.kind == "out of bounds afterwards" and self.build != "checked":
            options = dict(shared=shared, order=order, seed=seed, reachable=reachable)
            compile(self.source, self.flags, checked=True).launch(name, grid, block, arguments, **options)
        raise error

    def _error(self, name: str, launch: _Launch) -> KernelError:
        message = launch.message.decode(errors="replace")
        if launch.code_offset:
            message += build.source_line(self.path, launch.code_offset)
        block, thread = tuple(launch.fail_block), tuple(launch.fail_thread)
        return KernelError(name, block, thread, launch.kind.decode(), message)


def _described(entry: _Entry, values: list, reachable) -> tuple[_Launch, tuple]:
    """A launch with its arguments, and the objects that must stay alive while it runs."""
    count = len(values) + len(reachable)
    pointers, addresses = (ctypes.c_void_p * (count + 1))(), (ctypes.c_void_p * (count + 1))()
    regions = (_Region * (count + 1))()
    launch = _Launch()
    first, used = ctypes.addressof(pointers), 0
    parameters = entry.parameters
    for i, value in enumerate([*values, *reachable]):
        address = None if value is None else value.__array_interface__["data"][0]
        if i < len(parameters) and not parameters[i].pointer:
            addresses[i] = address
            continue
        here = first + 8 * i
        pointers[i] = address
        addresses[i] = here
        if value is not None and value.nbytes:
            name = parameters[i].encoded_name if i < len(parameters) else b"a reachable array"
            writable = not parameters[i].is_const if i < len(parameters) else value.flags.writeable
            pointer = here if i < len(parameters) else None
            regions[used] = _Region(address, value.nbytes, pointer, name, value.itemsize, writable)
            used += 1
    launch.arguments, launch.regions, launch.region_count = addresses, regions, used
    return launch, (pointers, addresses, regions, values)


def convert(entry: _Entry, arguments) -> list:
    """Check the arguments against the kernel's parameters, before anything runs."""
    parameters = entry.parameters
    if len(arguments) != len(parameters):
        names = ", ".join(p.name for p in parameters)
        raise TypeError(f"{entry.name}: {len(arguments)} arguments, expected {len(parameters)}: {names}")
    values = []
    for parameter, value in zip(parameters, arguments):
        try:
            values.append(parameter.convert(value))
        except (TypeError, ValueError, OverflowError) as error:
            place = f"{entry.name}: argument {len(values)} ({parameter.name})"
            raise type(error)(f"{place} {error}") from None
    return values


def checked_shape(entry: _Entry, grid, block, shared: int) -> tuple[tuple, tuple]:
    """grid and block as three numbers each, checked against a GPU's limits."""
    blocks, threads = gpu_shape(entry.name, grid, block)
    count = threads[0] * threads[1] * threads[2]
    if entry.launch_bound and count > entry.launch_bound:
        raise ValueError(
            f"{entry.name}: block is {block}, {count} threads: its source says "
            f"__launch_bounds__({entry.launch_bound})"
        )
    if not 0 <= shared <= SHARED_LIMIT:
        raise ValueError(f"{entry.name}: {shared} bytes of shared memory: from 0 to {SHARED_LIMIT}")
    return blocks, threads


_modules: dict = {}


def compile(source: str | Path, flags=(), *, debug: bool = False, checked: bool = False) -> Module:
    """The kernels of the file `source`.  `flags`: more flags for g++, such as "-DTILE=8".

    `debug`: without optimization, for a debugger.  `checked`: check every load and store (slower).
    """
    source = Path(source).resolve()
    kind = "checked" if checked else "debug" if debug else "fast"
    identity = (source, tuple(flags), kind, build.source_key(source))
    if identity not in _modules:
        _modules[identity] = Module(source, tuple(flags), kind)
    return _modules[identity]


def check_orders(module: Module, name, grid, block, arguments, *, shared=0, seeds=(1, 2), rtol=0.0) -> None:
    """Launch with threads and blocks in forward, reverse and random order (one per seed) and compare the results.

    They must have the same bits, or agree within `rtol` (for sums made by atomics).  The arrays end as the forward
    order leaves them.  A difference is a race: the KernelError names the first element that differs and, if the
    checked build finds them, the two threads.
    """
    entry = module.kernels[name]
    outputs = {
        i
        for i, (p, a) in enumerate(zip(entry.parameters, arguments))
        if isinstance(a, np.ndarray) and not p.is_const
    }
    runs = [("forward", 0), ("reverse", 0)] + [("random", seed) for seed in seeds]
    before = {i: arguments[i].copy() for i in outputs}
    forward: dict = {}
    for order, seed in runs:
        for i in outputs:
            arguments[i][...] = before[i]
        module.launch(name, grid, block, arguments, shared=shared, order=order, seed=seed)
        if order == "forward":
            forward = {i: arguments[i].copy() for i in outputs}
            continue
        found = _first_difference(entry, forward, arguments, rtol)
        if found:
            for i in outputs:
                arguments[i][...] = before[i]
            checked = compile(module.source, module.flags, checked=True)
            checked.launch(name, grid, block, arguments, shared=shared)
            what = f"race: {found} in {order} order"
            raise KernelError(name, None, None, "race", what)
    for i in outputs:
        arguments[i][...] = forward[i]


def _first_difference(entry: _Entry, forward: dict, arguments, rtol: float) -> str | None:
    for i, expected in sorted(forward.items()):
        found = arguments[i]
        if rtol and expected.dtype.kind == "f":
            same = np.isclose(found, expected, rtol=rtol, atol=0.0, equal_nan=True)
        else:
            as_bytes = (-1, expected.itemsize)
            same = (
                expected.reshape(-1).view(np.uint8).reshape(as_bytes)
                == found.reshape(-1).view(np.uint8).reshape(as_bytes)
            ).all(1)
            same = same.reshape(expected.shape)
        if not same.all():
            at = tuple(int(n) for n in np.unravel_index(np.argmin(same), expected.shape))
            index = ", ".join(map(str, at))
            return f"{entry.parameters[i].name}[{index}] is {expected[at]} in forward order, {found[at]}"
    return None
