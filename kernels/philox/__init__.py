"""Philox4x32-10: random numbers as a pure function of a counter.

reference.py     what a stream of words is, and which numbers are made from them      read this first
conversions.py   words to uniforms and normals
streams.py       what callers use: the first n numbers from a block on
in_registers.py  the CPU's next rung; loops.py: its compiled loops
cuda.py          the GPU's (philox.cu): a thread makes four numbers
constants.py     shared by all of them
"""

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("in_registers",)
