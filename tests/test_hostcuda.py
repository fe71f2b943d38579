"""kernels/hostcuda: CUDA C++ files run on the CPU, and the mistakes it reports by kernel, block and thread."""

import shutil
import textwrap

import numpy as np
import pytest

from tinygen.kernels import hostcuda

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: .cu files cannot be compiled")

ORDERS = ("forward", "reverse", "random")


@pytest.fixture
def compiled(tmp_path):
    """compiled(text, ...) -> the module of a source given as text"""

    def compile(text, **options):
        path = tmp_path / "kernel.cu"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return hostcuda.compile(path, **options)

    return compile


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One cache for the tests of this process, and not the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "hostcuda-cache"))


@pytest.mark.parametrize("order", ORDERS)
def test_a_barrier_and_shared_memory(compiled, order):
    module = compiled(
        """
        extern "C" __global__ void reversed(const float *x, float *y, int n) {
            __shared__ float s[64];
            int t = threadIdx.x;
            s[t] = x[blockIdx.x * 64 + t];
            __syncthreads();
            y[blockIdx.x * 64 + t] = s[63 - t];
        }
        """
    )
    x = np.arange(192, dtype=np.float32)
    y = np.zeros_like(x)
    module.launch("reversed", (3,), (64,), (x, y, 192), order=order)
    np.testing.assert_array_equal(y, x.reshape(3, 64)[:, ::-1].ravel())


def test_a_barrier_that_a_part_never_reaches_is_a_deadlock(compiled):
    module = compiled(
        """
        extern "C" __global__ void half(float *y) {
            if (threadIdx.x < 16) __syncthreads();
            else __syncwarp();
            y[threadIdx.x] = 1.f;
        }
        """
    )
    with pytest.raises(hostcuda.KernelError) as error:
        module.launch("half", (1,), (32,), (np.zeros(32, np.float32),))
    assert error.value.kind == "deadlock" and error.value.kernel == "half" and error.value.thread == (0, 0, 0)
