"""Losses in one pass over logits, picking classes, and log-likelihoods.

reference.py   what they mean                                                           read this first
one_pass.py    binary cross-entropy in one compiled pass; one_pass_loops.py: its loops
rows.py        cross-entropy row by row, or class by class for many places; rows_loops.py: its loops
one_log.py     the Bernoulli log-likelihood with one logarithm per row; one_log_loops.py: its loop
cuda.py        the GPU's ladder to run (losses.cu): one_pass, warp_rows
"""

from tinygen.kernels.losses.reference import (
    bce_with_logits,
    bce_with_logits_grad,
    bernoulli_log_likelihood,
    cross_entropy,
    cross_entropy_grad,
    pick_class,
    pick_class_grad,
)

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("one_log", "one_pass", "rows")
