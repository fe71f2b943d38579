"""Memory that is freed stays with the process, so that the next training step finds it again.

glibc gives large arrays back to the system as soon as they are freed.  A step then asks for all of its memory anew, and
the system hands it out page by page, each filled with zeros first.
"""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # the numbers of malloc.h
LARGEST_INT = 2**31 - 1
VARIABLES = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"


def keep_freed_memory() -> bool:
    """Tell glibc to give back nothing below 1 GiB an array, or 2 GiB at the heap's end.  -> whether it was told so

    Not where another C library runs, or where one of VARIABLES is set: the user has chosen then.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in VARIABLES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # some versions refuse more than 32 MiB for an array
    mmap = mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)
    return bool(mmap and mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
