"""One step of an optimizer, in place on its parameters.

reference.py     Adam, SGD, RMSprop, Adagrad and Adadelta as formulas       read this first
one_pass.py      Adam's next rung on a CPU; loops.py: its compiled loop
numba_cuda.py    Adam on a GPU, to read: a thread per element
cuda.py          Adam on a GPU, to run (optimizers.cu): one_pass, multi_tensor
"""

from tinygen.kernels.optimizers import one_pass  # registers variants
