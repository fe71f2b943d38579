"""Freed memory stays in the process: the next step asks the system for no pages."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, numpy as np
from tinygen.kernels.runtime import allocation
for i in range(12):
    if i == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    a = [np.ones(size, np.float32) for size in (1 << 18, 1 << 21, 1 << 22)]
    del a
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, allocation.keep_freed_memory())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.parametrize("chosen", [{}, {"MALLOC_TRIM_THRESHOLD_": "0"}], ids=["ours", "the-user's"])
def test_freed_memory_is_found_again_unless_the_user_chose(chosen):
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env=plain | chosen, capture_output=True, text=True, check=True
    )
    faults, told = done.stdout.split()
    assert told == str(not chosen)
    assert (int(faults) < 1000) == (not chosen)  # 10 turns of 26 MiB are 66,000 pages of 4 KiB
