"""Optimisers, learning-rate schedules and averaging under the names of torch.optim."""

from tinygen.optim import lr_scheduler
from tinygen.optim.ema import EMA
from tinygen.optim.optimizers import SGD, Adam, AdamW, Optimizer
