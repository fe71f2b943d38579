"""Written by `python -m tinygen.face.stubs`: change the source and run it again."""

from tinygen.optim import lr_scheduler as lr_scheduler
from tinygen.optim.ema import EMA as EMA
from tinygen.optim.optimizer import Optimizer as Optimizer
from tinygen.optim.optimizers import SGD as SGD
from tinygen.optim.optimizers import Adadelta as Adadelta
from tinygen.optim.optimizers import Adagrad as Adagrad
from tinygen.optim.optimizers import Adam as Adam
from tinygen.optim.optimizers import AdamW as AdamW
from tinygen.optim.optimizers import RMSprop as RMSprop
