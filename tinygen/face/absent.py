"""Names of PyTorch that tinygen does not have: the error says what there is instead."""

from __future__ import annotations

import inspect

from tinygen.engine.tensor import Tensor

_NUMPYS = "use NumPy's, numpy.linalg, on x.detach().numpy()"
INSTEAD = {
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


def explain_absent_names(namespaces: dict) -> None:
    """Give modules a `__getattr__` whose AttributeError names what there is instead.

    namespaces   the `__dict__` of each module, by its name; hints are looked up in all of them
    """
    for module, namespace in namespaces.items():
        namespace["__getattr__"] = _getattr(module, namespaces)


def _getattr(module: str, namespaces: dict):
    def __getattr__(name: str):
        if name.startswith("_"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise AttributeError(f"{module} does not have {name!r}{_hint(name, module, namespaces)}")

    return __getattr__


def _hint(name: str, module: str, namespaces: dict) -> str:
    """Where tinygen has this name, what to use instead, or names that are spelled alike; "" if nothing fits."""
    for place in ("tinygen", "tinygen.nn", "tinygen.nn.functional", "tinygen.optim"):
        other = namespaces[place]
        if place != module and name in other and not inspect.ismodule(other[name]):
            return f"; there is {place}.{name}"
    if name in vars(Tensor):
        return f"; there is the method x.{name}(…)"
    if name in INSTEAD:
        return f"; {INSTEAD[name]}"
    import difflib  # only here: it takes long to import

    known = [n for n, v in namespaces[module].items() if not n.startswith("_") and not inspect.ismodule(v)]

    close = difflib.get_close_matches(name, known, 3, 0.8)
    if not close:  # Convolution2d
        close = [n for n in known if len(n) > 4 and n[:3] + n[-2:] == name[:3] + name[-2:]]
    return f"; the closest names are {', '.join(close[:3])}" if close else ""
