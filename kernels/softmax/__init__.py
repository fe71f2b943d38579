"""Softmax and its logarithm along one dimension, and their gradients.

reference.py     what they are                                              read this first
rows.py          the CPU's next rung: row by row; loops.py: its compiled loops
numba_cuda.py    the GPU's ladder to read: a thread per row, then a block
cuda.py          the GPU's ladder to run (softmax.cu): naive, block_rows, warp_rows
"""

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("rows",)
