"""Operations on all arrays of a list in one call: a network's parameters or their gradients.

reference.py     the norm of all elements, clipping it, the moving average      read this first
one_pass.py      the next rung on a CPU; loops.py: its compiled loops
cuda.py          the same on a GPU (lists.cu): one launch for all arrays, which it finds in a table of addresses
"""

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("one_pass",)
