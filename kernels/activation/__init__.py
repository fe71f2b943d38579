"""Activation functions and their gradients in one pass over memory, where array operations would make four to ten.

Read `reference` first: what each function is.  The next variant on a CPU is `one_pass`, with its compiled loops in
`loops`; on a GPU it is `cuda`, with its kernels in `activation.cu`.  Both read every array once and write one array.
"""

from tinygen.kernels.activation import one_pass  # registers the variants
