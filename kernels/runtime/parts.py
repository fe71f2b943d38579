"""How many parts the compiled loops split their work into: numba's pool takes a thread for each."""

from __future__ import annotations


def threads_for(work: int, least: int) -> int:
    """As many as numba may use; one for less work than `least`, where sharing it costs more than it saves."""
    if work < least:
        return 1
    from tinygen.kernels.runtime.with_numba import get_num_threads

    return get_num_threads()
