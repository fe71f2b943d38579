"""Optimisers, learning-rate schedules and averaging under the names of torch.optim."""

from tinygen.calls import absent as _absent
from tinygen.optim import lr_scheduler
from tinygen.optim.ema import EMA
from tinygen.optim.optimizers import SGD, Adam, AdamW, Optimizer

__getattr__ = _absent("tinygen.optim", globals())
