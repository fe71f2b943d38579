"""What the ported programs take from torchvision and torch.utils.data, over tinygen's datasets and pictures.

The same code serves both libraries, so that both see the same batches; run.py says which one.  Images stay PIL or
NumPy until the loader stacks a batch: a program that indexes a dataset itself would see arrays.
"""

library = None  # tinygen or torch
options = {"data": "mnist", "items": None, "seed": 0}
