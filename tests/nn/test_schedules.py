"""Learning-rate schedules compared with torch.optim.lr_scheduler's: rates, state, combinations, rejected arguments."""

import copy
import json

import numpy as np
import pytest
from optimizers import parameters, two_groups
from schedules import (
    COMBINED,
    COSINE,
    EXPONENTIAL,
    SCHEDULES,
    STEP,
    pair,
    rates,
    same_rates,
    scheduled,
    torch_warns,
)

import tinygen as tg
from tinygen import optim
from tinygen.optim import lr_scheduler
from tinygen.run import checkpoint

torch = pytest.importorskip("torch")


schedule_id = lambda case: case if isinstance(case, str) else f"{case[0]}{len(case[1])}"
ALL_SCHEDULES = pytest.mark.parametrize("case", [*SCHEDULES, *COMBINED], ids=schedule_id)


def test_every_public_schedule_has_a_case():
    kinds = {
        n
        for n, k in vars(lr_scheduler).items()
        if isinstance(k, type) and issubclass(k, lr_scheduler.LRScheduler)
    }
    elsewhere = {
        "LRScheduler",
        "ChainedScheduler",
        "SequentialLR",
        "ReduceLROnPlateau",
    }  # COMBINED; test_plateau.py
    assert kinds - elsewhere == {case[0] for case in SCHEDULES}


@pytest.mark.parametrize("name", sorted({case[0] for case in SCHEDULES} | {"ReduceLROnPlateau"}))
def test_arguments_of_a_schedule_are_pytorchs(name):
    import inspect

    def arguments(kind):
        return [(p.name, p.default, p.kind) for p in inspect.signature(kind).parameters.values()]

    assert arguments(getattr(lr_scheduler, name)) == arguments(getattr(torch.optim.lr_scheduler, name))


@torch_warns
@ALL_SCHEDULES
def test_schedule(case):
    (a, ours), (b, theirs) = scheduled(tg, optim, case), scheduled(torch, torch.optim, case)
    distinct = set()
    for _ in range(31):
        same_rates(ours.get_last_lr(), theirs.get_last_lr())
        assert rates(a) == ours.get_last_lr()
        if "chained" not in case:
            assert ours.last_epoch == theirs.last_epoch
        distinct.add(tuple(ours.get_last_lr()))
        ours.step(), b.step(), theirs.step()
    assert len(distinct) > 1
    if not isinstance(case, str):
        assert ours.base_lrs == theirs.base_lrs == [0.5, 0.03]


@torch_warns
def test_schedules_on_one_optimizer_multiply_and_keep_what_is_set_by_hand():
    def made(T, O):
        optimizer = two_groups(T, O)
        return optimizer, pair(COSINE, STEP, ("ConstantLR", (0.5, 7), {}), EXPONENTIAL)(
            O.lr_scheduler, optimizer
        )

    (a, ours), (b, theirs) = made(tg, optim), made(torch, torch.optim)
    for epoch in range(30):
        same_rates(rates(a), rates(b))
        if epoch == 10:
            a.param_groups[1]["lr"] = b.param_groups[1]["lr"] = 0.2
        b.step()
        for x, y in zip(ours, theirs):
            x.step(), y.step()
            same_rates(x.get_last_lr(), y.get_last_lr())
    assert rates(a)[1] > 1e-9


@torch_warns
def test_a_group_added_later_is_scheduled_too():
    (a, ours), (b, theirs) = scheduled(tg, optim, EXPONENTIAL), scheduled(torch, torch.optim, EXPONENTIAL)
    for epoch in range(5):
        if epoch == 2:
            for T, o in ((tg, a), (torch, b)):
                o.add_param_group({"params": parameters(T, [np.ones(1)]), "lr": 0.7})
        ours.step(), b.step(), theirs.step()
        same_rates(rates(a), rates(b))
    assert len(rates(a)) == 3


@torch_warns
@ALL_SCHEDULES
def test_a_schedule_resumes(case):
    """From its state and the optimizer's; PyTorch resumes from tinygen's state, and tinygen from PyTorch's."""
    optimizer, whole = scheduled(tg, optim, case)
    for _ in range(11):
        whole.step()
    arrays, rest = checkpoint.flatten([optimizer.state_dict(), whole.state_dict()])
    state_of_optimizer, state = checkpoint.unflatten(arrays, json.loads(json.dumps(rest)))
    fresh, resumed = scheduled(tg, optim, case)
    fresh.load_state_dict(state_of_optimizer), resumed.load_state_dict(state)
    b, theirs = scheduled(torch, torch.optim, case)
    b.load_state_dict(copy.deepcopy(state_of_optimizer)), theirs.load_state_dict(copy.deepcopy(state))
    c, back = scheduled(tg, optim, case)
    c.load_state_dict(copy.deepcopy(b.state_dict())), back.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for _ in range(15):
        assert whole.get_last_lr() == resumed.get_last_lr() == rates(fresh) == back.get_last_lr()
        same_rates(rates(fresh), rates(b))
        whole.step(), resumed.step(), back.step(), b.step(), theirs.step()


