"""Written by `python -m tinygen.face.stubs`: change the source and run it again."""

from tinygen.optim.lr_scheduler.base import LRScheduler as LRScheduler
from tinygen.optim.lr_scheduler.by_epoch import ConstantLR as ConstantLR
from tinygen.optim.lr_scheduler.by_epoch import CosineAnnealingLR as CosineAnnealingLR
from tinygen.optim.lr_scheduler.by_epoch import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from tinygen.optim.lr_scheduler.by_epoch import ExponentialLR as ExponentialLR
from tinygen.optim.lr_scheduler.by_epoch import LambdaLR as LambdaLR
from tinygen.optim.lr_scheduler.by_epoch import LinearLR as LinearLR
from tinygen.optim.lr_scheduler.by_epoch import MultiplicativeLR as MultiplicativeLR
from tinygen.optim.lr_scheduler.by_epoch import MultiStepLR as MultiStepLR
from tinygen.optim.lr_scheduler.by_epoch import PolynomialLR as PolynomialLR
from tinygen.optim.lr_scheduler.by_epoch import StepLR as StepLR
from tinygen.optim.lr_scheduler.combined import ChainedScheduler as ChainedScheduler
from tinygen.optim.lr_scheduler.combined import SequentialLR as SequentialLR
from tinygen.optim.lr_scheduler.plateau import ReduceLROnPlateau as ReduceLROnPlateau
