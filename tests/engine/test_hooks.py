"""Tensor.register_hook compared with PyTorch's: when it is called, with what, and what it may return."""

import numpy as np
import pytest

import tinygen as tg

torch = pytest.importorskip("torch")
SIDES = (tg, torch)


def values(x):
    return None if x is None else x.detach().numpy().tolist()


def both(program):
    """The same program gives the same results on both sides."""
    found, expected = (program(T) for T in SIDES)
    assert found == expected, (found, expected)


def leaf(T, *numbers):
    return T.tensor(np.array(numbers), requires_grad=True)


def test_leaves_and_intermediates():
    def program(T):
        seen = []
        x = leaf(T, 1.0, 2.0)
        y = x * 3
        z = y * y + y  # y is used three times: a hook gets the sum
        y.register_hook(lambda g: seen.append(("y", values(g))))
        x.register_hook(lambda g: seen.append(("x", values(g))))
        z.register_hook(lambda g: seen.append(("z", values(g))))
        z.sum().backward(retain_graph=True)
        z.sum().backward()
        return seen, values(x.grad)

    both(program)


def test_what_a_hook_returns_flows_on():
    def program(T):
        x = leaf(T, 1.0, 2.0)
        y = x * 3
        y.retain_grad()
        y.register_hook(lambda g: g * 10)
        y.register_hook(lambda g: g + 1)
        x.register_hook(lambda g: -g)
        (y * y).sum().backward()
        return values(x.grad), values(y.grad)

    both(program)


def test_removing():
    def program(T):
        x = leaf(T, 1.0, 2.0)
        first, second = x.register_hook(lambda g: g * 2), x.register_hook(lambda g: g * 5)
        x.sum().backward()
        first.remove()
        first.remove()
        x.sum().backward()
        with second:
            pass
        x.sum().backward()
        return values(x.grad)

    both(program)


def test_grad_and_inputs():
    def program(T):
        seen = []
        x, w = leaf(T, 1.0, 2.0), leaf(T, 3.0, 4.0)
        y = x * w
        for name, t in (("x", x), ("w", w), ("y", y)):
            t.register_hook(lambda g, name=name: seen.append((name, values(g))))
            t.register_hook(lambda g: g * 2)
        z = (y * y).sum()
        grads = T.autograd.grad(z, [x], retain_graph=True)
        z.backward(inputs=[w], retain_graph=True)
        z.backward(inputs=[y])
        return sorted(seen), [values(g) for g in grads], values(w.grad), values(x.grad), values(y.grad)

    both(program)


def test_grad_of_an_intermediate_is_the_one_after_its_hooks():
    """Whether or not more is asked for; PyTorch gives the one before where it also flows on, and this one where not."""
    x = leaf(tg, 1.0, 2.0)
    y = x * 3
    y.register_hook(lambda g: g * 2)
    for asked in ([y], [y, x]):
        assert tg.autograd.grad(y.sum(), asked, retain_graph=True)[0].tolist() == [2, 2]


def test_with_create_graph():
    def program(T):
        x = leaf(T, 1.0, 2.0)
        y = x * x
        y.register_hook(lambda g: g * y)
        (g,) = T.autograd.grad((y * y).sum(), x, create_graph=True)
        (h,) = T.autograd.grad(g.sum(), x)
        return values(g), values(h)

    both(program)


def test_a_hook_before_an_in_place_operation_is_told_of_the_value_before():
    def program(T):
        seen = []
        x = leaf(T, 1.0, 2.0)
        y = x * 2
        y.register_hook(lambda g: seen.append(values(g)))
        y.mul_(5)
        y.sum().backward()
        return seen, values(x.grad)

    both(program)


def test_a_hook_may_keep_or_change_what_it_gets():
    """The gradient it gets has memory of its own: changing it touches no sum in progress and no other branch."""
    kept = []
    x, w = leaf(tg, 1.0, 2.0), leaf(tg, 3.0, 4.0)
    y = x + w
    y.register_hook(kept.append)
    x.register_hook(lambda g: g.mul_(100))
    y.backward(tg.ones(2, dtype=tg.float64))
    assert x.grad.tolist() == [100, 100] and w.grad.tolist() == [1, 1]
    x.grad.zero_(), w.grad.zero_()
    assert kept[0].tolist() == [1, 1]


@pytest.mark.parametrize(
    "hook, kind, text",
    [
        (lambda g: 3.0, TypeError, "register_hook: the hook returned a float, expected a Tensor or None"),
        (lambda g: g[:1], RuntimeError, r"returned float64 \(1,\) for a gradient float64 \(2,\)"),
        (lambda g: g.float(), RuntimeError, "returned float32"),
    ],
)
def test_what_a_hook_may_not_return(hook, kind, text):
    x = leaf(tg, 1.0, 2.0)
    x.register_hook(hook)
    with pytest.raises(kind, match=text):
        x.sum().backward()


def test_what_register_hook_refuses():
    with pytest.raises(RuntimeError, match=r"^register_hook: this Tensor does not require a gradient"):
        tg.ones(2).register_hook(print)
    with pytest.raises(TypeError, match=r"^register_hook: found a int, expected a function"):
        leaf(tg, 1.0).register_hook(3)
