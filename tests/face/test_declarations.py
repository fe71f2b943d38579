"""Callers find what operations declare."""

import inspect

import tinygen
from tinygen import ops
from tinygen.engine.tensor import Tensor
from tinygen.nn import functional
from tinygen.ops.declaration import DECLARED, names_in

NO_OPERATION = {"activation"}  # a module that nn.functional imports


def test_functional_offers_what_is_declared_for_it():
    """nn/functional.py imports every function by name, so that a reader sees which comes from where."""
    offered = {name: value for name, value in vars(functional).items() if not name.startswith("_")}
    declared = names_in("F")
    assert set(offered) - {"annotations"} - NO_OPERATION == set(declared)
    for name, function in declared.items():
        assert getattr(offered[name], "__wrapped__", offered[name]) in (
            function,
            function.__dict__.get("__wrapped__"),
        )


def test_functions_and_methods_are_what_is_declared():
    for name, function in names_in("tinygen").items():
        assert inspect.unwrap(getattr(tinygen, name)) is inspect.unwrap(function), name
    for name, function in names_in("Tensor").items():
        if name != "where":  # the method's arguments come in another order: ops/methods.py
            assert inspect.unwrap(vars(Tensor)[name]) is inspect.unwrap(function), name


def test_every_declaration_says_where_it_belongs_and_what_exists():
    for declared in DECLARED:
        assert declared.homes and set(declared.homes) <= {"tinygen", "Tensor", "F"}, declared
        parameters = inspect.signature(declared.function).parameters
        assert set(declared.function.takes) <= set(parameters), declared
    for alias, name in ops.ALIASES.items():
        assert alias not in {d.function.__name__ for d in DECLARED}, alias
        assert {**names_in("tinygen"), **names_in("Tensor")}[alias].__name__ == name
