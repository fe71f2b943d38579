"""The case table (`table.py` says how to read it), in files by kind of operation."""

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
