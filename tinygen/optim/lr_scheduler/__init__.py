"""Learning-rate schedules: names, numbers and state as in torch.optim.lr_scheduler."""

from tinygen.optim.lr_scheduler.base import LRScheduler
from tinygen.optim.lr_scheduler.by_epoch import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from tinygen.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from tinygen.optim.lr_scheduler.plateau import ReduceLROnPlateau
