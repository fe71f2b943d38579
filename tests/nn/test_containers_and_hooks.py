"""Containers, hooks and the lesser-known methods of Module, compared with PyTorch's."""

import copy
import inspect
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


def described(x):
    """A result in a form that both libraries share."""
    if isinstance(x, (nn.Module, tnn.Module)):
        return repr(x).replace("torch.float32", "float32")
    if isinstance(x, (tg.Tensor, torch.Tensor)):
        return tuple(x.shape), type(x).__name__ == "Parameter", x.detach().numpy().tolist()
    if isinstance(x, (list, tuple)):
        return [described(v) for v in x]
    return x


def names(pairs):
    return [name for name, _ in pairs]


def layers(N, *kinds):
    made = {
        "l": lambda: N.Linear(2, 3),
        "r": lambda: N.ReLU(),
        "t": lambda: N.Tanh(),
        "s": lambda: N.Sequential(N.Tanh(), N.ReLU()),
    }
    return [made[kind]() for kind in kinds]


def both(program):
    """Run a program with both libraries: it must give the same results, or errors of the same type."""
    results = []
    for T, N in ((tg, nn), (torch, tnn)):
        try:
            results.append(described(program(T, N)))
        except Exception as error:
            results.append(type(error))
    return results


# containers

SEQUENCES = {
    "append": lambda N, m: m.append(N.Tanh()),
    "extend": lambda N, m: m.extend(layers(N, "t", "s")),
    "extend by no list": lambda N, m: m.extend(3),
    "insert": lambda N, m: (m.insert(1, N.Tanh()), m)[1],
    "insert at the end": lambda N, m: (m.insert(3, N.Tanh()), m)[1],
    "insert 0": lambda N, m: (m.insert(0, N.Tanh()), m)[1],
    "get": lambda N, m: [m[0], m[-1], m[2], len(m)],
    "get too far": lambda N, m: m[3],
    "get too far back": lambda N, m: m[-4],
    "slice": lambda N, m: [m[1:], m[::2], m[:-1], m[3:]],
    "keys of a slice": lambda N, m: names(m[1:].named_parameters()),
    "set": lambda N, m: (m.__setitem__(-1, N.Tanh()), m)[1],
    "set no module": lambda N, m: m.__setitem__(0, 3),
    "set too far": lambda N, m: m.__setitem__(3, N.Tanh()),
    "delete": lambda N, m: (m.__delitem__(0), m)[1],
    "delete a slice": lambda N, m: (m.__delitem__(slice(0, 2)), m)[1],
    "delete too far": lambda N, m: m.__delitem__(5),
    "append after delete": lambda N, m: (m.__delitem__(1), m.append(N.Tanh()))[1],
    "pop": lambda N, m: [m.pop(0), m, m.pop(-1), m],
    "pop a slice": lambda N, m: [m.pop(slice(1, 3)), m],
    "iterate": lambda N, m: list(m),
    "plus": lambda N, m: m + type(m)(),
    "state": lambda N, m: list(m.state_dict()),
    "dir": lambda N, m: [name for name in dir(m) if name.isdigit()],
    "append no module": lambda N, m: m.append(3),
    "contains": lambda N, m: m[1] in m,
}