def held(optimizer, initial):
    """An optimizer whose groups have their own initial rates, and the current rates of another one."""
    made = two_groups(tg, optim)
    for group, first, other in zip(made.param_groups, initial, optimizer.param_groups):
        group.update(initial_lr=first, lr=other["lr"])
    return made


def sequential(inner):
    """Three schedules in sequence, the last with restarts; `inner` is their last_epoch when resumed."""

    def made(o, last_epoch=-1):
        given = {"last_epoch": -1 if last_epoch < 0 else inner}
        parts = [
            lr_scheduler.ConstantLR(o, 0.1, 3, **given),
            lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.8, **given),
            lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2, **given),
        ]
        return lr_scheduler.SequentialLR(o, parts, [3, 7], last_epoch=last_epoch)

    return made


AGAIN = {
    schedule_id(case): lambda o, last_epoch=-1, case=case: getattr(lr_scheduler, case[0])(
        o, *case[1], **case[2], last_epoch=last_epoch
    )
    for case in SCHEDULES
} | {"sequential": sequential(-1), "sequential, all made again": sequential(2)}


@pytest.mark.parametrize("make", AGAIN.values(), ids=AGAIN)
@pytest.mark.parametrize("last_epoch", [0, 2, 6, 10])
def test_a_schedule_created_with_last_epoch_continues(make, last_epoch):
    """With the same bits, whether the optimizer holds the rates of that epoch, of the next, or the initial ones."""
    optimizer = two_groups(tg, optim)
    first = held(optimizer, [0.5, 0.03])
    whole, holding = make(optimizer), [first]
    for epoch in range(last_epoch + 1):
        if epoch == last_epoch:
            holding.append(held(optimizer, [0.5, 0.03]))
        whole.step()
    holding.append(held(optimizer, [0.5, 0.03]))
    again = [make(o, last_epoch=last_epoch) for o in holding]
    for _ in range(10):
        for schedule, o in zip(again, holding):
            assert whole.get_last_lr() == schedule.get_last_lr() == rates(o)
            assert whole.last_epoch == schedule.last_epoch
            schedule.step()
        whole.step()


def test_schedules_resumed_on_one_optimizer_multiply():
    def made(o, **at):
        parts = [
            lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch), **at),
            lr_scheduler.StepLR(o, 2, 0.3, **at),
        ]
        return lr_scheduler.ChainedScheduler([*parts, lr_scheduler.CosineAnnealingLR(o, 6, 0.001, **at)])

    optimizer = two_groups(tg, optim)
    whole = made(optimizer)
    for _ in range(5):
        whole.step()
    for o in (held(two_groups(tg, optim), [0.5, 0.03]), held(optimizer, [0.5, 0.03])):
        again = made(o, last_epoch=4)
        assert rates(o) == rates(optimizer)
        made(o, last_epoch=4)  # also if an earlier one no longer exists
        del again
    lr_scheduler.StepLR(o, 2, 0.3, last_epoch=4)
    same_rates(rates(o), [0.5 * 0.3**2, 0.03 * 0.3**2])


def test_the_options_are_in_the_state():
    _, schedule = scheduled(tg, optim, ("StepLR", (4, 0.5), {}))
    _, other = scheduled(tg, optim, ("StepLR", (7,), {}))
    other.load_state_dict(schedule.state_dict())
    assert (other.step_size, other.gamma) == (4, 0.5)

    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, epoch):
            return self.rate**epoch

    one, two = (lr_scheduler.LambdaLR(two_groups(tg, optim), Decay(rate)) for rate in (0.5, 0.1))
    two.load_state_dict(one.state_dict())
    assert one.state_dict()["lr_lambdas"] == [{"rate": 0.5}] * 2 and two.lr_lambdas[0].rate == 0.5


@torch_warns
def test_restarts_at_any_epoch():
    (a, ours), (b, theirs) = (
        scheduled(T, O, ("CosineAnnealingWarmRestarts", (4, 3, 0.01), {}))
        for T, O in ((tg, optim), (torch, torch.optim))
    )
    b.step()
    for epoch in (0.5, 3.9, 4, 4.25, 15.9, 16.0, 40, 2, None, None, 15, None, None):
        ours.step(epoch), theirs.step(epoch)
        same_rates(rates(a), rates(b))
        assert ours.last_epoch == theirs.last_epoch and ours.T_i == theirs.T_i
    with pytest.raises(ValueError, match="found epoch -1"):
        ours.step(-1)


