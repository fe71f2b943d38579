"""Philox4x32-10: random numbers as a pure function of a counter.

Read in this order: `reference` (what a stream of words is, and which numbers are made from them), `conversions`
(words to uniforms and normals), `streams` (what callers use: the first n numbers from a block on).  The ladder on a
CPU goes on with `in_registers` (compiled loops in `loops`), on a GPU with `cuda` (kernels in `philox.cu`).
"""

from tinygen.kernels.philox import in_registers  # registers the variants