@pytest.mark.parametrize("program", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_sequences(kind, program):
    def run(T, N):
        modules = layers(N, "l", "r", "s")
        return program(N, N.Sequential(*modules) if kind == "Sequential" else N.ModuleList(modules))

    ours, theirs = both(run)
    assert ours == theirs


ONE_KIND = {
    "Sequential +": lambda T, N: [N.Sequential(*layers(N, "l", "t")) + N.Sequential(N.ReLU())],
    "Sequential + list": lambda T, N: N.Sequential() + [N.ReLU()],
    "Sequential +=": lambda T, N: N.Sequential(*layers(N, "l", "t")).__iadd__(N.Sequential(N.ReLU())),
    "Sequential += list": lambda T, N: N.Sequential().__iadd__([N.ReLU()]),
    "Sequential *": lambda T, N: [N.Sequential(*layers(N, "r", "t")) * 2, 2 * N.Sequential(N.ReLU())],
    "Sequential *=": lambda T, N: N.Sequential(*layers(N, "r", "t")).__imul__(3),
    "Sequential * 0": lambda T, N: N.Sequential(N.ReLU()) * 0,
    "Sequential * 1.5": lambda T, N: N.Sequential(N.ReLU()) * 1.5,
    "named, slice": lambda T, N: N.Sequential(OrderedDict(a=N.ReLU(), b=N.Tanh(), c=N.ReLU()))[1:],
    "named, delete": lambda T, N: (s := N.Sequential(OrderedDict(a=N.ReLU(), b=N.Tanh()))).pop(0) and s,
    "named, get": lambda T, N: N.Sequential(OrderedDict(a=N.ReLU(), b=N.Tanh()))[-1],
    "insert too far": lambda T, N: N.Sequential().insert(1, N.ReLU()),
    "ModuleList + list": lambda T, N: N.ModuleList(layers(N, "r")) + layers(N, "t"),
    "ModuleList +=": lambda T, N: N.ModuleList(layers(N, "r")).__iadd__(layers(N, "t")),
    "ModuleList of a generator": lambda T, N: N.ModuleList(N.Linear(i + 1, 1) for i in range(3)),
    "ModuleList prints runs": lambda T, N: N.ModuleList(layers(N, "r", "r", "s", "s", "s", "t")),
    "ModuleList()": lambda T, N: [N.ModuleList(), N.Sequential(), N.ModuleDict(), N.ParameterList()],
    "ModuleList called": lambda T, N: N.ModuleList(layers(N, "r"))(T.ones(1)),
    "ModuleList(int)": lambda T, N: N.ModuleList(3),
    "Sequential called": lambda T, N: N.Sequential(N.ReLU(), N.Flatten(0))(T.ones(2, 2) - 2),
}


def dict_of(N, **more):
    return N.ModuleDict({"b": N.Linear(2, 1), "a": N.ReLU(), **more})


def parameter_list(T, N):
    return N.ParameterList([N.Parameter(T.ones(2)), T.zeros(2, 3), 5])


def parameter_dict(T, N):
    return N.ParameterDict(OrderedDict(b=N.Parameter(T.ones(2)), a=T.zeros(2, 3), c="x"))


DICTS = {
    "print": lambda T, N: dict_of(N),
    "keys": lambda T, N: [list(dict_of(N)), list(dict_of(N).keys()), list(dict_of(N).values())],
    "items": lambda T, N: names(dict_of(N).items()),
    "get": lambda T, N: [dict_of(N)["a"], len(dict_of(N)), "a" in dict_of(N), "z" in dict_of(N)],
    "get missing": lambda T, N: dict_of(N)["z"],
    "set": lambda T, N: ((d := dict_of(N)).__setitem__("c", N.Tanh()), d.__setitem__("b", N.Tanh()), d)[2],
    "set no module": lambda T, N: dict_of(N).__setitem__("c", 3),
    "set no str": lambda T, N: dict_of(N).__setitem__(3, N.ReLU()),
    "set with a dot": lambda T, N: dict_of(N).__setitem__("a.b", N.ReLU()),
    "delete": lambda T, N: ((d := dict_of(N)).__delitem__("b"), d)[1],
    "pop": lambda T, N: [(d := dict_of(N)).pop("b"), d],
    "pop missing": lambda T, N: dict_of(N).pop("z"),
    "clear": lambda T, N: ((d := dict_of(N)).clear(), d)[1],
    "update": lambda T, N: ((d := dict_of(N)).update({"c": N.Tanh(), "a": N.Tanh()}), d)[1],
    "update, pairs": lambda T, N: ((d := dict_of(N)).update([("c", N.Tanh())]), d)[1],
    "update, dict of modules": lambda T, N: ((d := dict_of(N)).update(dict_of(N, z=N.Tanh())), d)[1],
    "update, number": lambda T, N: dict_of(N).update(3),
    "update, numbers": lambda T, N: dict_of(N).update([3]),
    "update, triple": lambda T, N: dict_of(N).update([("a", N.ReLU(), 1)]),
    "state": lambda T, N: list(dict_of(N).state_dict()),
    "called": lambda T, N: dict_of(N)(T.ones(1)),
    "plist": parameter_list,
    "plist, parameters": lambda T, N: [*parameter_list(T, N).parameters()],
    "plist, state": lambda T, N: list(parameter_list(T, N).state_dict()),
    "plist, get": lambda T, N: [parameter_list(T, N)[0], parameter_list(T, N)[-1], len(parameter_list(T, N))],
    "plist, too far": lambda T, N: parameter_list(T, N)[3],
    "plist, slice": lambda T, N: parameter_list(T, N)[1:],
    "plist, iterate": lambda T, N: list(parameter_list(T, N)),
    "plist, set": lambda T, N: ((p := parameter_list(T, N)).__setitem__(1, T.ones(1)), p)[1],
    "plist, +=": lambda T, N: parameter_list(T, N).__iadd__([T.ones(1)]),
    "plist, append": lambda T, N: parameter_list(T, N).append(T.ones(1)).append(None),
    "plist, extend": lambda T, N: parameter_list(T, N).extend(parameter_list(T, N)),
    "plist, extend tensor": lambda T, N: parameter_list(T, N).extend(T.ones(2)),
    "plist, called": lambda T, N: parameter_list(T, N)(1),
    "pdict": parameter_dict,
    "pdict, sorted": lambda T, N: N.ParameterDict({"b": T.ones(1), "a": T.ones(2)}),
    "pdict, one": lambda T, N: repr(N.ParameterDict({"a": 3})),
    "pdict, pairs": lambda T, N: N.ParameterDict([("b", T.ones(1)), ("a", T.ones(2))]),
    "pdict, numbers": lambda T, N: N.ParameterDict([3]),
    "pdict, parameters": lambda T, N: names(parameter_dict(T, N).named_parameters()),
    "pdict, get": lambda T, N: [
        (p := parameter_dict(T, N))["a"],
        p.get("a"),
        p.get("z"),
        p.get("z", 3),
        "a" in p,
    ],
    "pdict, missing": lambda T, N: parameter_dict(T, N)["z"],
    "pdict, no str": lambda T, N: parameter_dict(T, N)[3],
    "pdict, set no str": lambda T, N: parameter_dict(T, N).__setitem__(3, T.ones(1)),
    "pdict, delete": lambda T, N: ((p := parameter_dict(T, N)).__delitem__("b"), list(p), p)[1:],
    "pdict, pop": lambda T, N: [(p := parameter_dict(T, N)).pop("b"), list(p), p.popitem(), len(p)],
    "pdict, clear": lambda T, N: ((p := parameter_dict(T, N)).clear(), len(p))[1],
    "pdict, setdefault": lambda T, N: [
        (p := parameter_dict(T, N)).setdefault("z", T.ones(1)),
        p.setdefault("b"),
        p,
    ],
    "pdict, copy": lambda T, N: (p := parameter_dict(T, N)).copy()["b"] is p["b"],
    "pdict, |": lambda T, N: parameter_dict(T, N) | N.ParameterDict({"z": T.ones(1)}),
    "pdict, |=": lambda T, N: parameter_dict(T, N).__ior__(N.ParameterDict({"z": T.ones(1)})),
    "pdict, reversed": lambda T, N: list(reversed(parameter_dict(T, N))),
    "pdict, items": lambda T, N: [list(parameter_dict(T, N).items()), list(parameter_dict(T, N).values())],
    "pdict, fromkeys": lambda T, N: list(parameter_dict(T, N).fromkeys(["p", "q"], 1).items()),
    "pdict, called": lambda T, N: parameter_dict(T, N)(1),
}


@pytest.mark.parametrize("program", [*ONE_KIND.values(), *DICTS.values()], ids=[*ONE_KIND, *DICTS])
def test_containers(program):
    ours, theirs = both(program)
    if isinstance(theirs, str):
        theirs = theirs.replace("torch.FloatTensor", "float32")
    assert str(ours) == str(theirs).replace("torch.FloatTensor", "float32")


def test_a_subclass_of_sequential_with_a_forward_of_its_own_is_sliced():
    class Twice(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    assert type(Twice(nn.ReLU(), nn.Tanh())[:1]) is Twice


def test_containers_are_trained_copied_and_pickled():
    for make in (parameter_list, parameter_dict, lambda T, N: dict_of(N)):
        ours = make(tg, nn)
        for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            assert described(twin) == described(ours)
            assert [described(p) for p in twin.parameters()] == [described(p) for p in ours.parameters()]
            assert not {*twin.parameters()} & {*ours.parameters()}


# hooks


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


# methods of Module


def shared(T, N):
    net = N.Module()
    net.a = N.Linear(2, 3)
    net.b = net.a
    net.c = N.Sequential(N.BatchNorm1d(3), net.a)
    net.d = N.Parameter(T.ones(1))
    net.register_parameter("e", net.d)
    net.register_buffer("t", T.ones(2), persistent=False)
    return net


METHODS = {
    "named_modules": lambda T, N: names(shared(T, N).named_modules()),
    "named_modules, all": lambda T, N: names(shared(T, N).named_modules(remove_duplicate=False)),
    "named_modules, memo": lambda T, N: names((n := shared(T, N)).named_modules({n.a}, "p")),
    "named_parameters, all": lambda T, N: names(shared(T, N).named_parameters(remove_duplicate=False)),
    "named_parameters, p": lambda T, N: names(shared(T, N).named_parameters("p", False)),
    "named_buffers, all": lambda T, N: names(shared(T, N).named_buffers("p", True, False)),
    "get_submodule": lambda T, N: [shared(T, N).get_submodule(n) for n in ("a", "c.1", "c")],
    "get_submodule, self": lambda T, N: (n := shared(T, N)).get_submodule("") is n,
    "get_submodule, missing": lambda T, N: shared(T, N).get_submodule("c.5"),
    "get_submodule, parameter": lambda T, N: shared(T, N).get_submodule("d"),
    "set_submodule": lambda T, N: ((n := shared(T, N)).set_submodule("c.1", N.ReLU()), n)[1],
    "set_submodule, new": lambda T, N: ((n := shared(T, N)).set_submodule("c.new", N.ReLU()), n)[1],
    "set_submodule, strict": lambda T, N: shared(T, N).set_submodule("c.new", N.ReLU(), strict=True),
    "set_submodule, empty": lambda T, N: shared(T, N).set_submodule("", N.ReLU()),
    "set_submodule, number": lambda T, N: shared(T, N).set_submodule("a", 3),
    "set_submodule, parameter": lambda T, N: shared(T, N).set_submodule("d", N.ReLU()),
    "get_parameter": lambda T, N: (n := shared(T, N)).get_parameter("c.1.weight") is n.a.weight,
    "get_parameter, own": lambda T, N: shared(T, N).get_parameter("d"),
    "get_parameter, missing": lambda T, N: shared(T, N).get_parameter("a.wight"),
    "get_parameter, buffer": lambda T, N: shared(T, N).get_parameter("t"),
    "get_buffer": lambda T, N: [shared(T, N).get_buffer("t"), shared(T, N).get_buffer("c.0.running_var")],
    "get_buffer, parameter": lambda T, N: shared(T, N).get_buffer("d"),
    "get_buffer, missing": lambda T, N: shared(T, N).get_buffer("c.0.x"),
    "state, prefix": lambda T, N: list(shared(T, N).state_dict(prefix="p.")),
    "state, destination": lambda T, N: (
        (d := OrderedDict(x=1)) is shared(T, N).state_dict(destination=d) and list(d)
    ),
    "state, keep_vars": lambda T, N: (n := shared(T, N)).state_dict(keep_vars=True)["d"] is n.d,
    "load, not strict": lambda T, N: list(
        N.Sequential(*layers(N, "l", "l")).load_state_dict(
            {"1.bias": T.zeros(3), "x": T.zeros(1)}, strict=False
        )
    ),
    "load, repr": lambda T, N: repr((n := shared(T, N)).load_state_dict(n.state_dict())),
    "load, a list": lambda T, N: shared(T, N).load_state_dict([]),
    "load, missing": lambda T, N: shared(T, N).load_state_dict({}),
    "train 1": lambda T, N: shared(T, N).train(1),
    "train": lambda T, N: [m.training for m in shared(T, N).train(False).modules()],
    "half": lambda T, N: str(shared(T, N).half().a.weight.dtype).split(".")[-1],
    "type": lambda T, N: str(shared(T, N).type(T.float64).t.dtype).split(".")[-1],
    "to int": lambda T, N: shared(T, N).to(T.int64),
    "dir": lambda T, N: [n for n in ("a", "d", "t", "zero_grad", "zz") if n in dir(shared(T, N))],
    "buffer, number as name": lambda T, N: shared(T, N).register_buffer(3, T.ones(1)),
    "parameter, number as name": lambda T, N: shared(T, N).register_parameter(3, N.Parameter(T.ones(1))),
    "module, number as name": lambda T, N: shared(T, N).add_module(3, N.ReLU()),
    "buffer, made persistent": lambda T, N: (
        (n := shared(T, N)).register_buffer("t", T.ones(1)),
        list(n.state_dict()),
    )[1],
    "name": lambda T, N: [shared(T, N)._get_name(), shared(T, N).extra_repr()],
}


@pytest.mark.parametrize("program", METHODS.values(), ids=METHODS)
def test_methods_of_module(program):
    ours, theirs = both(program)
    assert ours == theirs


def test_signatures_of_modules_methods_are_pytorchs():
    different = {
        "forward",
        "state_dict",
        "to",
        "register_backward_hook",
    }  # PyTorch's take *args; not supported here
    for name, function in inspect.getmembers(nn.Module, inspect.isfunction):
        if not name.startswith("_") and name not in different and hasattr(tnn.Module, name):
            ours, theirs = (
                [(p.name, p.default) for p in inspect.signature(f).parameters.values()]
                for f in (function, getattr(tnn.Module, name))
            )
            assert ours == theirs, name


def test_what_does_not_exist_says_what_to_use():
    for refused, match in (
        (lambda: nn.ReLU().bfloat16(), "half"),
        (lambda: nn.ReLU().load_state_dict({}, assign=True), "assign"),
    ):
        with pytest.raises(NotImplementedError, match=match):
            refused()


def test_half_computes():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).half()
    assert net(tg.ones(1, 2, dtype=tg.float16)).dtype == np.float16
