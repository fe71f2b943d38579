"""How many parts of one size cover another: blocks of a CUDA grid, tiles of a matrix, images of a batch."""

from __future__ import annotations


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up.  (`common.cuh` has it for the .cu files.)"""
    return -(-a // b)
