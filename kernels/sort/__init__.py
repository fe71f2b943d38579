"""Orders: sorting, the largest elements, drawing by weight, what is not zero.

reference.py   all of it, in NumPy or cupy
"""

from tinygen.kernels.sort.reference import argsort, multinomial, nonzero, topk
