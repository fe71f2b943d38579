"""Elementwise arithmetic: a number of the output comes from one number of each input.

    reference.py     add, multiply, NumPy's functions under their names, and what NumPy lacks     read this first
    layouts.py       how two arrays that broadcast are viewed as rows
    threads.py       the CPU's next rung of add and multiply, for large arrays
    one_pass.py      the same of the gradients of a product
    loops.py, gradient_loops.py    the compiled loops, and the exponential that the loops of other operations call

On a GPU the arrays' own module, cupy, computes all of it.
"""

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("threads", "one_pass")
