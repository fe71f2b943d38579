"""Sums and means that stay accurate over many elements.

accumulation.py   the one rule about dtypes: what a sum is accumulated in
reference.py      what sum and mean mean; running sums and maxima              read this first
accurate_sum.py   how the reference's sum stays accurate on a CPU
mean_rows.py      the mean on all threads; loops.py: compiled loops of both
cuda.py           sums on a GPU (reduce.cu): one thread per output, then two stages
numba_cuda.py     sum and maximum over a block of threads, for other folders' numba kernels
"""

from tinygen.kernels.reduce.accumulation import wide, wide_running, widened
from tinygen.kernels.reduce.reference import cumsum, largest, mean, sum

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("mean_rows",)
