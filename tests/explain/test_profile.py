"""`tinygen.profile`: exact calls and bytes, times that add up, and nothing left behind."""

import threading
import time

import numpy as np
import pytest

import tinygen
from tinygen import nn, optim
from tinygen.autograd import grad
from tinygen.engine import backward
from tinygen.engine.memory import owner
from tinygen.engine.node import Node
from tinygen.engine.primitive import Primitive, primitive
from tinygen.nn import functional as F
from tinygen.profile.profiler import TAPE


def quiet(**options):
    return tinygen.profile(show=False, **options)


def row(p, operation):
    return next(r for r in p.rows if r["operation"] == operation)


def calls(p):
    """operation -> (forward calls, backward calls)"""
    return {
        r["operation"]: (r["forward_calls"], r["backward_calls"]) for r in p.rows if r["kind"] == "operation"
    }


def measured_ms(p):
    return sum(r["ms"] for r in p.rows)


def kept_by(output, leaves=()):
    """operation -> bytes of memory in Node.saved in the graph of `output`, each piece counted for its first node."""
    kept, seen = {}, {id(owner(leaf._data)) for leaf in leaves}
    nodes, stack = set(), [output._edge]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and node not in nodes:
            nodes.add(node)
            stack.extend(node.parents)
    for node in sorted(nodes, key=lambda node: node.serial):
        for saved in node.saved.values():
            array = owner(getattr(saved, "array", saved))
            if id(array) not in seen:
                seen.add(id(array))
                kept[node.op.name] = kept.get(node.op.name, 0) + array.nbytes
    return kept


def floats(*shape, requires_grad=False):
    return tinygen.randn(*shape).requires_grad_(requires_grad)


@primitive
def _sleeping(x, *, forward, backward):
    time.sleep(forward)
    return x + 1


def _sleep_and_pass(g, backward):
    time.sleep(backward)
    return g * 1


_sleeping.vjp(_sleep_and_pass)


# Calls and bytes


def test_calls_and_bytes_of_a_small_program():
    x, w, b = floats(4, 3), floats(3, 2, requires_grad=True), floats(2, requires_grad=True)
    with quiet() as p:
        for _ in range(3):
            ((x @ w + b).tanh() * 2).sum().backward()
        tinygen.exp(x)
    assert calls(p) == {
        "matmul": (3, 3), "add": (3, 3), "tanh": (3, 3), "mul": (3, 3), "sum": (3, 3), "exp": (1, 0),
    }  # fmt: skip
    kept = {r["operation"]: r["kept_bytes"] for r in p.rows if r["kept_bytes"]}
    assert kept.pop("mul") == 3 * 4  # the number 2
    assert kept == {"matmul": 3 * 4 * 3 * 4, "tanh": 3 * 4 * 2 * 4}  # x, not w; the output
    assert row(p, TAPE)["backward_calls"] == 3


def test_bytes_are_what_the_nodes_hold():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(),
        nn.Linear(64, 5), nn.LeakyReLU(),
    )  # fmt: skip
    x, target = floats(3, 1, 8, 8), tinygen.tensor([0, 3, 2])
    with quiet() as p:
        loss = F.cross_entropy(net(x), target) + net[0].weight.square().mean().sqrt()
        expected = kept_by(loss, net.parameters())
        assert sum(expected.values()) > 4000 and "conv2d" in expected
        assert {r["operation"]: r["kept_bytes"] for r in p.rows if r["kept_bytes"]} == expected
        assert p.peak_bytes == sum(expected.values())
        loss.backward()
    assert {r["operation"]: r["peak_bytes"] for r in p.rows if r["peak_bytes"]} == expected
    assert p._memory.now == 0 and not p._memory.holders


def test_at_peak_is_what_was_held_at_once():
    x = floats(100, requires_grad=True)
    small = floats(10, requires_grad=True)
    with quiet() as p:
        small.exp().sum().backward()
        for _ in range(3):
            (2.0 * x).tanh().sum().backward()
        small.exp().sum().backward()
        y = small.exp()
        del y
    assert (row(p, "exp")["kept_bytes"], row(p, "exp")["peak_bytes"]) == (3 * 40, 0)
    assert (row(p, "tanh")["kept_bytes"], row(p, "tanh")["peak_bytes"]) == (3 * 400, 400)
    assert p.peak_bytes == 404 == sum(r["peak_bytes"] for r in p.rows)  # with the number 2
    assert p._memory.now == 0 and all(r.held == 0 for r in p._rows.values())


