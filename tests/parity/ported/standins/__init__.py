"""Replacements for what the ported programs use of torchvision and torch.utils.data, based on tinygen's datasets.

Both libraries use the same code, so that they see the same batches; run.py sets which library it is.  Images remain PIL
or NumPy until the loader stacks a batch: a program that indexes a dataset itself sees arrays.
"""

library = None  # tinygen or torch
options = {"data": "mnist", "items": None, "seed": 0}
