"""No cupy, no driver, an old driver, an old GPU, no memory: each gives one sentence with what to install or change."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from tinygen.kernels.runtime import cuda_device
from tinygen.kernels.runtime.cuda_device import CudaError
from tinygen.kernels.runtime.cuda_source import CudaSource
from tinygen.kernels.runtime.sources import nvrtc


class CUDARuntimeError(RuntimeError):
    """cupy_backends.cuda.api.runtime.CUDARuntimeError"""


class CUDADriverError(RuntimeError):
    """cupy_backends.cuda.api.driver.CUDADriverError"""


class OutOfMemoryError(MemoryError):
    """cupy.cuda.memory.OutOfMemoryError"""


class Array:
    """The parts of cupy.ndarray that a launch uses."""

    def __init__(self, address: int = 0x7F00_0000_0200, dtype=np.float32) -> None:
        self.data, self.dtype = SimpleNamespace(ptr=address), np.dtype(dtype)


class RawModule:
    """Stands in for cupy.RawModule: loads a cubin and gives kernels that record how they were launched."""

    launches: ClassVar[list] = []

    def __init__(self, *, path: str) -> None:
        with open(path, "rb") as file:
            assert file.read(4) == b"\x7fELF"
        self.path = path

    def get_function(self, name: str):
        return Function(name)


class Function:
    def __init__(self, name: str) -> None:
        self.name, self.max_dynamic_shared_size_bytes = name, 48 << 10

    def __call__(self, grid, block, arguments, *, shared_mem=0) -> None:
        if shared_mem == 1:
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
        if shared_mem == 2:
            raise CUDADriverError(
                "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch"
            )
        slots = [bytes(a) for a in arguments]  # the driver copies them
        RawModule.launches.append(
            (self.name, grid, block, slots, shared_mem, self.max_dynamic_shared_size_bytes)
        )


# a, b, out, M, N, K, a_batch, a_row, a_col, b_batch, b_row, b_col, first
PRODUCT = (Array(), Array(), Array(), 4, 5, 6, 0, 6, 1, 0, 5, 1, 0)


def raises(error):
    def function(*_):
        raise error

    return function


@pytest.fixture
def gpu(monkeypatch):
    """A stand-in for cupy with one H100; a test breaks the part that it is about."""
    runtime = SimpleNamespace(
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        memGetInfo=lambda: (1 << 30, 80 << 30),
    )
    cuda = SimpleNamespace(runtime=runtime, Device=lambda number: SimpleNamespace(compute_capability="90"))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda, ndarray=Array, RawModule=RawModule))
    RawModule.launches.clear()
    forget()
    yield cuda
    forget()


def forget() -> None:
    cuda_device.driver.cache_clear()
    cuda_device._architecture.cache_clear()


def test_a_card_that_is_there(gpu):
    assert cuda_device.architecture() == 90 and cuda_device.driver() == 13


def test_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    forget()
    with pytest.raises(CudaError, match=r"CuPy.*pip install 'tinygen\[cuda13\]'"):
        cuda_device.architecture()


def test_a_cupy_that_cannot_be_imported(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text(
        "raise ImportError('libcudart.so.13: cannot open shared object file')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    forget()
    with pytest.raises(CudaError, match=r"CuPy is installed but cannot be imported: libcudart\.so\.13"):
        cuda_device.architecture()


CUPY = """
import os  # as cupy 14.2 does in cupy/cuda/_compiler_cache.py
os.makedirs(os.environ.get("CUPY_CACHE_DIR", os.path.expanduser("~/.cupy/kernel_cache")), exist_ok=True)
"""
USE_IT = """
from tinygen.kernels.runtime import cuda_device
cuda_device.cupy()
import os; print(os.environ.get("CUPY_CACHE_DIR"))
"""


@pytest.mark.parametrize("chosen", [False, True], ids=["its default", "CUPY_CACHE_DIR"])
@pytest.mark.parametrize("cache", ["ours", "none"])
def test_a_cache_folder_that_cupy_cannot_write_to(tmp_path, chosen, cache):
    """A file in place of the folder stops root as well.  Then CuPy's code goes to our folder, or to a temporary one."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "cupy.py").write_text(CUPY)
    variables = {"XDG_CACHE_HOME": str(tmp_path / ("cache" if cache == "ours" else "file"))}
    variables |= {"CUPY_CACHE_DIR": str(tmp_path / "file")} if chosen else {"HOME": str(tmp_path / "file")}
    kept = {name: value for name, value in os.environ.items() if name != "CUPY_CACHE_DIR"}
    environment = {**kept, **variables, "PYTHONPATH": str(tmp_path / "module")}
    done = subprocess.run(
        [sys.executable, "-c", USE_IT], env=environment, capture_output=True, text=True, check=True
    )
    if cache == "ours":
        assert done.stdout.strip() == str(tmp_path / "cache" / "tinygen" / "cupy") and not done.stderr
    else:
        assert "tinygen-" in done.stdout and "compiled code cannot be kept" in done.stderr