def test_what_schedules_refuse():
    optimizer, other = two_groups(tg, optim), two_groups(tg, optim)
    step, exponential = lr_scheduler.StepLR(optimizer, 3), lr_scheduler.ExponentialLR(other, 0.9)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    both = lr_scheduler.ChainedScheduler([step])
    for wrong in (
        lambda: lr_scheduler.LambdaLR(optimizer, [lambda e: 1]),
        lambda: lr_scheduler.LinearLR(optimizer, 0.0),
        lambda: lr_scheduler.LinearLR(optimizer, 1.5),
        lambda: lr_scheduler.LinearLR(optimizer, 0.5, total_iters=0),
        lambda: lr_scheduler.ConstantLR(optimizer, 1.5),
        lambda: lr_scheduler.StepLR(optimizer, 0),
        lambda: lr_scheduler.CosineAnnealingLR(optimizer, 0),
        lambda: lr_scheduler.PolynomialLR(optimizer, -1),
        lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 0),
        lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2.5),
        lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 0),
        lambda: lr_scheduler.ReduceLROnPlateau(optimizer, "least"),
        lambda: lr_scheduler.ReduceLROnPlateau(optimizer, threshold_mode="relative"),
        lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=1.0),
        lambda: lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=[0.1]),
        lambda: lr_scheduler.ChainedScheduler([]),
        lambda: lr_scheduler.ChainedScheduler([step, exponential]),
        lambda: lr_scheduler.ChainedScheduler([plateau]),
        lambda: lr_scheduler.SequentialLR(optimizer, [step, plateau], [3]),
        lambda: lr_scheduler.SequentialLR(optimizer, [step], [3]),
        lambda: lr_scheduler.SequentialLR(optimizer, [step, both], [3]),
        lambda: lr_scheduler.SequentialLR(other, [step], []),
    ):
        with pytest.raises(ValueError, match="found"):
            wrong()
    for wrong in (
        lambda: lr_scheduler.StepLR([1.0], 3),
        lambda: lr_scheduler.ReduceLROnPlateau(None),
        lambda: lr_scheduler.ChainedScheduler([step, 3]),
        lambda: lr_scheduler.SequentialLR(optimizer, [3], []),
    ):
        with pytest.raises(TypeError, match=r"found a .*, expected"):
            wrong()
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.StepLR(two_groups(tg, optim), 3, last_epoch=4)
    for schedule, args in ((step, (3,)), (plateau, (0.5, 3))):
        with pytest.raises(NotImplementedError, match=r"step\("):
            schedule.step(*args)
    with pytest.raises(NotImplementedError, match=r"define scale\(epoch\) or get_lr"):
        lr_scheduler.LRScheduler(optimizer)
    with pytest.raises(ValueError, match="found 1 base_lrs, expected 2"):
        step.load_state_dict({"last_epoch": 4, "base_lrs": [1.0]})
    with pytest.raises(ValueError, match="load_state_dict of StepLR: found T_max, eta_min, expected"):
        step.load_state_dict(lr_scheduler.CosineAnnealingLR(optimizer, 3).state_dict())
    with pytest.raises(ValueError, match="found 1 schedules, expected 2"):
        lr_scheduler.ChainedScheduler([step, step]).load_state_dict(both.state_dict())
    assert step.last_epoch == 0
    schedule = lr_scheduler.LambdaLR(optimizer, lambda epoch: 1)
    optimizer.add_param_group({"params": parameters(tg, [np.ones(1)])})
    with pytest.raises(ValueError, match="found 3 parameter groups, expected 2"):
        schedule.step()
    with pytest.raises(RuntimeError, match="found 3 parameter groups, expected 2 as min_lr"):
        limited = lr_scheduler.ReduceLROnPlateau(other, patience=0, min_lr=[0.1, 0.1])
        other.add_param_group({"params": parameters(tg, [np.ones(1)])})
        limited.step(1.0), limited.step(2.0)


def test_a_schedule_of_ones_own():
    class Sqrt(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [base / (1 + self.last_epoch) ** 0.5 for base in self.base_lrs]

    optimizer = two_groups(tg, optim)
    schedule = Sqrt(optimizer)
    for _ in range(3):
        schedule.step()
    assert schedule.get_last_lr() == rates(optimizer) == [0.25, 0.015]
