"""Adding to indexed places: the transpose of picking.

reference.py   put and add_at for any index, and the kernel add_rows for rows of a matrix    read this first
in_order.py    rows added one after another, without sorting; loops.py: its compiled loop
segments.py    sums by doubling distances, in cupy
cuda.py        the GPU's ladder to run (scatter.cu): naive, chunks
"""

from tinygen.kernels.scatter.reference import add_at, put

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("in_order", "segments")