def test_a_cache_folder_of_cupys_that_works_stays(tmp_path):
    (tmp_path / "cupy.py").write_text(CUPY)
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    environment.pop("CUPY_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", USE_IT], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None" and (tmp_path / ".cupy" / "kernel_cache").is_dir()


def test_no_driver(gpu):
    gpu.runtime.driverGetVersion = lambda: 0
    with pytest.raises(
        CudaError,
        match=r"^no NVIDIA driver found that CuPy can use: install one \(580 or newer .*or use the CPU$",
    ):
        cuda_device.architecture()


@pytest.mark.parametrize("call", ["driverGetVersion", "getDeviceCount"])
def test_a_driver_that_cupy_refuses(gpu, call):
    error = CUDARuntimeError(
        "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
    )
    setattr(gpu.runtime, call, raises(error))
    with pytest.raises(
        CudaError, match=r"no NVIDIA driver found that CuPy can use: install one \(580 or newer"
    ):
        cuda_device.architecture()


@pytest.mark.parametrize("version, name", [(12040, "12.4"), (11080, "11.8")])
def test_an_old_driver(gpu, version, name):
    gpu.runtime.driverGetVersion = lambda: version
    update = f"driver is for CUDA {name}, older than this CuPy's 13.0: update it .580 or newer for CUDA 13"
    with pytest.raises(CudaError, match=update) as found:
        cuda_device.architecture()
    assert ("pip install 'tinygen[cuda12]'" in str(found.value)) == (name == "12.4")  # there is no [cuda11]


@pytest.mark.parametrize(
    "count", [lambda: 0, raises(CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device"))]
)
def test_a_driver_without_a_card(gpu, count):
    gpu.runtime.getDeviceCount = count
    with pytest.raises(CudaError, match="there is a driver but no GPU: check CUDA_VISIBLE_DEVICES"):
        cuda_device.architecture()


def test_an_old_card(gpu):
    gpu.Device = lambda number: SimpleNamespace(compute_capability="75")
    with pytest.raises(CudaError, match=r"compute capability 7.5, tinygen's kernels need 8.0 .*or the CPU"):
        cuda_device.architecture()


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("Out of memory allocating 8,589,934,592 bytes"),
        CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"),
        CUDARuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ],
)
def test_out_of_memory(gpu, error):
    with pytest.raises(
        CudaError, match=r"out of GPU memory \(1.0 of 80.0 GiB free\): take a smaller --batch"
    ):
        with cuda_device.errors_told():
            raise error


def test_other_errors_stay_as_they_are(gpu):
    with pytest.raises(KeyError), cuda_device.errors_told():
        raise KeyError("x")


def test_no_nvrtc(gpu, monkeypatch):
    monkeypatch.setattr(nvrtc, "libraries", list)
    nvrtc.load.cache_clear()
    with pytest.raises(
        nvrtc.NvrtcMissing, match=r"NVRTC, which compiles CUDA C.*pip install nvidia-cuda-nvrtc"
    ):
        CudaSource("matmul/matmul.cu").launch("matmul_naive", (1,), (32,), *PRODUCT)
    nvrtc.load.cache_clear()


