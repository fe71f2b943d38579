"""Pooling, and upsampling by repetition.

    reference.py   what they mean, with one vectorized pass per pixel of the window        read this first
    windows.py     max pooling, one window after another, on all threads; windows_loops.py: its compiled loops
    rows.py        upsampling, row by row, on all threads; rows_loops.py: its compiled loops

On a GPU the references run, in cupy.
"""

from tinygen.kernels.pool.reference import (
    max_pool2d,
    max_pool2d_grad,
    nearest2d,
    nearest2d_grad,
    pick_pixels,
    sum_pool2d,
    sum_pool2d_grad,
)

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("rows", "windows")
