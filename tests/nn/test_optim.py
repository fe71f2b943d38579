"""Optimizers and weight averaging compared with torch.optim's, and the arguments they reject."""

import copy
import json
import math
import warnings

import numpy as np
import pytest
from support.bounds import pass_with_bounds_checked

import tinygen as tg
from tinygen import kernels, nn, optim
from tinygen.optim import EMA
from tinygen.run import checkpoint

torch = pytest.importorskip("torch")
SHAPES = [(5, 7), (3,), (), (33, 13)]  # the last one is large enough for the compiled Adam

OPTIMIZERS = [
    ("SGD", dict(lr=0.1)),
    ("SGD", dict(lr=0.1, momentum=0.9)),
    ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.3)),
    ("SGD", dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.1)),
    ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.2)),
    ("Adam", dict()),
    ("Adam", dict(lr=0.05, betas=(0.5, 0.9), eps=1e-3)),
    ("Adam", dict(lr=0.05, weight_decay=0.3)),
    ("Adam", dict(lr=0.05, betas=(0.0, 0.99))),
    ("AdamW", dict(lr=0.05)),
    ("AdamW", dict(lr=0.05, weight_decay=0.3, betas=(0.8, 0.95))),
    ("SGD", dict(lr=0.1, momentum=0.9, weight_decay=0.1, maximize=True)),
    ("Adam", dict(lr=0.05, amsgrad=True)),
    ("Adam", dict(lr=0.05, amsgrad=True, weight_decay=0.1, maximize=True, decoupled_weight_decay=True)),
    ("AdamW", dict(lr=0.05, amsgrad=True, maximize=True)),
    ("RMSprop", dict()),
    ("RMSprop", dict(lr=0.05, alpha=0.5, eps=1e-3, weight_decay=0.1)),
    ("RMSprop", dict(lr=0.05, momentum=0.9, maximize=True)),
    ("RMSprop", dict(lr=0.05, centered=True)),
    ("RMSprop", dict(lr=0.05, momentum=0.5, centered=True, weight_decay=0.2, alpha=0.9)),
    ("Adagrad", dict()),
    ("Adagrad", dict(lr=0.1, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3)),
    ("Adagrad", dict(lr=0.1, maximize=True)),
    ("Adadelta", dict()),
    ("Adadelta", dict(lr=0.5, rho=0.5, eps=1e-3, weight_decay=0.1, maximize=True)),
]
NAMES = sorted({name for name, _ in OPTIMIZERS})
case_id = lambda case: f"{case[0]}{case[1]}"


def starts(dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in SHAPES]


def gradients(step, dtype="float64"):
    return starts(dtype, 100 + step)


def parameters(T, arrays):
    return [T.tensor(a).requires_grad_() for a in arrays]


def give(T, params, arrays):
    for p, a in zip(params, arrays):
        p.grad = T.tensor(a)


def close(ours, theirs, tolerance):
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def same(params, others):
    for p, q in zip(params, others):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def two_groups(T, O):
    params = parameters(T, [np.ones(2), np.ones(3)])
    return O.SGD([{"params": params[:1], "lr": 0.5}, {"params": params[1:]}], lr=0.03)


# the steps


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
    assert kinds - {"Optimizer", "EMA"} == set(
        NAMES
    )  # the base class, and the average, which has its own tests


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


# the kernels


SIZES = {
    "one": [(1,)],
    "nothing": [(0,), (3, 0)],
    "small": [(3,), (5, 7), ()],
    "many": [(17,), (0, 4), (256,), (), (13, 11), (1,), (257,)],
    "threads": [(1001, 1039), (3,), (10_007,), (2, 3)],  # above the size at which the kernels use threads
}


def adam_steps(sizes, dtype, variant, decoupled=True, threads=1, own=lambda a: a.copy()):
    """Five steps of parameters with different step counts, from the same start.  -> p, m, v of each"""
    import numba

    rng = np.random.default_rng(0)
    p, m, v = ([own(np.asarray(rng.normal(size=s) * scale, dtype)) for s in sizes] for scale in (1, 0.1, 0.3))
    v = [own(np.asarray(np.abs(a))) for a in v]
    numba.set_num_threads(threads)
    with kernels.use(adam=variant):
        for step in range(1, 6):
            g = [np.asarray(rng.normal(size=s) * 10.0**-step, dtype) for s in sizes]
            kernels.adam(
                p, g, m, v, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1, decoupled=decoupled,
                step=[step + i % 2 for i in range(len(sizes))],
            )  # fmt: skip
    assert {a.dtype for a in (*p, *m, *v)} == {np.dtype(dtype)}
    return [*p, *m, *v]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_compiled_and_reference_agree(sizes, dtype, decoupled):
    import numba

    tolerance = dict(rtol=2e-6, atol=1e-7) if dtype == "float32" else dict(rtol=1e-11, atol=1e-14)
    expected = adam_steps(sizes, dtype, "reference", decoupled)
    found = adam_steps(sizes, dtype, "one_pass", decoupled)
    for a, b in zip(expected, found):
        np.testing.assert_allclose(a, b, **tolerance)
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        for a, b in zip(found, adam_steps(sizes, dtype, "one_pass", decoupled, threads)):
            assert a.tobytes() == b.tobytes()  # the result does not depend on the thread


def test_the_compiled_adam_takes_some_and_leaves_others_to_the_reference():
    """Parameters that are strided, unaligned or of other dtypes, among others: each is updated as if it were alone."""

    def unaligned(a):
        bytes = np.zeros(a.nbytes + 1, np.uint8)
        bytes[1:].view(a.dtype)[:] = a.ravel()
        return bytes[1:].view(a.dtype).reshape(a.shape)

    for own in np.asfortranarray, unaligned, lambda a: np.repeat(a, 2, -1)[..., ::2] if a.ndim else a.copy():
        expected = adam_steps(SIZES["many"], "float64", "reference")
        for a, b in zip(expected, adam_steps(SIZES["many"], "float64", "one_pass", own=own)):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14)
    p = [np.ones(300, dtype) for dtype in ("float32", "float16", "float64", "float32")]
    rate = dict(lr=0.5, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0, decoupled=False, step=[1, 1, 1, 7])
    kernels.adam(p, [a * 1 for a in p], [a * 0 for a in p], [a * 0 for a in p], **rate)
    np.testing.assert_allclose([float(a[7]) for a in p[:3]], 0.5, rtol=1e-3)
    assert len({*map(float, p[3])}) == 1 and p[3][0] != p[0][0]


def test_adam_within_the_bounds_of_its_arrays(tmp_path):
    pass_with_bounds_checked(__file__, tmp_path, "-k", "adam_compiled")


def test_what_the_compiled_adam_cannot_take_goes_to_the_reference(monkeypatch):
    chosen = []

    def spied(name, function, usable):
        return name, lambda *args, **options: (chosen.append(name), function(*args, **options)), usable

    monkeypatch.setitem(kernels.adam.ladder, "cpu", [spied(*rung) for rung in kernels.adam.ladder["cpu"]])
    rng = np.random.default_rng(0)
    a, g = rng.normal(size=(40, 50)), rng.normal(size=(50, 40)).T
    for array, gradient, variant in (
        (a.copy(), g.copy("C"), "one_pass"),
        (a.copy(), g, "reference"),
        (a.copy("F"), g.copy("C"), "reference"),
        (a.copy("F"), g, "reference"),
        (np.repeat(a, 2, axis=1)[:, ::2], g.copy("C"), "reference"),
        (a[:2, :3].copy(), g[:2, :3].copy("C"), "reference"),
        (a[:, 0].copy(), np.broadcast_to(g[0, 0], 40), "reference"),
    ):
        p = tg.from_numpy(array).requires_grad_()
        p.grad = tg.from_numpy(gradient)
        expected = array - 0.1 * gradient / (np.abs(gradient) + 1e-8)  # the first step of Adam
        optim.Adam([p], lr=0.1).step()
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
        assert chosen.pop() == variant and not chosen
    p = tg.tensor(a.astype(np.float16)).requires_grad_()
    p.grad = tg.ones(*a.shape, dtype=tg.float16)
    optim.Adam([p], lr=0.1, eps=1e-3).step()
    assert chosen == ["reference"] and p.dtype == np.float16
    np.testing.assert_allclose(p.detach().numpy(), a - 0.1, atol=5e-3)


# state


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


# averages


def small_net():
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).double()


def snapshot(net):
    return {n: t.numpy().copy() for n, t in net.state_dict().items()}


def same_arrays(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]))


def wander(net, ema, steps=25):
    for step in range(steps):
        rng = np.random.default_rng(step)
        with tg.no_grad():
            for p in net.parameters():
                p.add_(tg.tensor(rng.normal(size=p.shape)))
        net(tg.tensor(rng.normal(size=(4, 2))))  # changes the running statistics
        ema.update()
        yield


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("decay", [0.5, 0.9999])
def test_ema_is_the_hand_written_average(warmup, decay):
    net = small_net()
    ema = EMA(net, decay, warmup)
    by_hand = {n: p.detach().numpy().copy() for n, p in net.named_parameters()}
    for n, _ in enumerate(wander(net, ema), start=1):
        d = min(decay, (1 + n) / (10 + n)) if warmup else decay
        for name, p in net.named_parameters():
            by_hand[name] = d * by_hand[name] + (1 - d) * p.detach().numpy()
            np.testing.assert_allclose(ema.average[name].numpy(), by_hand[name], rtol=1e-12, atol=1e-12)
    assert ema.updates == n == 25


def test_ema_applied_restores_even_after_an_error_and_leaves_buffers_alone():
    net = small_net()
    ema = EMA(net, 0.9)
    list(wander(net, ema))
    before, buffers = snapshot(net), {n: b.numpy().copy() for n, b in net.named_buffers()}
    weight = net[0].weight
    with pytest.raises(KeyError, match="stop"), ema.applied() as inside:
        assert inside is net and net[0].weight is weight
        same_arrays({n: p.detach().numpy() for n, p in net.named_parameters()}, ema.average)
        same_arrays({n: b.numpy() for n, b in net.named_buffers()}, buffers)
        assert (net[0].weight.detach().numpy() != before["0.weight"]).any()
        with tg.no_grad():
            net[0].weight.fill_(5)  # training inside the block is undone, and does not reach the average
        raise KeyError("stop")
    same_arrays(snapshot(net), before)
    assert not (ema.average["0.weight"].numpy() == 5).any()


def test_ema_applied_between_forward_and_backward_is_an_error():
    net = small_net()
    ema = EMA(net, 0.9)
    list(wander(net, ema, 2))
    y = net[0](tg.ones(1, 2, dtype=tg.float64, requires_grad=True)).sum()
    with ema.applied():
        pass
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_ema_state(tmp_path):
    net = small_net()
    ema = EMA(net, 0.9)
    list(wander(net, ema, 7))
    arrays, rest = checkpoint.flatten(ema.state_dict())
    checkpoint.write(tmp_path / "c", arrays, rest)
    other = EMA(small_net(), 0.9)
    other.load_state_dict(checkpoint.unflatten(*checkpoint.read(tmp_path / "c")))
    assert other.updates == 7
    same_arrays(other.average, ema.average)
    other.module.load_state_dict(net.state_dict())
    for a, b in ((ema, net), (other, other.module)):
        list(wander(b, a, 3))
    same_arrays(other.average, ema.average)

    before = {n: t.numpy().copy() for n, t in other.average.items()}
    state = ema.state_dict()
    for wrong, match in (
        ({**state["average"], "extra": tg.ones(1)}, "missing or unexpected extra"),
        ({"0.weight": tg.ones(3, 2)}, "missing or unexpected 0.bias, "),
        ({**state["average"], "2.bias": tg.ones(1, 1)}, r"size of 2.bias: found \(1, 1\), expected \(1,\)"),
        (
            {**state["average"], "0.bias": tg.ones(1)},
            r"size of 0.bias: found \(1,\)",
        ),  # a shape that would broadcast
    ):
        with pytest.raises(ValueError, match=match):
            other.load_state_dict({"updates": 9, "average": wrong})
        same_arrays(other.average, before)
        assert other.updates == 10


@pytest.mark.parametrize("size", [3, 300])
@pytest.mark.parametrize("make", [getattr(optim, name) for name in NAMES])
def test_an_overflow_is_no_warning_whatever_the_size(make, size):
    p = nn.Parameter(tg.full((size,), 3e38))
    p.grad = tg.full((size,), -3e38)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make([p], lr=10.0).step()
