"""Matrix products.

reference.py     what matmul means: NumPy's or cupy's                       read this first
linear_layer.py  what a linear layer and its gradients mean, in products and sums
for_blas.py      products that BLAS does slowly, inaccurately or not at all, cut so that it does them well
panels.py        our own product where it takes less time than BLAS (products.json: what was measured);
                 panels_loops.py, panels_tile_loops.py: its compiled loops
readable.py      the CPU's ladder to read: naive, tiled; loops.py: their compiled loops
numba_cuda.py    the GPU's ladder to read: one thread per output, then tiles in shared memory
cuda.py          the GPU's ladder to run (matmul.cu): naive, tiled, register_tiled, vectorized
tile_loops.py    products of blocks inside other compiled loops (winograd, attention), sums in registers
"""

from tinygen.kernels.matmul.linear_layer import linear, linear_grad
from tinygen.kernels.matmul.reference import matmul

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("for_blas", "blocks", "panels", "readable")
