"""Softmax and its logarithm along one dimension, and their gradients.

Read `reference` first.  The ladder on a CPU goes on with `rows` (compiled loops in `loops`); on a GPU with
`numba_cuda`, which is there to be read, and `cuda` (kernels in `softmax.cu`): naive, block_rows, warp_rows.
"""

from tinygen.kernels.softmax import rows  # registers the variants
