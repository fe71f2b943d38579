"""Optimizers, learning-rate schedules and weight averaging, under the names of torch.optim."""

from tinygen.face.calls import absent as _absent
from tinygen.face.calls import public_constructors as _public_constructors
from tinygen.optim import lr_scheduler
from tinygen.optim.ema import EMA
from tinygen.optim.optimizer import Optimizer
from tinygen.optim.update_rules import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop

_public_constructors(globals())
__getattr__ = _absent("tinygen.optim", globals())
