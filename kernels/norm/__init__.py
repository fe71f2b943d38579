"""Layer, group, instance and batch norm, also followed by SiLU, and their gradients.

reference.py     what they are: normalize, then scale and shift             read this first
shapes.py        how x is cut into slabs, rows and groups, and which rung takes which
slabs.py         batch norm, and any other: moments per channel of an image, joined, then one pass
rows.py          layer norm: a row at a time, while it is in the cache
groups.py        group and instance norm: a group at a time; also with SiLU in the same pass
columns.py       batch norm of vectors: some columns at a time; columns_loops.py: its loops
loops.py         the compiled loops of the other three
numba_cuda.py    the GPU's ladder to read: a thread per row, then a block
cuda.py          the GPU's ladder to run (norm.cu): naive, slabs, block_rows, warp_rows
columns_cuda.py  batch norm of (N, C) on the GPU (columns.cu)
"""

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("slabs", "rows", "groups", "columns")
