"""Learning-rate schedules: names, numbers and state as in torch.optim.lr_scheduler."""

from tinygen.face.calls import absent as _absent
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

__getattr__ = _absent("tinygen.optim.lr_scheduler", globals())
