"""Libraries that a dispatch on a GPU reaches: each loads, or a sentence says what to install."""

import sys

import numpy as np
import pytest
from support import gpu

from tinygen import kernels
from tinygen.kernels.runtime import cuda_device, reachable
from tinygen.kernels.runtime.cuda_device import CudaError

NO_CUBLAS = "libcublas.so.13: cannot open shared object file: No such file or directory"


def test_a_missing_library_has_its_sentence(monkeypatch, capsys):
    def missing():
        raise ImportError(NO_CUBLAS)

    libraries = [
        reachable.Library("there", "all", lambda: "1.5"),
        reachable.Library("cuBLAS", "float64", missing),
        reachable.Library("NVRTC", "all", lambda: 1 / 0),
    ]
    monkeypatch.setattr(reachable, "LIBRARIES", libraries[:1])
    assert reachable.main([]) == 0 and capsys.readouterr().out.split() == ["found", "there", "1.5"]
    monkeypatch.setattr(reachable, "LIBRARIES", libraries)
    assert reachable.main([]) == 1
    _, cublas, other = capsys.readouterr().out.splitlines()
    assert cublas.startswith(f"missing  cuBLAS          {NO_CUBLAS}; pip install 'tinygen[cuda13]'")
    assert cublas.endswith("Needed by: float64") and "division by zero; pip install" in other


def test_without_any_of_them_every_line_says_what_to_install(monkeypatch):
    packages = "cupy", "cupyx", "cupy_backends", "cuda", "numba.cuda", "numba_cuda"
    loaded = [name for name in sys.modules if name.startswith(tuple(f"{package}." for package in packages))]
    for name in (*packages, *loaded):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(reachable.nvrtc, "libraries", list)
    reachable.nvrtc.load.cache_clear()
    reachable.numba_cuda.numba_cuda.cache_clear()
    try:
        found = list(reachable.lines())
    finally:
        reachable.nvrtc.load.cache_clear()
        reachable.numba_cuda.numba_cuda.cache_clear()
    assert not any(there for there, _ in found) and len(found) == len(reachable.LIBRARIES)
    assert all("pip install" in line and "Needed by: " in line for _, line in found)


def test_an_operation_that_needs_a_missing_library_says_so(monkeypatch):
    """A float64 product is CuPy's, which loads cuBLAS only then."""
    with gpu.stand_in() as cupy:
        x = cupy.ones((2, 2), dtype=np.float64)

        def matmul(*_, **__):
            raise ImportError(NO_CUBLAS)

        monkeypatch.setattr(type(x), "__matmul__", matmul)
        monkeypatch.setattr(cupy, "matmul", matmul)
        with pytest.raises(
            CudaError, match=r"^matmul: CUDA's library cublas.* is missing: pip install 'tinygen\[cuda13"
        ):
            kernels.matmul(x, x)


def test_other_import_errors_stay_as_they_are(monkeypatch):
    assert cuda_device.told(ImportError("No module named 'numba'")) is None
    assert "cublasLt" in cuda_device.told(
        ImportError('Failure finding "libcublasLt.so.13 or libcublasLt.so.12"')
    )


@pytest.mark.parametrize("module", ["linalg", "fft", "random"])
def test_the_list_is_whole(module):
    """What would reach cuSOLVER, cuFFT or cuRAND is not in the stand-in, on which all tests run."""
    with gpu.stand_in() as cupy:
        assert not hasattr(cupy, module)


def test_what_is_installed_loads():
    pytest.importorskip("cupy")
    assert [line for found, line in reachable.lines() if not found] == []
