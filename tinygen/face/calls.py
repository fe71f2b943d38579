"""The boundary for callers: what a call that does not fit is told.

`public(function)` is what the package exports of a function written with operations.  While all is well it adds a
Python call; when the function fails, the error gets PyTorch's type, the name of the operation, what was found and what
was expected, and keywords that PyTorch has and we do not are accepted at their default or refused with what to use.
"""

from __future__ import annotations

import functools
import inspect

import numpy as np

from tinygen.engine import devices
from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.tensor import Tensor
from tinygen.face.argument_types import mismatch

# PyTorch's keywords without a meaning here: the values that change nothing, and what to do instead of the others
ELSEWHERE = {
    "out": ((None,), "assign the result instead: y = …, or y.copy_(…)"),
    "layout": ((None,), "every Tensor is dense; leave layout out"),
    "memory_format": ((None,), "every Tensor is in row-major order; leave memory_format out"),
    "pin_memory": ((False, None), "memory is the CPU's; leave pin_memory out"),
    "non_blocking": ((False, True), ""),
    "generator": ((None,), "use tinygen.manual_seed(seed), or draw from a tinygen.random.Generator"),
    "names": ((None,), "name dimensions by number"),
    "inplace": ((False,), "write x = f(x)"),
    "size_average": ((None,), "use reduction='mean' or 'sum'"),
    "reduce": ((None,), "use reduction='none'"),
    "device": ((None,), "use x.to(device) before, or on the result"),
    "dtype": ((None,), "use x.to(dtype) before or after"),
    "requires_grad": ((False,), "call requires_grad_() on the result"),
    "_stacklevel": ((3, 5), ""),
    "decimals": ((0,), "multiply by 10 ** decimals before and divide after"),
    "foreach": ((None, False, True), ""),
    "sparse_grad": ((False,), "every gradient is dense; leave sparse_grad out"),
    "out_dtype": ((None,), "use x.to(dtype) before"),
    "max_norm": ((None,), "scale the rows of weight before"),
    "norm_type": ((2.0,), "it belongs to max_norm, which is not supported"),
    "scale_grad_by_freq": ((False,), "divide the gradient by the counts"),
    "sparse": ((False,), "every gradient is dense; leave sparse out"),
    "is_grads_batched": ((False,), "call grad once for each"),
    "materialize_grads": ((False,), "use zeros_like where allow_unused gives None"),
    "nondet_tol": ((0.0,), "every operation is deterministic; leave nondet_tol out"),
    "gen_non_contig_grad_outputs": ((False,), "leave gen_non_contig_grad_outputs out"),
    "check_undefined_grad": ((True, False), ""),
    "check_grad_dtypes": ((False, True), ""),
    "check_backward_ad": ((True,), "there is no other check"),
    "check_rev_over_rev": ((True,), "there is no other check"),
    "check_batched_grad": ((False,), "leave check_batched_grad out"),
    "check_batched_forward_grad": ((False,), "leave check_batched_forward_grad out"),
    "check_forward_ad": ((False,), "only reverse mode exists"),
    "check_fwd_over_rev": ((False,), "only reverse mode exists"),
    "fast_mode": ((False,), "the check is always complete"),
    "masked": ((None, False), "there are no masked Tensors"),
    "map_location": ((None, "cpu"), "what is loaded is on the CPU: use net.to(device) after"),
    "weights_only": ((None, True), "files are safetensors and hold nothing else; pickles are refused"),
    "mmap": ((None, False), "leave mmap out"),
    "pickle_module": ((None,), "files are safetensors"),
    "pickle_protocol": ((2,), "files are safetensors"),
}
SYNONYMS = {
    "axis": "dim",
    "axes": "dims",
    "keepdims": "keepdim",
    "axis0": "dim0",
    "axis1": "dim1",
}  # NumPy's names, which PyTorch takes too

_REWRITTEN = (AttributeError, TypeError, ValueError, IndexError, KeyError, RuntimeError, ArithmeticError)


def refuse_elsewhere(operation: str, name: str, value) -> None:
    """Accept PyTorch's keyword `name` at a value that changes nothing, else say what to use instead."""
    accepted, instead = ELSEWHERE[name]
    if not any(
        value is v or (isinstance(v, str | float | int) and type(value) is type(v) and value == v)
        for v in accepted
    ):
        raise NotImplementedError(f"{operation}: {name}={described(value)} is not supported; {instead}")


def described(value) -> str:
    """An argument in a few words: a Tensor's dtype and shape, a number itself."""
    if isinstance(value, (Tensor, np.ndarray)):
        place = f" on {value.device}" if isinstance(value, Tensor) and value.is_cuda else ""
        return f"{type(value).__name__} {value.dtype} {tuple(value.shape)}{place}"
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        return f"{type(value).__name__} of {', '.join(described(v) for v in value)}"
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, np.generic, np.dtype)):
        text = repr(value)
        return text if len(text) < 60 else f"{type(value).__name__} {text[:50]}…"
    return type(value).__name__


