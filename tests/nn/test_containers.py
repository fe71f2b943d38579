"""Containers of modules and parameters compared with PyTorch's."""

import copy
import pickle
from collections import OrderedDict

import pytest
from programs import both, described, layers, names

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


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
