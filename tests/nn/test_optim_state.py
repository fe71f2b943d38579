"""State of the optimizers, exchanged with PyTorch, and the arguments that they reject."""

import copy
import json
import math

import numpy as np
import pytest
from optimizers import (
    NAMES,
    OPTIMIZERS,
    SHAPES,
    case_id,
    close,
    give,
    gradients,
    parameters,
    same,
    starts,
    two_groups,
)

import tinygen as tg
from tinygen import nn, optim
from tinygen.run import checkpoint

torch = pytest.importorskip("torch")


def test_state_dict_has_pytorchs_layout():
    for name, options in OPTIMIZERS:
        ours, theirs = parameters(tg, starts()), parameters(torch, starts())
        a = getattr(optim, name)([{"params": ours[:2]}, {"params": ours[2:], "lr": 0.5}], **options)
        b = getattr(torch.optim, name)([{"params": theirs[:2]}, {"params": theirs[2:], "lr": 0.5}], **options)
        give(tg, ours, gradients(0)), give(torch, theirs, gradients(0))
        ours[1].grad = theirs[1].grad = None
        a.step(), b.step()
        x, y = a.state_dict(), b.state_dict()
        assert list(x) == list(y) and list(x["state"]) == list(y["state"])
        for number in x["state"]:
            assert set(x["state"][number]) == set(y["state"][number])
        for g, h in zip(x["param_groups"], y["param_groups"]):
            assert g["params"] == h["params"]
            assert g == h


@pytest.mark.parametrize("case", OPTIMIZERS, ids=case_id)
@pytest.mark.parametrize("way", ["copy", "checkpoint", "torch"])
def test_a_run_that_is_interrupted_continues_the_same(case, way, tmp_path):
    name, options = case

    def steps(params, optimizer, first, last):
        for step in range(first, last):
            give(tg, params, gradients(step))
            optimizer.step()

    whole, first_half = parameters(tg, starts()), parameters(tg, starts())
    steps(whole, getattr(optim, name)(whole, **options), 0, 10)
    before = getattr(optim, name)(first_half, **options)
    if way == "torch":  # the first half under PyTorch
        theirs = parameters(torch, starts())
        before = getattr(torch.optim, name)(theirs, **options)
        for step in range(5):
            give(torch, theirs, gradients(step))
            before.step()
        second_half = parameters(tg, [p.detach().numpy() for p in theirs])
        state = before.state_dict()
    else:
        steps(first_half, before, 0, 5)
        second_half = parameters(tg, [p.detach().numpy() for p in first_half])
        state = copy.deepcopy(before.state_dict())
    if way == "checkpoint":
        arrays, rest = checkpoint.flatten(state)
        checkpoint.write(tmp_path / "c", arrays, json.loads(json.dumps(rest)))
        arrays, rest = checkpoint.read(tmp_path / "c")
        state = checkpoint.unflatten(arrays, rest)
    after = getattr(optim, name)(second_half, lr=123.0)  # the options come from the state
    after.load_state_dict(state)
    steps(second_half, after, 5, 10)
    if way == "torch":
        for p, q in zip(second_half, whole):
            close(p, q, 1e-12)
    else:
        same(second_half, whole)


@pytest.mark.parametrize("case", OPTIMIZERS, ids=case_id)
def test_pytorch_continues_from_our_state(case):
    name, options = case
    whole, half = parameters(tg, starts()), parameters(tg, starts())
    for params, steps in ((whole, 10), (half, 5)):
        optimizer = getattr(optim, name)([{"params": params[:2]}, {"params": params[2:]}], **options)
        for step in range(steps):
            give(tg, params, gradients(step))
            optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    for moments in state["state"].values():
        moments.update({k: torch.tensor(v.numpy()) for k, v in moments.items() if k != "step"})
    theirs = parameters(torch, [p.detach().numpy() for p in half])
    after = getattr(torch.optim, name)([{"params": theirs[:2]}, {"params": theirs[2:]}], lr=123.0)
    after.load_state_dict(state)
    for step in range(5, 10):
        give(torch, theirs, gradients(step))
        after.step()
    for p, q in zip(whole, theirs):
        close(p, q, 1e-12)


def test_a_state_of_adam_makes_no_adam_of_adamw():
    ours, theirs = parameters(tg, starts()), parameters(torch, starts())
    a, b = optim.AdamW(ours), torch.optim.AdamW(theirs)
    a.load_state_dict(optim.Adam(ours, weight_decay=0.5).state_dict())
    b.load_state_dict(torch.optim.Adam(theirs, weight_decay=0.5).state_dict())
    give(tg, ours, gradients(0)), give(torch, theirs, gradients(0))
    a.step(), b.step()
    for p, q in zip(ours, theirs):
        close(p, q, 1e-12)


def test_names_of_parameters_and_repr():
    def made(T, N, O):
        net = N.Sequential(N.Linear(2, 3), N.Linear(3, 1))
        named = list(net.named_parameters())
        return O.Adam([{"params": named[:1], "lr": 0.5}, {"params": named[1:]}], lr=0.1, amsgrad=True)

    ours, theirs = made(tg, nn, optim), made(torch, torch.nn, torch.optim)
    assert repr(ours) == repr(theirs) and "param_names: ['0.bias', '1.weight', '1.bias']" in repr(ours)
    assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]
    assert repr(two_groups(tg, optim)) == repr(two_groups(torch, torch.optim))