def expect_tensor(operation: str, name: str, value) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{operation}: {name} is a {type(value).__name__}, expected a Tensor")


def public(function, home: str | None = None):
    """`function` as the package exports it, the same object every time.

    home   the module it is exported by, where pickle looks for it (default: the one it is written in)
    Types of arguments are checked once for each combination of them: later calls find theirs in a set.
    """
    if not inspect.isfunction(function):
        return function  # a Primitive says all this itself
    if function not in _exported:
        _exported[function] = _public(function)
        _exported[function].__module__ = home or function.__module__
    return _exported[function]


_exported: dict = {}


def _public(function):
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
            known = _explain(function, name, error, args, kwargs)
            if known is None:
                raise
        return call(*args, **known)

    return call


def check_types(function, name: str, args: tuple, kwargs: dict) -> None:
    """Refuse what PyTorch refuses by its type, by what a parameter of that name may be (`argument_types`)."""
    signature = inspect.signature(function)
    arguments = signature.bind(*args, **kwargs).arguments
    several = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL), None)
    several = None if several == "args" else several  # of a function that takes anything
    if (
        several
        and several not in arguments
        and {k for k, v in arguments.items() if v is not None} <= {"input"}
    ):
        raise TypeError(f"{name}: found no {several}; {_found_and_expected(name, signature, args, kwargs)}")
    for key, value in arguments.items():
        parameter = signature.parameters[key]
        if value is parameter.default or parameter.kind is parameter.VAR_KEYWORD:
            continue
        values = (
            value[:1] if parameter.kind is parameter.VAR_POSITIONAL else (value,)
        )  # PyTorch looks at the first
        for item in values:
            expected = mismatch(name, key, item)
            if expected:
                raise TypeError(
                    f"{name}: {key} is {_with_article(item)}, expected {expected}; "
                    + _found_and_expected(name, signature, args, kwargs)
                )


def _with_article(value) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _explain(function, name: str, error: Exception, args: tuple, kwargs: dict):
    """Raise what the caller should read; None where `error` is that already, or the keywords to call again with."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as mismatch:
        known = _known_keywords(name, signature, kwargs)
        if known.keys() != kwargs.keys():
            return known
        raise TypeError(f"{name}: {mismatch}; {_found_and_expected(name, signature, args, kwargs)}") from None
    if devices.in_use and isinstance(error, (TypeError, ValueError, MemoryError, devices.DeviceError)):
        _explain_devices(name, error, signature.bind(*args, **kwargs).arguments)
    known = type(error).__module__.startswith(("builtins", "numpy", DtypeError.__module__))
    if not isinstance(error, _REWRITTEN) or not known:
        return None  # an error with a type of its own says what it is
    told = str(error).startswith(
        (f"{name}:", "backward of ", "backward through ")
    )  # all that there is to say
    if told and not isinstance(error, (AttributeError, KeyError)):
        return None
    raise _kind(error)(
        f"{name}: {_what(error, signature, args, kwargs)}; {_found_and_expected(name, signature, args, kwargs)}"
    ) from error


def _explain_devices(name: str, error: Exception, arguments: dict) -> None:
    """Raise what the caller should read where Tensors of two devices met, or a GPU's memory was full."""
    found = {}
    for key, value in arguments.items():
        several = value if isinstance(value, (list, tuple)) else [value]
        for i, x in enumerate(several):
            if isinstance(x, Tensor):
                found[key if several is not value else f"{key}[{i}]"] = x
    if isinstance(error, MemoryError):
        raise devices.out_of_memory(name, error) from error
    if len({x.device for x in found.values()}) > 1:
        places = ", ".join(f"{key} {x.shape} on {x.device}" for key, x in found.items())
        raise devices.DeviceError(f"{name}: found {places}, expected one device; use x.to(device)") from error


def _known_keywords(name: str, signature, kwargs: dict) -> dict:
    """Keywords in the function's own names, without those that change nothing."""
    known = {}
    for key, value in kwargs.items():
        if key not in signature.parameters and SYNONYMS.get(key) in signature.parameters:
            known[SYNONYMS[key]] = value
        elif key not in signature.parameters and key in ELSEWHERE:
            refuse_elsewhere(name, key, value)
        else:
            known[key] = value
    return known


def _kind(error: Exception) -> type:
    """The type PyTorch would raise; NumPy's own types cannot be made anew."""
    if isinstance(error, (AttributeError, KeyError)):
        return TypeError
    kinds = (
        ShapeError,
        DtypeError,
        NotImplementedError,
        OverflowError,
        ZeroDivisionError,
        IndexError,
        TypeError,
        RuntimeError,
    )
    return next((kind for kind in kinds if isinstance(error, kind)), ShapeError)


