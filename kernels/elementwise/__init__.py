"""Elementwise arithmetic: one number of the output from one number of each input.

Read `reference` first: NumPy's functions under their names, the few that NumPy lacks, and the kernels `add` and
`multiply`.  `threads` is the second variant of those two, for large arrays on a CPU; `loops` holds its compiled loops
and the exponential that the loops of other operations call.  On a GPU the arrays' own module computes all of it.
"""

from tinygen.kernels.elementwise import threads  # registers the variants