def test_a_loaded_state_shares_no_memory():
    params = parameters(tg, starts())
    a = optim.Adam(params)
    give(tg, params, gradients(0))
    a.step()
    b = optim.Adam(params)
    b.load_state_dict(a.state_dict())
    before = [m["exp_avg"].numpy().copy() for m in a.state_dict()["state"].values()]
    b.step()
    after = [m["exp_avg"].numpy() for m in a.state_dict()["state"].values()]
    np.testing.assert_array_equal(
        np.concatenate([x.ravel() for x in before]), np.concatenate([x.ravel() for x in after])
    )
    assert a.state[params[0]]["step"] == 1 and b.state[params[0]]["step"] == 2


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing():
    params = parameters(tg, starts())
    a = optim.Adam([{"params": params[:2]}, {"params": params[2:]}], lr=0.7)
    give(tg, params, gradients(0))
    a.step()

    def other(name, shapes, split=2, **options):
        ps = parameters(tg, [np.ones(s) for s in shapes])
        o = getattr(optim, name)([{"params": ps[:split]}, {"params": ps[split:]}], **options)
        give(tg, ps, [np.ones(s) for s in shapes])
        o.step()
        return o.state_dict()

    before = copy.deepcopy(a.state_dict())
    for state, match in (
        (other("Adam", SHAPES, 1), r"found groups of \[1, 3\] parameters, expected \[2, 2\]"),
        (other("Adam", SHAPES[:3]), r"\[2, 1\] parameters, expected \[2, 2\]"),
        (other("Adam", [*SHAPES[:3], (13, 33)]), r"exp_avg: found \(13, 33\), expected \(33, 13\)"),
        (other("SGD", SHAPES, momentum=0.9), "load_state_dict of Adam: found momentum_buffer of parameter 0"),
    ):
        with pytest.raises(ValueError, match=match):
            a.load_state_dict(state)
        for number, moments in a.state_dict()["state"].items():
            for name, value in moments.items():
                np.testing.assert_array_equal(np.asarray(value), np.asarray(before["state"][number][name]))
        assert a.state_dict()["param_groups"] == before["param_groups"]
    with pytest.raises(ValueError, match="load_state_dict of SGD: found exp_avg, exp_avg_sq, step"):
        optim.SGD([{"params": params[:2]}, {"params": params[2:]}]).load_state_dict(a.state_dict())


# rejected arguments


def test_wrong_arguments():
    (p,) = parameters(tg, [np.ones((2, 2))])
    for wrong in (
        lambda: optim.SGD([], lr=0.1),
        lambda: optim.SGD([p], lr=-0.1),
        lambda: optim.SGD([p], lr=math.nan),
        lambda: optim.SGD([p], momentum=-1),
        lambda: optim.SGD([p], nesterov=True),
        lambda: optim.SGD([p], momentum=0.9, dampening=0.1, nesterov=True),
        lambda: optim.Adam([p], betas=(0.9, 1.0)),
        lambda: optim.Adam([p], eps=-1e-8),
        lambda: optim.AdamW([p], weight_decay=-1),
        lambda: optim.Adam([p * 2]),
        lambda: optim.Adam([{"params": [p]}, {"params": [p]}]),
        lambda: optim.Adam([p, p]),
        lambda: optim.Adam([("p", p), parameters(tg, [np.ones(1)])[0]]),
        lambda: optim.Adam([{"params": [p], "weigth_decay": 0.1}]),
        lambda: optim.Adam([{"params": [p], "betas": (0.9, 1.0)}]),
        lambda: optim.SGD([{"params": [p], "momentum": -1.0}], lr=0.1),
        lambda: optim.RMSprop([p], alpha=-0.1),
        lambda: optim.Adagrad([p], lr_decay=-1),
        lambda: optim.Adagrad([p], initial_accumulator_value=-1),
        lambda: optim.Adadelta([p], rho=1.5),
        lambda: optim.Adadelta([p], eps=-1),
    ):
        with pytest.raises(ValueError, match=r"^(SGD|Adam|AdamW|RMSprop|Adagrad|Adadelta): "):
            wrong()
    for wrong in (
        lambda: optim.Adam(p),
        lambda: optim.Adam([np.ones(2)]),
        lambda: optim.Adam({"params": [p]}),
        lambda: optim.Adam({p}),
        lambda: optim.Adam([{"params": {p}}]),
        lambda: optim.Adam([{"params": [p]}, p]),
    ):
        with pytest.raises(TypeError, match="Adam: found a "):
            wrong()
    for name in NAMES:
        for way in ("foreach", "fused", "capturable", "differentiable"):
            if way in getattr(optim, name)([p]).defaults:
                getattr(optim, name)([p], **{way: False})
                for refused in (dict(params=[p], **{way: True}), dict(params=[{"params": [p], way: True}])):
                    with pytest.raises(NotImplementedError, match=rf"^{name}: {way}=True .*leave it out"):
                        getattr(optim, name)(**refused)
    with pytest.raises(NotImplementedError, match=r"SGD: lr as a Tensor.*item"):
        optim.SGD([p], lr=tg.tensor(0.1))


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_of_another_shape_is_refused(name):
    (p,) = parameters(tg, [np.ones((20, 20))])
    p.grad = tg.ones(1, dtype=tg.float64)
    with pytest.raises(ValueError, match=r"\(1,\).*\(20, 20\)"):
        getattr(optim, name)([p], lr=0.1).step()
    assert (p.detach().numpy() == 1).all()
