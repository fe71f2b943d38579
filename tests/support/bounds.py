"""Run a test file again, in a process that checks every index in compiled loops."""

import os
import subprocess
import sys

import pytest


def pass_with_bounds_checked(file: str, tmp_path, *options: str) -> None:
    """numba code silently reads and writes out of bounds; compiled with NUMBA_BOUNDSCHECK=1 it raises an error.

    On two threads, so that the loops run in parallel.
    """
    if "NUMBA_BOUNDSCHECK" in os.environ:
        pytest.skip("this is that run")
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "TINYGEN_TEST_THREADS": "2"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        file,
        *options,
    ]
    run = subprocess.run(command, env=os.environ | checked, capture_output=True, text=True)
    assert run.returncode == 0 and " passed" in run.stdout, run.stdout[-3000:] + run.stderr[-1000:]
