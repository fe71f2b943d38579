"""The case table (`table.py` says how to read it), a file for each file of `tinygen/ops`."""

from cases import (
    activation,
    compare,
    conv,
    creation,
    elementwise,
    index,
    loss,
    matmul,
    norm,
    pool,
    reduce,
    shape,
)
from cases.table import CASES