def test_memory_counts_once_and_a_view_as_all_it_keeps_alive():
    x, scale = floats(1000), floats(2, requires_grad=True)
    with quiet() as p:
        first = x[:2] * scale
        second = x[2:4].exp().detach() * scale
        third = tinygen.maximum(x[4:6], scale)
    assert row(p, "mul")["kept_bytes"] == 4000 + 8
    assert row(p, "maximum")["kept_bytes"] == 0
    with p:
        del first
        assert p.peak_bytes == 4008 and row(p, "mul")["kept_bytes"] == 4008 and p._memory.now == 4008
        del third, second
        p._memory.settle()
        assert p._memory.now == 0


def test_parameters_are_not_counted():
    frozen, free = nn.Linear(8, 8, bias=False).requires_grad_(False), nn.Linear(8, 8, bias=False)
    x = floats(2, 8, requires_grad=True)
    with quiet() as p:
        y = (x @ frozen.weight.T) @ free.weight.T
        y = y + F.linear(x, frozen.weight)
        y.square().sum().backward()
    assert (
        row(p, "matmul")["kept_bytes"] == 2 * 8 * 4
    )  # the second's input alone: x and both weights are leaves
    assert row(p, "linear")["kept_bytes"] == 0
    assert row(p, "permute")["kept_bytes"] == 0


def test_no_grad_keeps_nothing():
    net, x = nn.Linear(4, 4), floats(2, 4)
    with quiet() as p, tinygen.no_grad():
        net(x).tanh().sum()
    assert calls(p) == {"linear": (1, 0), "tanh": (1, 0), "sum": (1, 0)}
    assert p.peak_bytes == 0 and all(r["kept_bytes"] == 0 for r in p.rows)
    assert all(r["kind"] == "operation" for r in p.rows)


def test_second_order():
    """Operations that a row calls count as the backward of its operation, even if they are recorded in turn."""
    x = floats(50, requires_grad=True)
    with quiet() as p:
        y = x.tanh().sum()
        (g,) = grad(y, x, create_graph=True)
        assert calls(p) == {"tanh": (1, 1), "sum": (1, 1)}
        assert row(p, "tanh")["kept_bytes"] == sum(kept_by(g, [x]).values()) > 200
        g.square().sum().backward()
    found = calls(p)
    assert found["tanh"] == (1, 2) and found["sum"] == (2, 2) and found["square"] == (1, 1)
    assert found["mul"][0] == 0 and found["mul"][1] >= 2  # the row g * (1 - y * y), differentiated
    y = np.tanh(x.detach().numpy())
    np.testing.assert_allclose(x.grad.numpy(), -4 * y * (1 - y * y) ** 2, rtol=1e-4, atol=1e-6)


def test_a_graph_from_before_the_block():
    x = floats(5, requires_grad=True)
    y = x.exp().sum()
    with quiet() as p:
        y.backward()
    assert calls(p) == {"exp": (0, 1), "sum": (0, 1)}
    assert p.peak_bytes == 0 == p._memory.now


def test_results_are_the_same_bits():
    def gradients():
        tinygen.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(), nn.Linear(5, 2))
        net(floats(7, 6)).square().mean().backward()
        return [p.grad.numpy().tobytes() for p in net.parameters()]

    without = gradients()
    with quiet():
        within = gradients()
    assert without == within


def test_by_shape():
    x, y = floats(4, 3, requires_grad=True), floats(3, requires_grad=True)
    with quiet(by_shape=True) as p:
        (x * y + 2 * x).sum().backward()
        _sleeping(forward=0, x=x, backward=0)
        _sleeping(floats(2), 0, 0)
        tinygen.cat([x, x]).sum().backward()
    found = {
        (r["operation"], *map(tuple, r["shapes"])): (r["forward_calls"], r["backward_calls"])
        for r in p.rows
        if r["kind"] == "operation"
    }
    assert found == {
        ("mul", (4, 3), (3,)): (1, 1),
        ("mul", (4, 3)): (1, 1),
        ("add", (4, 3), (4, 3)): (1, 1),
        ("sum", (4, 3)): (1, 1),
        ("sum", (8, 3)): (1, 1),
        ("sleeping", (4, 3)): (1, 0),
        ("sleeping", (2,)): (1, 0),
        ("cat", (4, 3), (4, 3)): (1, 1),
    }
    assert "mul (4, 3) (3,) " in p.table()


# Times


def test_times_are_where_they_are_spent():
    x = floats(3, requires_grad=True)
    with quiet() as p:
        y = _sleeping(x, forward=0.03, backward=0.06)
        time.sleep(0.02)
        y.exp().sum().backward()
    first = p.rows[0]
    assert first["operation"] == "sleeping" and first["forward_ms"] >= 30 and first["backward_ms"] >= 60
    assert first["ms"] == pytest.approx(first["forward_ms"] + first["backward_ms"])
    assert p.wall_ms - measured_ms(p) >= 20
    assert sum(r["share"] for r in p.rows) <= 1 and first["share"] == pytest.approx(first["ms"] / p.wall_ms)


def test_optimisers_and_closures():
    """The time of the closure's operations and its backward is not the optimizer's."""
    w = floats(3, requires_grad=True)
    optimizer = optim.SGD([w], 0.1)

    def closure():
        loss = _sleeping(w, forward=0.05, backward=0.05).sum()
        loss.backward()
        return loss

    with quiet() as p:
        optimizer.step(closure)
        optimizer.step()
    step = row(p, "SGD.step")
    assert (step["kind"], step["calls"], step["forward_calls"], step["backward_calls"]) == (
        "optimiser",
        2,
        0,
        0,
    )
    assert step["ms"] <= p.wall_ms - 100 and measured_ms(p) <= p.wall_ms
    assert calls(p) == {"sleeping": (1, 1), "sum": (1, 1)}


def test_entering_again_adds():
    x, p, start = floats(3, requires_grad=True), quiet(), time.perf_counter()
    for n in (1, 2):
        time.sleep(0.05)
        with p:
            x.exp().sum().backward()
        assert calls(p) == {"exp": (n, n), "sum": (n, n)}
    assert measured_ms(p) <= p.wall_ms <= 1e3 * (time.perf_counter() - start) - 100


# Nothing left behind


def watched():
    """What a block replaces: the two methods, and the observer of backward."""
    return [vars(Primitive)["__call__"], vars(optim.Optimizer)["step"], backward.observer]


def test_outside_the_block_stand_the_same_objects():
    before = watched()
    with quiet():
        assert not any(a is b for a, b in zip(before, watched()))
    assert all(a is b for a, b in zip(before, watched())) and backward.observer is None
    with pytest.raises(ZeroDivisionError), quiet():
        raise ZeroDivisionError
    assert all(a is b for a, b in zip(before, watched()))


def test_an_exception_within():
    x, y = floats(2, 3, requires_grad=True), floats(4, 5)
    with pytest.raises(tinygen.ShapeError), quiet() as p:
        x.exp()
        x + y
    assert calls(p) == {"exp": (1, 0), "add": (1, 0)} and p._nested == []
    with p:
        loss = x.exp().sum()
        loss.backward()
        with pytest.raises(RuntimeError, match="a second time"):
            loss.backward()
        x.exp().sum()
    assert calls(p)["exp"] == (3, 2) and p._nested == [] and p._backward is None
    assert measured_ms(p) <= p.wall_ms


def test_one_at_a_time():
    with quiet() as p:
        inside = watched()
        with pytest.raises(RuntimeError, match="another profile is running"), quiet():
            pass
        with pytest.raises(RuntimeError, match="another profile is running"), p:
            pass
        assert all(a is b for a, b in zip(inside, watched()))
        floats(3).exp()
    assert row(p, "exp")["forward_calls"] == 1
    with quiet():
        pass


def test_other_threads_work_and_are_not_measured():
    results, started, finish = [], threading.Event(), threading.Event()

    def load():
        for i in range(200):
            x = floats(3, requires_grad=True)
            x.exp().sum().backward()
            optim.SGD([x], 0.1).step()
            results.append(x.grad.shape)
            if i == 10:
                started.set()
                finish.wait(10)

    thread = threading.Thread(target=load)
    with quiet() as p:
        thread.start()
        started.wait(10)
        floats(3).tanh()
        finish.set()
    thread.join()
    assert results == [(3,)] * 200
    assert calls(p)["tanh"] == (1, 0) and not {"exp", "sum", "SGD.step", TAPE} & {
        r["operation"] for r in p.rows
    }
