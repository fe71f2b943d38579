"""One step of an optimizer, in place on its parameters.

Read `reference` first: Adam, SGD, RMSprop, Adagrad and Adadelta as formulas.  Only Adam has faster variants: on a CPU
`one_pass` (its compiled loop in `loops`), on a GPU `numba_cuda`, which is there to be read, and `cuda` (kernels in
`optimizers.cu`): one_pass, multi_tensor.
"""

from tinygen.kernels.optimizers import one_pass  # registers the variants
