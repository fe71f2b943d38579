"""Arguments of a launch: checked and cast by the kernel's declaration, in the slots that the driver reads."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import gpu

from tinygen.kernels.runtime.cuda_device import CudaError
from tinygen.kernels.runtime.cuda_source import CudaSource
from tinygen.kernels.runtime.sources import headers, launching, macros
from tinygen.kernels.runtime.sources.signatures import Parameter, signatures

KERNELS = Path(macros.__file__).resolve().parents[2]
TEXT = """
#define SIZES int M, long long apart
#define ARRAY(x) const float *x, long long x##_row
#define NAMED(NAME, EXTRA) extern "C" __global__ void NAME##_scale(ARRAY(x), float *y, EXTRA, float eps) {}
// extern "C" __global__ void commented_out(int n) {}
NAMED(plain, SIZES)
extern "C" __global__ void __launch_bounds__(4 * 32) all(const uint4 *words, unsigned n, double d, bool b, \\
    const __half *h, unsigned long long seed, float *const *table, short s) {}
extern "C" __global__ void by_value(float *x, struct Geometry at) {}
"""


class Array:
    """The parts of cupy.ndarray that a launch uses."""

    def __init__(self, address: int = 0x200, dtype=np.float32) -> None:
        self.data, self.dtype = SimpleNamespace(ptr=address), np.dtype(dtype)
        self.flags = SimpleNamespace(c_contiguous=True)


@pytest.fixture
def launch(monkeypatch):
    """launch(kernel, *arguments) -> the bytes of each argument as the driver would read them"""
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ndarray=Array, cuda=SimpleNamespace()))
    monkeypatch.setattr(launching, "room", launching.Room())
    declared = {s.name: launching.Declared(s) for s in signatures(macros.expanded(TEXT))}

    def launch(kernel, *arguments):
        read = []

        def loaded(grid, block, slots, *, shared_mem):
            read.extend(bytes(slot) for slot in slots)

        assert declared[kernel].on_gpu(arguments)
        launching.Launcher(declared[kernel], loaded)((1,), (32,), arguments)
        return [
            slot[: 8 if p.pointer else p.size]
            for p, slot in zip(declared[kernel].parameters, read, strict=True)
        ]

    return launch


def test_macros_are_replaced_as_a_preprocessor_does():
    text = macros.expanded(TEXT)
    assert "commented_out" not in text and "#" not in text
    found = {s.name: s for s in signatures(text)}
    assert found["plain_scale"].declarations == (
        *("const float *x", "long long x_row", "float *y", "int M", "long long apart", "float eps"),
    )
    assert found["all"].launch_bound == "4 * 32"
    twice = macros.expanded("#define A(x) B(x, 1)\n#define B(x, y) x + y + A\n#define C A(A(2))\nC")
    assert twice.strip() == "2 + 1 + A + 1 + A"


@pytest.mark.parametrize(
    "declaration, text",
    [
        ("const float *__restrict__ x", "const float32 *"),
        ("float *const x", "float32 *"),
        ("unsigned x", "uint32"),
        ("const unsigned long long x", "uint64"),
        ("long x", "int64"),
        ("unsigned char *x", "uint8 *"),
        ("float4 *x", "float32 x 4 *"),
        ("const __nv_bfloat16 *x", "const __nv_bfloat16 *"),
        ("void *x", "struct or void *"),
        ("size_t x", "uint64"),
    ],
)
def test_types_are_read_from_declarations(declaration, text):
    parameter = Parameter.declared(declaration)
    assert (parameter.text, parameter.name) == (text, "x")


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("file", sorted(p.name for p in KERNELS.glob("*/*.cu")))
def test_declarations_are_those_the_compiler_sees(file):
    """Python's macros against g++'s, and the types it read against those of the compiled library."""
    from tinygen.kernels import hostcuda

    path = next(KERNELS.glob(f"*/{file}"))
    read = signatures(macros.expanded(path.read_text(encoding="utf-8"), headers.included(path).values()))
    module = hostcuda.compile(path)
    assert [s.name for s in read] == list(module.kernels)
    for signature in read:
        ours = [Parameter.declared(text) for text in signature.declarations]
        theirs = module.kernels[signature.name].parameters
        what = ("name", "kind", "lanes", "size", "pointer", "is_const")
        assert [[getattr(p, w) for w in what] for p in ours] == [
            [getattr(p, w) for w in what] for p in theirs
        ]


def test_numbers_arrive_in_the_parameters_types(launch):
    """eps=1 and np.float64(1e-6) used to reach a float as other numbers."""
    for eps, M, apart in (
        (1, np.int64(-7), np.int32(5)),
        (np.float64(1e-6), True, 2**40),
        (0.25, np.uint8(200), -(2**63)),
        (np.float16(0.5), np.bool_(True), 3),
        (np.int64(3), 2**31 - 1, np.uint64(9)),
        (float("inf"), -(2**31), 0),
    ):
        slots = launch("plain_scale", Array(0x7FFF12345678), 11, None, M, apart, eps)
        assert slots == [
            np.uint64(0x7FFF12345678).tobytes(),
            np.int64(11).tobytes(),
            bytes(8),  # a null pointer, which cupy 13 makes of no None
            np.int32(M).tobytes(),
            np.int64(apart).tobytes(),
            np.float32(eps).tobytes(),
        ]


def test_every_kind_of_number(launch):
    words, halves, table = Array(16, np.uint32), Array(32, np.float16), Array(48, np.int64)
    slots = launch("all", words, 2**32 - 1, np.float32(0.1), np.bool_(True), halves, 2**64 - 1, table, -2)
    assert slots[:4] == [np.uint64(16).tobytes(), b"\xff" * 4, np.float64(np.float32(0.1)).tobytes(), b"\x01"]
    assert slots[4:] == [
        np.uint64(32).tobytes(),
        b"\xff" * 8,
        np.uint64(48).tobytes(),
        np.int16(-2).tobytes(),
    ]


@pytest.mark.parametrize(
    "at, value, error, words",
    [
        (
            0,
            Array(dtype=np.float64),
            TypeError,
            r"argument 0 \(x\) is an array of float64: expected const float32 \*",
        ),
        (0, 3, TypeError, r"argument 0 \(x\) is a Python int: expected an array for const float32 \*"),
        (0, np.float32(3), TypeError, r"argument 0 \(x\) is float32: expected an array"),
        (1, Array(), TypeError, r"argument 1 \(x_row\) is an array of float32: expected int64"),
        (1, 2.0, TypeError, r"argument 1 \(x_row\) is a Python float: expected int64"),
        (1, None, TypeError, r"argument 1 \(x_row\) is NoneType: expected int64"),
        (3, np.int64(2**31), OverflowError, r"argument 3 \(M\) is 2147483648, which does not fit int32"),
        (3, "4", TypeError, r"argument 3 \(M\) is str: expected int32"),
        (4, 2**63, OverflowError, r"argument 4 \(apart\) is 9223372036854775808, which does not fit int64"),
        (5, 1e39, OverflowError, r"argument 5 \(eps\) is 1e\+39, which does not fit float32"),
        (5, 1j, TypeError, r"argument 5 \(eps\) is complex: expected float32"),
        (5, np.ones(()), TypeError, r"argument 5 \(eps\) is an array of float64: expected float32"),
    ],
)
def test_a_wrong_argument_is_named(launch, at, value, error, words):
    arguments = [Array(), 1, Array(), 2, 3, 0.5]
    launch("plain_scale", *arguments)
    arguments[at] = value
    with pytest.raises(error, match=f"^plain_scale: {words}"):
        launch("plain_scale", *arguments)


def test_the_number_of_arguments_is_checked(launch):
    for count in (0, 5, 7):
        with pytest.raises(
            TypeError, match=f"plain_scale: {count} arguments, expected 6: x, x_row, y, M, apart, eps"
        ):
            launch("plain_scale", *[Array()] * count)
    with pytest.raises(TypeError, match="plain_scale: no array among its arguments"):
        launch("plain_scale", None, 1, None, 1, 1, 1.0)
    with pytest.raises(TypeError, match="plain_scale: numpy and cupy arrays mixed"):
        launch("plain_scale", Array(), 1, np.ones(1, np.float32), 1, 1, 1.0)
    with pytest.raises(TypeError, match="by_value: at is a struct by value"):
        launching.Launcher(launching.Declared(signatures(macros.expanded(TEXT))[-1]), None)


def test_threads_do_not_share_the_slots(launch):
    import threading

    room, seen = launching.room, []
    worker = threading.Thread(target=lambda: seen.append(room.memory))
    worker.start()
    worker.join()
    assert seen[0] is not room.memory


@pytest.mark.usefixtures("host")
def test_numbers_are_cast_for_the_host_too():
    x, y = np.full((2, 3), 2, np.float32), np.zeros((2, 3), np.float32)
    source = CudaSource("activation/activation.cu")
    source.launch("leaky_relu", (1,), (256,), -x, y, np.int32(6), np.float64(0.5))
    np.testing.assert_array_equal(y, np.full((2, 3), -1, np.float32))
    with pytest.raises(TypeError, match=r"leaky_relu: argument 3 \(slope\) is str: expected float32"):
        source.launch("leaky_relu", (1,), (256,), x, y, 6, "0.5")
    with pytest.raises(ValueError, match=r"activation\.cu has no kernel 'leaky': it has sigmoid, "):
        source.launch("leaky", (1,), (256,), x, y, 6, 0.5)


@pytest.mark.usefixtures("host")
def test_numbers_are_cast_on_the_stand_in():
    with gpu.stand_in(launches=True) as cupy:
        x, y = cupy.full((5,), -2, dtype=np.float32), cupy.zeros((5,), dtype=np.float32)
        CudaSource("activation/activation.cu").launch("leaky_relu", (1,), (256,), x, y, 5, np.float64(0.25))
        np.testing.assert_array_equal(y.get(), np.full(5, -0.5, np.float32))


@pytest.mark.parametrize(
    "grid, block, words",
    [
        ((1, 65_536), (32,), r"grid is \(1, 65536\): a GPU takes up to 2147483647 x 65535 x 65535"),
        ((1, 1, 70_000), (32,), "65535"),
        ((2**31,), (32,), r"grid is \(2147483648,\): a GPU takes up to 2147483647"),
        ((1,), (1025,), r"block is \(1025,\): a GPU takes up to 1024 threads, 64 along z"),
        ((1,), (1, 1, 65), "64 along z"),
        ((1,), (33, 32), "1024 threads"),
        ((-1,), (32,), "grid is"),
        ((1, 1, 1, 1), (32,), "grid is"),
    ],
)
def test_what_no_gpu_can_launch(grid, block, words):
    x = np.ones(4, np.float32)
    with pytest.raises(ValueError, match=f"leaky_relu: .*{words}"):
        CudaSource("activation/activation.cu").launch("leaky_relu", grid, block, x, x, 4, 0.5)


# -- TINYGEN_DEBUG_LAUNCHES


class CUDARuntimeError(RuntimeError):
    """cupy_backends.cuda.api.runtime.CUDARuntimeError"""


def test_debugging_names_the_kernel_that_failed(monkeypatch):
    waited = []

    def synchronize():
        waited.append(len(launched))
        if len(waited) > 3:
            raise CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    launched: list = []
    stream = SimpleNamespace(synchronize=synchronize)
    cuda = SimpleNamespace(get_current_stream=lambda: stream)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ndarray=Array, cuda=cuda))
    monkeypatch.setattr("tinygen.kernels.runtime.cuda_device.architecture", lambda: 90)
    source = CudaSource("activation/activation.cu")
    loaded = SimpleNamespace(get_function=lambda name: lambda *given, shared_mem: launched.append(given))
    source._modules[90] = loaded

    def launch():
        source.launch("leaky_relu", (1,), (256,), Array(), Array(), 5, 0.5)

    launch()
    assert (len(launched), waited) == (1, [])  # a launch waits for nothing
    monkeypatch.setattr(launching, "DEBUG", True)
    launch()
    assert (len(launched), waited) == (2, [1, 2])
    turned = Array()
    turned.flags.c_contiguous = False
    with pytest.raises(ValueError, match=r"leaky_relu: argument 1 \(y\) is not contiguous"):
        source.launch("leaky_relu", (1,), (256,), Array(), turned, 5, 0.5)
    with pytest.raises(
        CudaError, match=r"leaky_relu failed \(grid \(1,\), block \(256,\), 0 bytes.*illegal memory"
    ):
        launch()
    with pytest.raises(
        CudaError, match="leaky_relu was not launched: something before it failed: cudaErrorIllegal"
    ):
        launch()
    assert len(launched) == 3


@pytest.mark.parametrize("value, on", [("1", True), ("0", False), ("", False)])
def test_the_switch(value, on):
    import subprocess

    code = "from tinygen.kernels.runtime.sources import launching as l; print(l.DEBUG)"
    environment = {**os.environ, "TINYGEN_DEBUG_LAUNCHES": value}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(on)
