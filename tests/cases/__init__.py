"""The case table (`table.py` says how to read it), a file for each file of `tinygen/ops`."""

from cases import (
    activation,
    attention,
    compare,
    conv,
    creation,
    cumulative,
    diagonal,
    einsum,
    elementwise,
    gather,
    index,
    inplace,
    layers,
    loss,
    matmul,
    norm,
    pad,
    pool,
    reduce,
    shape,
    sort,
    tensor,
)
from cases.table import CASES
