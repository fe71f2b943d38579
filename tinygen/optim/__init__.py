"""Optimizers, learning-rate schedules and weight averaging, under the names of torch.optim."""

from tinygen.optim import lr_scheduler
from tinygen.optim.ema import EMA
from tinygen.optim.optimizer import Optimizer
from tinygen.optim.update_rules import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop
