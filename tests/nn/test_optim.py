"""Steps of the optimizers compared with torch.optim's."""

import math
import warnings

import numpy as np
import pytest
from optimizers import NAMES, OPTIMIZERS, case_id, close, give, gradients, parameters, starts

import tinygen as tg
from tinygen import nn, optim

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 3e-6)])
@pytest.mark.parametrize("case", OPTIMIZERS, ids=case_id)
def test_thirty_steps(case, dtype, tolerance):
    name, options = case
    if options.get("centered") and dtype == "float32":
        tolerance = 2e-5  # the difference of two squares cancels
    ours, theirs = parameters(tg, starts(dtype)), parameters(torch, starts(dtype))
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(30):
        give(tg, ours, gradients(step, dtype)), give(torch, theirs, gradients(step, dtype))
        a.step(), b.step()
        for p, q in zip(ours, theirs):
            close(p, q, tolerance)
    for number, moments in b.state_dict()["state"].items():
        for moment, value in moments.items():
            if moment != "step" and value is not None:
                close(a.state_dict()["state"][number][moment], value, tolerance)


def test_every_public_optimizer_has_a_case():
    kinds = {n for n, k in vars(optim).items() if isinstance(k, type) and not n.startswith("_")}
    assert kinds - {"Optimizer", "EMA"} == set(NAMES)  # without the base class, and the average: test_ema.py


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_pytorchs(name):
    import inspect

    def arguments(kind):
        return [(p.name, p.default, p.kind) for p in inspect.signature(kind).parameters.values()]

    assert arguments(getattr(optim, name)) == arguments(getattr(torch.optim, name))


def test_groups_with_options_of_their_own():
    for name, common, special in (
        ("SGD", dict(lr=0.1), dict(lr=0.01, momentum=0.9, nesterov=True)),
        ("Adam", dict(lr=0.1), dict(betas=(0.5, 0.6), eps=0.1)),
        ("AdamW", dict(lr=0.1), dict(weight_decay=0.0)),
        ("Adam", dict(lr=0.1), dict(amsgrad=True, maximize=True)),
        ("RMSprop", dict(lr=0.1), dict(alpha=0.5, momentum=0.9, centered=True)),
        ("Adagrad", dict(lr=0.1, initial_accumulator_value=0.2), dict(initial_accumulator_value=3.0)),
        ("Adadelta", dict(), dict(rho=0.3)),
    ):
        ours, theirs = parameters(tg, starts()), parameters(torch, starts())
        a = getattr(optim, name)([{"params": ours[:2]}, {"params": ours[2], **special}], **common)
        b = getattr(torch.optim, name)([{"params": theirs[:2]}, {"params": theirs[2], **special}], **common)
        for step in range(12):
            if step == 5:
                a.add_param_group({"params": ours[3:], "lr": 0.3})
                b.add_param_group({"params": theirs[3:], "lr": 0.3})
            if step == 8:
                a.param_groups[0]["lr"] = b.param_groups[0]["lr"] = 0.02
            give(tg, ours, gradients(step)), give(torch, theirs, gradients(step))
            a.step(), b.step()
        assert len(a.param_groups) == 3 and a.param_groups[2]["lr"] == 0.3
        for p, q in zip(ours, theirs):
            close(p, q, 1e-12)


@pytest.mark.parametrize("case", OPTIMIZERS, ids=case_id)
def test_a_parameter_without_gradient_is_left_alone(case):
    """Also if it lacks one in some steps only: its step count is then not increased, as in PyTorch."""
    name, options = case
    ours, theirs = parameters(tg, starts()), parameters(torch, starts())
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(6):
        give(tg, ours, gradients(step)), give(torch, theirs, gradients(step))
        ours[1].grad = theirs[1].grad = None
        if step % 2:
            ours[0].grad = theirs[0].grad = None
        a.step(), b.step()
    assert ours[1].detach().numpy().tobytes() == starts()[1].tobytes()
    for p, q in zip(ours, theirs):
        close(p, q, 1e-12)
    assert (ours[1] in a.state) == (theirs[1] in b.state) == (name == "Adagrad")


def test_frozen_parameters():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    net[0].requires_grad_(False)
    before = {n: t.numpy().copy() for n, t in net.state_dict().items()}
    optimizer = optim.AdamW(net.parameters(), lr=0.1)
    net(tg.randn(5, 3)).sum().backward()
    optimizer.step()
    for name, t in net.state_dict().items():
        assert (t.numpy() == before[name]).all() == name.startswith("0."), name


def test_zero_grad():
    (p,) = params = parameters(tg, [np.ones(3)])
    optimizer = optim.SGD(params, lr=1.0)
    optimizer.zero_grad(), optimizer.zero_grad(set_to_none=False)
    assert p.grad is None
    held = p.grad = tg.tensor([math.inf, math.nan, 1.0], dtype=tg.float64)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0, 0] and held.tolist() == [0, 0, 0]
    optimizer.zero_grad()
    assert p.grad is None


def test_closure():
    (p,) = params = parameters(tg, [np.array([3.0])])
    optimizer = optim.SGD(params, lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        assert optimizer.step(closure).item() == 9
    assert p.item() == 1.5 and optimizer.step() is None


def test_a_network_trained_by_both():
    def train(T, N, O, weights):
        net = N.Sequential(N.Linear(4, 16), N.Tanh(), N.Linear(16, 1)).double()
        net.load_state_dict({k: T.tensor(v) for k, v in weights.items()})
        optimizer = O.Adam(net.parameters(), lr=0.01)
        schedule = O.lr_scheduler.StepLR(optimizer, 10, 0.5)
        x = T.tensor(np.random.default_rng(5).normal(size=(32, 4)))
        for _ in range(30):
            loss = ((net(x) - x.sum(1, keepdim=True)) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return net

    weights = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    weights = {k: v.double().numpy() for k, v in weights.state_dict().items()}
    ours = train(tg, nn, optim, weights)
    theirs = train(torch, torch.nn, torch.optim, weights)
    for p, q in zip(ours.parameters(), theirs.parameters()):
        close(p, q, 1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [2, 20])  # 20 x 20: the compiled Adam
def test_a_step_between_forward_and_backward_is_an_error(name, size):
    net = nn.Linear(size, size)
    optimizer = getattr(optim, name)(net.parameters(), lr=0.1)
    net(tg.randn(3, size)).sum().backward()
    x = tg.randn(3, size, requires_grad=True)
    y = net(x).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"backward of .*changed in place"):
        y.backward()
    assert x.grad is None


@pytest.mark.parametrize("size", [3, 300])
@pytest.mark.parametrize("make", [getattr(optim, name) for name in NAMES])
def test_an_overflow_is_no_warning_whatever_the_size(make, size):
    p = nn.Parameter(tg.full((size,), 3e38))
    p.grad = tg.full((size,), -3e38)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make([p], lr=10.0).step()
