"""Keep freed memory in the process, so that the next training step can reuse it.

glibc returns large arrays to the system as soon as they are freed.  Every step would then ask for all of its memory
again, and the system would hand it out page by page, each page filled with zeros first.
"""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # the numbers of malloc.h
LARGEST_INT = 2**31 - 1
VARIABLES = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"


def keep_freed_memory() -> bool:
    """Make glibc keep arrays below 1 GiB and up to 2 GiB at the end of the heap.  -> whether it agreed

    Does nothing with another C library, or if one of VARIABLES is set: then the user has decided.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in VARIABLES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # some versions of glibc refuse a threshold above 32 MiB
    mmap = mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)
    return bool(mmap and mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
