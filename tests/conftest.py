"""Set up before NumPy is loaded: one thread per worker, the data folder.  Then: what may be skipped."""

import os
import sys
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = os.environ.get("TINYGEN_TEST_THREADS", "1")  # pytest-xdist starts one worker per core

_shared = Path(__file__).resolve().parents[2] / "shared" / "data"
if _shared.is_dir():
    os.environ.setdefault("TINYGEN_DATA", str(_shared))

import pytest  # noqa: E402

# tests of one folder may import helpers of another
sys.path += [str(room) for room in sorted(Path(__file__).resolve().parent.iterdir()) if room.is_dir()]


def pytest_configure(config):
    """TINYGEN_REQUIRE_TORCH=1 turns "parity skipped, torch is missing" into an error."""
    if os.environ.get("TINYGEN_REQUIRE_TORCH") != "1":
        return
    try:
        import torch
    except ImportError as error:
        raise pytest.UsageError(
            f"TINYGEN_REQUIRE_TORCH=1, but the parity tests would be skipped: {error}"
        ) from error
    del torch


def _has_gpu() -> bool:
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # cupy has an error type each for no cupy, no driver, no device
        return False


@pytest.fixture(autouse=True)
def numpy_stays_as_it_was():
    """Settings of NumPy that tinygen changes, such as warnings, must be restored."""
    import numpy

    before = numpy.geterr()
    yield
    assert numpy.geterr() == before


def pytest_collection_modifyitems(items):
    """Skip tests marked `gpu` without a GPU; make RuntimeWarnings (0/0, overflow) errors."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and not _has_gpu():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no GPU: no CUDA device, or no cupy"))
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("error::RuntimeWarning"))
