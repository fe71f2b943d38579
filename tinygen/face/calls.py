"""Wrappers around what tinygen exports: they check the types of arguments and explain errors.

A wrapper costs one Python call.  Each combination of argument types is checked once; later calls
find it in a set.  If the function fails, `errors.explain` raises the error that the caller should see.  Keywords that
only PyTorch needs are dropped if they have their default value, or refused with a hint what to use instead.
"""

from __future__ import annotations

import functools
import inspect

from tinygen.face.errors import check_types, explain

# cheap, called often, and without arguments to get wrong: a wrapper would cost more than the method
UNWRAPPED_METHODS = {"dim", "numel", "is_floating_point", "detach", "to_numpy"}

_exported: dict = {}


def public(function, home: str | None = None):
    """The function as tinygen exports it: always the same object for the same function.

    home   the module that exports it, where pickle looks for it (default: the one it is written in)
    """
    if not inspect.isfunction(function):
        return function  # a Primitive explains its errors itself
    if function not in _exported:
        _exported[function] = _wrapped(function)
        _exported[function].__module__ = home or function.__module__
    return _exported[function]


def _wrapped(function):
    name, seen = function.__name__, set()

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            if kwargs:
                types = (*map(type, args), *kwargs, *map(type, kwargs.values()))
            else:
                types = type(args[0]) if len(args) == 1 else tuple(map(type, args))
            if types not in seen:
                check_types(function, name, args, kwargs)
                seen.add(types)
            return function(*args, **kwargs)
        except Exception as error:
            known = explain(function, name, error, args, kwargs)
            if known is None:
                raise
        return call(*args, **known)

    return call


def public_functions(module, names: str | None = None) -> None:
    """Wrap functions of a module: those named, or all that it defines and that have no leading underscore."""
    for name, value in list(vars(module).items()):
        own = inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if own if names is None else name in names.split():
            setattr(module, name, public(value))


def public_methods(cls) -> None:
    """Wrap the methods that `cls` itself defines."""
    for name, function in list(vars(cls).items()):
        if inspect.isfunction(function) and not name.startswith("_") and name not in UNWRAPPED_METHODS:
            setattr(cls, name, public(function))


def public_constructors(namespace: dict) -> None:
    """Wrap constructors; their errors begin with the name of the class."""
    classes = {base for cls in namespace.values() if inspect.isclass(cls) for base in cls.__mro__}
    for cls in classes:
        init = vars(cls).get("__init__")
        if (
            inspect.isfunction(init)
            and init.__code__.co_argcount > 1
            and cls.__module__.startswith("tinygen.")
        ):
            if not hasattr(init, "__wrapped__"):
                cls.__init__ = _constructor(init)


def _constructor(function):
    @functools.wraps(function)
    def call(self, *args, **kwargs):
        try:
            return function(self, *args, **kwargs)
        except Exception as error:
            known = explain(function, type(self).__name__, error, (self, *args), kwargs)
            if known is None:
                raise
        return call(self, *args, **known)

    return call


def public_layers(namespace: dict) -> None:
    """Wrap the functions that layers such as ReLU and Conv2d hold as their class attribute `function`."""
    for cls in namespace.values():
        if inspect.isclass(cls) and "function" in vars(cls):
            cls.function = staticmethod(public(cls.function))
