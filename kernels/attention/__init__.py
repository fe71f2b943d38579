"""Scaled dot-product attention and its gradients.

reference.py     what they mean, with all scores in memory                      read this first
tiled.py         blocks of scores that stay in cache, with a running maximum and sum; tiled_loops.py: its loops
numba_cuda.py    the GPU's ladder to read: one thread per query, then tiles in shared memory
cuda.py          the GPU's ladder to run (attention.cu): naive, tiled
"""

from tinygen.kernels.attention.reference import attention, attention_grad

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("tiled",)
