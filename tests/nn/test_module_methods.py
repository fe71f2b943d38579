"""The lesser-known methods of Module compared with PyTorch's."""

import inspect
from collections import OrderedDict

import numpy as np
import pytest
from programs import both, layers, names

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


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
