"""Written by `python -m tinygen.face.stubs`: change the source and run it again."""

from tinygen.optim import lr_scheduler as lr_scheduler
from tinygen.optim.ema import EMA as EMA
from tinygen.optim.optimizer import Optimizer as Optimizer
from tinygen.optim.update_rules import SGD as SGD
from tinygen.optim.update_rules import Adadelta as Adadelta
from tinygen.optim.update_rules import Adagrad as Adagrad
from tinygen.optim.update_rules import Adam as Adam
from tinygen.optim.update_rules import AdamW as AdamW
from tinygen.optim.update_rules import RMSprop as RMSprop