def test_an_nvrtc_newer_than_the_driver(monkeypatch):
    monkeypatch.setattr(nvrtc, "libraries", lambda: ["libnvrtc.so.13"])
    monkeypatch.setattr(nvrtc, "Nvrtc", lambda path: SimpleNamespace(version=(13, 5)))
    nvrtc.load.cache_clear()
    with pytest.raises(
        nvrtc.NvrtcMissing, match=r"NVRTC 13.5 makes code for CUDA 13 drivers, this driver is for CUDA 12"
    ):
        nvrtc.load(12)
    assert nvrtc.load(13).version == (13, 5)
    nvrtc.load.cache_clear()


def test_the_newest_nvrtc_that_the_driver_takes(monkeypatch):
    monkeypatch.setattr(nvrtc, "libraries", lambda: ["broken", 13, 12])

    def load(path):
        if path == "broken":
            raise OSError("not a library")
        return SimpleNamespace(version=(path, 0))

    monkeypatch.setattr(nvrtc, "Nvrtc", load)
    nvrtc.load.cache_clear()
    assert [nvrtc.load(newest).version[0] for newest in (None, 13, 12)] == [13, 13, 12]
    nvrtc.load.cache_clear()


def knows(*architectures) -> nvrtc.Nvrtc:
    """An NVRTC 12.4 that compiles for these architectures."""
    compiler = object.__new__(nvrtc.Nvrtc)
    compiler.version, compiler.architectures = (12, 4), lambda: list(architectures)
    return compiler


def test_a_card_newer_than_nvrtc():
    compiler = knows(50, 75, 80, 86, 89, 90)
    cards = {80: 80, 86: 86, 87: 86, 89: 89, 90: 90}
    assert {card: compiler.target(card) for card in cards} == cards
    newer = r"capability 12\.0, and NVRTC 12\.4 compiles for 5\.0 to 9\.0: update it \(pip install --upgrade "
    with pytest.raises(CudaError, match=newer):
        compiler.target(120)
    with pytest.raises(CudaError, match=r"capability 8\.0, and NVRTC"):
        knows(75, 86, 90).target(80)


def test_the_code_for_a_card_newer_than_nvrtc(gpu, monkeypatch):
    """A card of capability 9.9 gets the code for 9.0."""
    gpu.Device = lambda number: SimpleNamespace(compute_capability="99")
    asked, compiler = [], knows(80, 90)
    monkeypatch.setattr(nvrtc, "load", lambda newest: compiler)
    monkeypatch.setattr(CudaSource, "cubin_path", lambda self, arch, by: asked.append((arch, by)))
    source = CudaSource("matmul/matmul.cu")
    monkeypatch.setattr(sys.modules["cupy"], "RawModule", lambda path: SimpleNamespace(get_function=Function))
    source.launch("matmul_naive", (1,), (32,), *PRODUCT)
    assert asked == [(90, compiler)] and RawModule.launches[0][0] == "matmul_naive"


def needs_nvrtc() -> None:
    try:
        nvrtc.load()
    except nvrtc.NvrtcMissing:
        pytest.skip("NVRTC is not installed")


def test_a_launch_on_the_gpu(gpu):
    needs_nvrtc()
    source = CudaSource("matmul/matmul.cu")
    source.launch("matmul_naive", (2, 3), (32,), *PRODUCT)
    source.launch("matmul_naive", (2, 0), (32,), *PRODUCT)  # nothing to do
    source.launch("matmul_tiled", (1,), (32, 32), *PRODUCT, shared=100_000)
    first, second = RawModule.launches
    assert first[:3] == ("matmul_naive", (2, 3), (32,)) and first[4:] == (0, 48 << 10)
    assert second[:3] == ("matmul_tiled", (1,), (32, 32)) and second[4:] == (100_000, 100_000)
    with pytest.raises(CudaError, match="out of GPU memory"):
        source.launch("matmul_naive", (1,), (32,), *PRODUCT, shared=1)
    refused = (
        r"matmul_naive cannot be launched \(grid \(1,\), block \(32,\), 2 bytes shared\): CUDA_ERROR_LAUNCH"
    )
    with pytest.raises(CudaError, match=refused):
        source.launch("matmul_naive", (1,), (32,), *PRODUCT, shared=2)
