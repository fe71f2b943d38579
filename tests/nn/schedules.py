"""Schedules of both libraries on optimizers with two groups, and their rates."""

import numpy as np
import pytest
from optimizers import two_groups

torch = pytest.importorskip("torch")


SCHEDULES = [
    ("StepLR", (7,), {}),
    ("StepLR", (1, 0.9), {}),
    ("MultiStepLR", ([3, 11, 11, 20],), {}),
    ("MultiStepLR", ([20, 5, 1], 1.5), {}),
    ("ConstantLR", (), {}),
    ("ConstantLR", (0.7, 13), {}),
    ("ExponentialLR", (0.9,), {}),
    ("ExponentialLR", (1.05,), {}),
    ("PolynomialLR", (), {}),
    ("PolynomialLR", (22, 2.5), {}),
    ("CosineAnnealingLR", (30,), {}),
    ("CosineAnnealingLR", (8, 0.01), {}),  # past T_max it rises again
    ("CosineAnnealingLR", (1, 0.01), {}),
    ("CosineAnnealingWarmRestarts", (4,), {}),
    ("CosineAnnealingWarmRestarts", (3, 2, 0.001), {}),
    ("LinearLR", (), {}),
    ("LinearLR", (0.01, 0.5), {"total_iters": 12}),
    ("LinearLR", (1.0, 0.0, 6), {}),
    ("LambdaLR", (lambda epoch: 1 / (1 + epoch),), {}),
    ("LambdaLR", ([lambda epoch: 0.9**epoch, lambda epoch: min(1, epoch / 10)],), {}),
    ("MultiplicativeLR", (lambda epoch: 1 - 1 / (2 + epoch),), {}),
]


def pair(*cases):
    """Several schedules on one optimizer, from their cases."""
    return lambda L, o: [getattr(L, name)(o, *args, **options) for name, args, options in cases]


def linear_then(*rest):
    return pair(("LinearLR", (0.1,), {"total_iters": 4}), *rest)


COSINE, EXPONENTIAL, STEP = (
    ("CosineAnnealingLR", (6, 0.001), {}),
    ("ExponentialLR", (0.9,), {}),
    ("StepLR", (5, 0.3), {}),
)

COMBINED = {  # name -> a function of lr_scheduler module and optimizer
    "chained": lambda L, o: L.ChainedScheduler(pair(COSINE, EXPONENTIAL, STEP)(L, o)),
    "chained, the other way": lambda L, o: L.ChainedScheduler(pair(EXPONENTIAL, COSINE)(L, o), optimizer=o),
    "chained, ends at zero": lambda L, o: L.ChainedScheduler(
        pair(("PolynomialLR", (9,), {}), EXPONENTIAL)(L, o)
    ),
    "chained, sets the rate": lambda L, o: L.ChainedScheduler(
        pair(STEP, ("LambdaLR", (lambda e: 1 / (1 + e),), {}), ("ConstantLR", (0.5, 8), {}))(L, o)
    ),
    "sequential": lambda L, o: L.SequentialLR(o, linear_then(COSINE)(L, o), [4]),
    "sequential of three": lambda L, o: L.SequentialLR(
        o, linear_then(("ConstantLR", (0.5, 3), {}), EXPONENTIAL)(L, o), milestones=[5, 12]
    ),
    "sequential, restarts": lambda L, o: L.SequentialLR(
        o, linear_then(("CosineAnnealingWarmRestarts", (3, 2), {}))(L, o), [4]
    ),
    "sequential, a function": lambda L, o: L.SequentialLR(
        o, pair(("LambdaLR", (lambda e: 0.5**e,), {}), ("MultiStepLR", ([2, 9],), {}))(L, o), [6]
    ),
    "sequential, from zero": lambda L, o: L.SequentialLR(o, linear_then(STEP)(L, o), [0]),
    "chained sequential": lambda L, o: L.ChainedScheduler(
        [L.SequentialLR(o, linear_then(COSINE)(L, o), [4]), L.ExponentialLR(o, 0.95)]
    ),
}


def scheduled(T, O, case):
    optimizer = two_groups(T, O)
    if isinstance(case, str):
        return optimizer, COMBINED[case](O.lr_scheduler, optimizer)
    return optimizer, getattr(O.lr_scheduler, case[0])(optimizer, *case[1], **case[2])


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def same_rates(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-16)


torch_warns = pytest.mark.filterwarnings("ignore::UserWarning")
