"""Layer, group, instance and batch norm, each also followed by SiLU, and their gradients.

Read `reference` first: `normalize` subtracts the mean and divides by the standard deviation over some dimensions, then
scales and shifts.  `rescale` is what remains once the moments are known.

The ladder on a CPU, each rung with loops from `loops`; `shapes` says which arguments a rung takes:

    slabs    batch norm, and all others: moments per channel of an image, joined; then one pass that scales
    rows     layer norm: a row at a time, while it is in the cache
    groups   group and instance norm: a group at a time, while it is in the cache; also with SiLU in the same pass

On a GPU: `numba_cuda`, which is there to be read, then `cuda` (kernels in `norm.cu`): naive, slabs, block_rows,
warp_rows.
"""

# The order of these imports is the order of the ladder.
# isort: off
from tinygen.kernels.norm import slabs
from tinygen.kernels.norm import rows
from tinygen.kernels.norm import groups
