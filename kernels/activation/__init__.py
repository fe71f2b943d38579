"""Activation functions and their gradients in one pass over memory, where array operations make four to ten.

    reference.py     what each function is                                      read this first
    one_pass.py      the CPU's next rung: one compiled loop each; loops.py: the loops
    cuda.py          the GPU's (activation.cu): one launch each

Both rungs read every array once and write one.
"""

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("one_pass",)