def _what(error: Exception, signature, args, kwargs) -> str:
    """An attribute that was not there mostly means an argument that is no Tensor."""
    if isinstance(error, AttributeError) and hasattr(error, "obj"):
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if value is error.obj and name != "self" and not isinstance(value, Tensor):
                return f"{name} is a {type(value).__name__}, expected a Tensor"
    return str(error)


def _found_and_expected(name: str, signature, args, kwargs) -> str:
    args = args[1:] if "self" in signature.parameters else args
    found = [described(a) for a in args] + [f"{key}={described(a)}" for key, a in kwargs.items()]
    parameters = [
        p.replace(annotation=inspect.Parameter.empty)
        for n, p in signature.parameters.items()
        if n != "self" and not n.startswith("_")
    ]
    expected = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return f"found {name}({', '.join(found)}), expected {name}{expected}"


def absent(module: str, namespace: dict):
    """A module's `__getattr__`: an AttributeError that names what there is instead."""

    def __getattr__(name: str):
        if name.startswith("_"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise AttributeError(f"{module} does not have {name!r}{_hint(name, namespace)}")

    return __getattr__


_NUMPYS = "use NumPy's, numpy.linalg, on x.detach().numpy()"
INSTEAD = {  # names of PyTorch that are not here: what to use
    **dict.fromkeys(
        "linalg inverse det slogdet cholesky qr svd eig eigh solve lstsq pinverse".split(), _NUMPYS
    ),
    "fft": "use numpy.fft on x.detach().numpy()",
    **dict.fromkeys("hstack vstack dstack column_stack row_stack".split(), "use cat or stack"),
    "tile": "use x.repeat(…)",
    **dict.fromkeys(
        "bfloat16 complex64 complex128 cfloat".split(), "NumPy's dtypes are used: float16, float32, float64"
    ),
    "Generator": "use tinygen.manual_seed(seed), or tinygen.random.Generator(seed)",
    **dict.fromkeys("get_rng_state set_rng_state".split(), "use tinygen.random.get_state and set_state"),
    "initial_seed": "use tinygen.random.get_state",
    **dict.fromkeys(
        "jit compile amp onnx distributed multiprocessing".split(), "leave it out: nothing takes its place"
    ),
    "sparse": "every Tensor is dense",
    "utils": "batches are in tinygen.data, checkpoints in tinygen.save and tinygen.load",
    **dict.fromkeys("median quantile mode kthvalue".split(), "use x.sort()"),
    **dict.fromkeys("RNN LSTM GRU RNNCell LSTMCell GRUCell".split(), "write the step with Linear"),
    **dict.fromkeys(
        "Transformer TransformerEncoder TransformerEncoderLayer TransformerDecoder TransformerDecoderLayer".split(),
        "write the block with MultiheadAttention, LayerNorm and Linear",
    ),
    **dict.fromkeys("DataParallel parallel SyncBatchNorm".split(), "one device is used"),
}


def _hint(name: str, namespace: dict) -> str:
    """Where PyTorch's name is here, what takes its place, or which names are spelt nearly so; "" if none does."""
    import difflib

    import tinygen

    places = {"tinygen": tinygen, "tinygen.nn": tinygen.nn, "tinygen.nn.functional": tinygen.nn.functional}
    for place, other in {**places, "tinygen.optim": tinygen.optim}.items():
        if name in vars(other) and vars(other) is not namespace and not inspect.ismodule(vars(other)[name]):
            return f"; there is {place}.{name}"
    if name in vars(Tensor):
        return f"; there is the method x.{name}(…)"
    if name in INSTEAD:
        return f"; {INSTEAD[name]}"
    known = [n for n, value in namespace.items() if not n.startswith("_") and not inspect.ismodule(value)]
    close = difflib.get_close_matches(name, known, 3, 0.8)
    close = close or [
        n for n in known if len(n) > 4 and n[:3] + n[-2:] == name[:3] + name[-2:]
    ]  # Convolution2d
    return f"; the closest names are {', '.join(close[:3])}" if close else ""


ASKED_ALL_THE_TIME = {
    "dim",
    "numel",
    "is_floating_point",
    "detach",
    "to_numpy",
}  # and without arguments to get wrong


def public_methods(cls) -> None:
    """`public` for the methods that `cls` defines itself."""
    for name, function in list(vars(cls).items()):
        own = inspect.isfunction(function) and not hasattr(function, "__wrapped__")
        if own and not name.startswith("_") and name not in ASKED_ALL_THE_TIME:
            setattr(cls, name, public(function))


def public_constructors(namespace: dict) -> None:
    """Errors of constructors begin with the name of the class that is made."""
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
            known = _explain(function, type(self).__name__, error, (self, *args), kwargs)
            if known is None:
                raise
        return call(self, *args, **known)

    return call


def public_functions(module, names: str | None = None) -> None:
    """`public` for functions of a module; by default for all that it defines and that have no leading _."""
    for name, value in list(vars(module).items()):
        own = inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if own if names is None else name in names.split():
            setattr(module, name, public(value))
