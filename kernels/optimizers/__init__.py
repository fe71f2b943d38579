"""One step of an optimizer, in place on its parameters.

reference.py     Adam, SGD, RMSprop, Adagrad and Adadelta as formulas       read this first
one_pass.py      Adam's next rung on a CPU; loops.py: its compiled loop
numba_cuda.py    Adam on a GPU, to read: a thread per element
cuda.py          Adam on a GPU, to run (optimizers.cu): one_pass, multi_tensor
"""

# the files that register CPU variants, in the order of the ladder: the last usable variant runs
VARIANTS = ("one_pass",)
