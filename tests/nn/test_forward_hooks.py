"""Forward hooks compared with PyTorch's."""

import copy

import pytest
from programs import both, described

from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


def hooked(T, N):
    """Every kind of hook in turn: what the hooks saw, and the output."""
    seen, net = [], N.Sequential(N.Identity(), N.Flatten(0))

    class Two(N.Module):
        def forward(self, a, b=1):
            return a * b

    def note(name, result=None):
        def hook(module, *rest):
            seen.append([name, type(module).__name__, *(described(r) for r in rest)])
            return result(*rest) if result else None

        return hook

    two = Two()
    first = two.register_forward_pre_hook(note("pre", lambda args: args[0] + 1))
    two.register_forward_pre_hook(note("pre tuple", lambda args: (args[0] * 2,)))
    two.register_forward_pre_hook(note("earliest"), prepend=True)
    two.register_forward_pre_hook(
        note("keywords", lambda args, kwargs: (args, {**kwargs, "b": kwargs.get("b", 5) + 1})),
        with_kwargs=True,
    )
    two.register_forward_hook(note("post", lambda args, y: y - 1))
    two.register_forward_hook(note("post nothing"))
    two.register_forward_hook(note("post earliest"), prepend=True)
    last = two.register_forward_hook(note("post keywords", lambda a, k, y: [y]), with_kwargs=True)
    out = [two(T.ones(2)), two(T.ones(2), b=3)]
    first.remove(), last.remove(), first.remove()
    out.append(two(T.ones(2)))
    with net[0].register_forward_hook(lambda module, args, y: y * 3):
        out.append(net(T.ones(1, 2)))
    out.append(net(T.ones(1, 2)))
    return described(out), seen


def test_hooks():
    ours, theirs = both(hooked)
    assert ours == theirs and len(ours[1]) == 22


def test_a_hook_that_removes_itself_and_one_that_returns_nonsense():
    layer = nn.Identity()
    calls = []
    handle = layer.register_forward_hook(lambda *_: (calls.append(1), handle.remove())[1])
    layer.register_forward_hook(lambda *_: calls.append(2))
    layer(1), layer(1)
    assert calls == [1, 2, 2]

    def program(T, N):
        layer = N.Identity()
        layer.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
        return layer(T.ones(1))

    assert both(program) == [RuntimeError, RuntimeError]


def test_hooks_are_copied_with_the_module_and_independent():
    calls = []
    layer = nn.Identity()
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    twin = copy.deepcopy(layer)
    handle.remove()
    layer(1)
    assert calls == []
    twin(1)
    assert calls == [1]


def test_backward_hooks_say_what_to_use():
    for refused in (
        lambda: nn.ReLU().register_full_backward_hook(print),
        lambda: nn.ReLU().register_full_backward_pre_hook(print),
        lambda: nn.ReLU().register_backward_hook(print),
    ):
        with pytest.raises(NotImplementedError, match="retain_grad"):
            refused()
    with pytest.raises(NotImplementedError, match="always_call"):
        nn.ReLU().register_forward_hook(print, always_call=True)
