"""ReduceLROnPlateau compared with PyTorch's."""

import json
import math

import numpy as np
import pytest
from optimizers import two_groups
from schedules import rates, same_rates, scheduled, torch_warns

import tinygen as tg
from tinygen import optim
from tinygen.optim import lr_scheduler

torch = pytest.importorskip("torch")


PLATEAUS = [
    dict(patience=2),
    dict(patience=0, factor=0.5, cooldown=2),
    dict(patience=1, threshold=0.3, mode="max"),
    dict(patience=1, threshold=0.3, mode="max", threshold_mode="abs", factor=0.9),
    dict(patience=1, threshold=0.3, threshold_mode="abs", min_lr=[0.1, 0.02]),
    dict(patience=0, min_lr=0.02, eps=0.005, factor=0.7),
]


@torch_warns
@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_reduce_on_plateau(options):
    case = ("ReduceLROnPlateau", (), options)
    (a, ours), (_, theirs) = scheduled(tg, optim, case), scheduled(torch, torch.optim, case)
    rng, distinct = np.random.default_rng(3), set()
    for epoch in range(40):
        metric = math.nan if epoch == 9 else 3 / (1 + epoch // 6) + rng.normal() * 0.1
        (
            ours.step(tg.tensor(metric) if epoch % 2 else metric),
            theirs.step(torch.tensor(metric) if epoch % 2 else metric),
        )
        same_rates(ours.get_last_lr(), theirs.get_last_lr())
        assert rates(a) == ours.get_last_lr() and ours.last_epoch == theirs.last_epoch
        distinct.add(tuple(rates(a)))
        if epoch == 20:  # resume
            states = json.loads(json.dumps(ours.state_dict())), a.state_dict()
            a, ours = scheduled(tg, optim, ("ReduceLROnPlateau", (), {**options, "patience": 50}))
            ours.load_state_dict(states[0]), a.load_state_dict(states[1])
    assert len(distinct) > 1


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("shift", [-5.0, -0.01, 0.0, 3.0])
def test_a_metric_improves_by_the_threshold_whatever_its_sign(mode, threshold_mode, shift):
    """Relative to |best|: for a negative best, PyTorch gives the threshold the wrong sign."""
    best = [shift, shift + 1, shift - 2][mode == "max"]
    least = 0.01 * (abs(best) if threshold_mode == "rel" else 1)
    towards = 1 if mode == "max" else -1
    for by, better in ((0.99, False), (1.01, True), (-0.5, False)):
        schedule = lr_scheduler.ReduceLROnPlateau(
            two_groups(tg, optim), mode, threshold=0.01, threshold_mode=threshold_mode
        )
        schedule.step(best), schedule.step(best + towards * by * least)
        assert (schedule.num_bad_epochs == 0) == (better and least > 0)
    if best == 0 and threshold_mode == "rel":
        schedule.step(towards * 1e-9)
        assert schedule.num_bad_epochs == 0


def test_a_first_metric_improves_whatever_the_threshold():
    for mode in ("min", "max"):
        schedule = lr_scheduler.ReduceLROnPlateau(two_groups(tg, optim), mode, threshold=1.0)
        schedule.step(-3.0)
        assert schedule.best == -3 and schedule.num_bad_epochs == 0
