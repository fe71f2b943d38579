"""Compiled loops on several threads: each takes its part of the work, without the interpreter's lock."""

from __future__ import annotations

import threading


def threads_for(work: int, least: int) -> int:
    """As many as numba may use; one for less work than `least`, where starting another costs more than it saves."""
    if work < least:
        return 1
    import numba

    return numba.get_num_threads()


def in_parts(loop, parts: int, *args) -> None:
    """Call `loop(*args, part, parts)` for every part at once, each on a thread of its own."""
    threads = [threading.Thread(target=loop, args=(*args, part, parts)) for part in range(1, parts)]
    for thread in threads:
        thread.start()
    loop(*args, 0, parts)
    for thread in threads:
        thread.join()
