"""What a launch checks, and how its arguments reach the driver.

Python's share of a launch must stay small beside the few microseconds of the driver: what can be found out once per
kernel, per combination of argument types or per grid is remembered, and all arguments are packed by one `struct`.
"""

from __future__ import annotations

import os
import struct
import sys
import threading

import numpy as np

from tinygen.kernels.runtime import cuda_device
from tinygen.kernels.runtime.sources.signatures import Parameter, Signature, described

# TINYGEN_DEBUG_LAUNCHES=1: wait after each launch, so that a failure names its kernel and not a later one
DEBUG = os.environ.get("TINYGEN_DEBUG_LAUNCHES", "0") not in ("", "0")

GRID = 2**31 - 1, 65_535, 65_535  # the most blocks along x, y, z
BLOCK = 1024, 1024, 64  # the most threads along x, y, z
BLOCK_THREADS = 1024
SHAPES = 4096  # grids and blocks that are remembered per kernel
CODES = {"f2": "e", "f4": "f", "f8": "d", "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
CODES |= {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}  # kind and bytes -> letter of the module struct
SLOT = 8  # bytes that an argument occupies
SLOTS = 512  # CUDA 12 passes at most 4096 bytes


def checked_shape(kernel: str, grid, block) -> tuple[tuple, tuple]:
    """grid and block as three numbers each.  ValueError if a GPU cannot run them."""
    shapes = []
    for what, shape in (("grid", grid), ("block", block)):
        numbers = tuple(int(n) for n in shape)
        if not 1 <= len(numbers) <= 3 or min(numbers) < 1:
            raise ValueError(f"{kernel}: {what} is {shape}: expected one to three numbers from 1 on")
        shapes.append((*numbers, 1, 1)[:3])
    blocks, threads = shapes
    if any(n > most for n, most in zip(blocks, GRID)):
        limits = " x ".join(map(str, GRID))
        raise ValueError(f"{kernel}: grid is {grid}: a GPU takes up to {limits}; take a smaller batch")
    count = threads[0] * threads[1] * threads[2]
    if count > BLOCK_THREADS or threads[2] > BLOCK[2]:
        raise ValueError(f"{kernel}: block is {block}: a GPU takes up to 1024 threads, 64 along z")
    return blocks, threads


class Declared:
    """A kernel as its source declares it, and what is known about arguments that it was launched with."""

    def __init__(self, signature: Signature) -> None:
        self.name = signature.name
        self.parameters = [Parameter.declared(text) for text in signature.declarations]
        self.pointers = [(i, p.dtype) for i, p in enumerate(self.parameters) if p.pointer]
        self._on_gpu: dict = {}  # the arguments' types -> whether the arrays are cupy's; only what is right
        self.shapes: set = set()  # pairs of grid and block that were found right

    def on_gpu(self, arguments: tuple) -> bool:
        """Whether the arrays are on the GPU.  TypeError if the arguments' number or types are not the kernel's."""
        types = tuple(map(type, arguments))
        answer = self._on_gpu.get(types)
        if answer is None:
            answer = self._on_gpu[types] = self._checked(arguments)
        return answer

    def _checked(self, arguments: tuple) -> bool:
        if len(arguments) != len(self.parameters):
            names = ", ".join(p.name for p in self.parameters)
            raise TypeError(
                f"{self.name}: {len(arguments)} arguments, expected {len(self.parameters)}: {names}"
            )
        device_array = getattr(sys.modules.get("cupy"), "ndarray", ())
        places = set()
        for i, (parameter, value) in enumerate(zip(self.parameters, arguments)):
            where = f"{self.name}: argument {i} ({parameter.name})"
            if isinstance(value, np.ndarray) and parameter.pointer:
                places.add("numpy")
            elif isinstance(value, device_array) and parameter.pointer:
                places.add("cupy")
            elif parameter.pointer and value is not None:
                raise TypeError(f"{where} is {described(value)}: expected an array for {parameter.text}")
            elif not parameter.pointer and not parameter.takes(type(value)):
                raise TypeError(f"{where} is {described(value)}: expected {parameter.text}")
        if len(places) != 1:
            found = "numpy and cupy arrays mixed" if places else "no array among its arguments"
            raise TypeError(f"{self.name}: {found}")
        return places == {"cupy"}

    def check_shape(self, grid: tuple, block: tuple) -> None:
        """ValueError if no GPU can run this grid of these blocks."""
        checked_shape(self.name, grid, block)
        if len(self.shapes) >= SHAPES:
            self.shapes.clear()
        self.shapes.add((grid, block))

    def numbers(self, arguments: tuple) -> list:
        """The arguments, numbers in the parameters' types.  An error names the one that does not fit."""
        values = []
        for i, (parameter, value) in enumerate(zip(self.parameters, arguments)):
            try:
                values.append(value if parameter.pointer else parameter.number(value).item())
            except (TypeError, OverflowError) as error:
                raise type(error)(f"{self.name}: argument {i} ({parameter.name}) {error}") from None
        return values

    def require_contiguous(self, arguments: tuple) -> None:
        """ValueError for an array with other strides than a kernel assumes, which sees an address alone."""
        for i, _ in self.pointers:
            if arguments[i] is not None and not arguments[i].flags.c_contiguous:
                where = f"{self.name}: argument {i} ({self.parameters[i].name})"
                raise ValueError(f"{where} is not contiguous: the kernel sees an address, no strides")

    def refuse(self, i: int, array) -> None:
        """TypeError for the array `arguments[i]` if its dtype is not the pointer's."""
        parameter = self.parameters[i]
        if not parameter.accepts(array.dtype):
            raise TypeError(
                f"{self.name}: argument {i} ({parameter.name}) is an array of {array.dtype}: expected {parameter.text}"
            )


class Room(threading.local):
    """A thread's room for the arguments of one launch: the driver copies them before the launch returns."""

    def __init__(self) -> None:
        self.memory = bytearray(SLOT * SLOTS)
        self.known: dict = {}  # number of arguments -> the memory, and the slots as cupy takes them

    def slots(self, count: int) -> tuple[bytearray, tuple]:
        """The memory, and its first `count` slots as arguments of cupy's, which hands their addresses to the driver."""
        function = getattr(cuda_device.cupy().cuda, "function", None)
        wrap = getattr(function, "CNumpyArray", lambda slot: slot)  # cupy makes one itself, every time
        every = np.frombuffer(self.memory, np.uint64)
        self.known[count] = self.memory, tuple(wrap(every[i : i + 1]) for i in range(count))
        return self.known[count]


room = Room()


class Launcher:
    """A kernel that has been loaded for one architecture: launch it on cupy's current stream."""

    def __init__(self, declared: Declared, loaded) -> None:
        """loaded: cupy.RawKernel"""
        self.declared, self.loaded = declared, loaded
        codes = ["Q" if p.pointer else _code(declared.name, p) for p in declared.parameters]
        self._pack = struct.Struct(
            "<" + "".join(f"{c}{SLOT - struct.calcsize('<' + c)}x" for c in codes)
        ).pack_into

    def __call__(self, grid: tuple, block: tuple, arguments: tuple, *, shared_mem: int = 0) -> None:
        values = list(arguments)
        for i, dtype in self.declared.pointers:
            array = values[i]
            if array is None:
                values[i] = 0
            else:
                if array.dtype is not dtype:
                    self.declared.refuse(i, array)
                values[i] = array.data.ptr
        count = len(values)
        memory, slots = room.known.get(count) or room.slots(count)
        try:
            self._pack(memory, 0, *values)
        except (struct.error, OverflowError):  # out of range, or a number that struct does not know
            self._pack(memory, 0, *self.declared.numbers(tuple(values)))
        try:
            if DEBUG:
                self.declared.require_contiguous(arguments)
                wait(self.declared.name, "was not launched: something before it failed")
            if shared_mem and shared_mem > self.loaded.max_dynamic_shared_size_bytes:
                self.loaded.max_dynamic_shared_size_bytes = shared_mem
            self.loaded(grid, block, slots, shared_mem=shared_mem)
            if DEBUG:
                wait(self.declared.name, f"failed (grid {grid}, block {block}, {shared_mem} bytes shared)")
        except Exception as error:
            what = f"cannot be launched (grid {grid}, block {block}, {shared_mem} bytes shared)"
            known = failure(self.declared.name, error, what)
            if known is None:
                raise
            raise known from error


def _code(kernel: str, parameter: Parameter) -> str:
    if parameter.lanes > 1 or parameter.kind in "VB":
        raise TypeError(
            f"{kernel}: {parameter.name} is a struct by value, which a launch on a GPU cannot pass"
        )
    return CODES[f"{parameter.kind}{parameter.size}"]


def failure(kernel: str, error: Exception, what: str) -> Exception | None:
    """A CudaError that names the kernel, for an error of cupy's; None for any other error."""
    message = cuda_device.told(error)
    if message is not None:
        return cuda_device.CudaError(message)
    if type(error).__name__ in ("CUDADriverError", "CUDARuntimeError"):
        return cuda_device.CudaError(f"{kernel} {what}: {error}")
    return None


def wait(kernel: str, what: str) -> None:
    """Wait for the current stream; a CudaError says what happened to the kernel if something in it has failed."""
    try:
        cuda_device.cupy().cuda.get_current_stream().synchronize()
    except Exception as error:
        known = failure(kernel, error, what)
        if known is None:
            raise
        raise known from error
