"""Bad calls raise what PyTorch raises and say what was wrong; none passes silently."""

import re
import warnings

import numpy as np
import pytest
from support.wrong_calls import Call, mutations, recorded

import tinygen
from tinygen.engine.tensor import Tensor
from tinygen.nn import functional

try:
    import torch
except ImportError:  # TINYGEN_REQUIRE_TORCH=1 makes this an error, in conftest.py
    torch = None

# results that are random or uninitialized
RANDOM = """rand randn randint randperm bernoulli bernoulli_ normal normal_ uniform_ exponential_ multinomial dropout
    dropout2d rand_like randn_like randint_like empty empty_like gumbel_softmax""".split()
# which of these PyTorch raises depends on whether it checks dims, sizes or indices first
FITTING = (IndexError, RuntimeError, ValueError)
SHAPES = ("one dimension more", "without dimensions", "flat", "empty", "one more along", "100 in it")
# calls: why they differ on purpose.  PyTorch and tinygen treat these differently, each with a clear message
DIFFERENT = {
    r"\w*\.?(sum|mean|max|min|prod)\(.*\[(without dim|.*: None for a (number|Tensor))\]": "no dim, or None, is "
    "all of them in every reduction, as in PyTorch's amax and any",
    r"\w*\.?(std|var|std_mean|var_mean)\(.*(True for a number|a list).*": "a bool is the overload var(x, unbiased)",
    r"\w*\.?logsumexp\(.*(list|tuple)\(\).*": "an empty dim is all of them (PyTorch fails inside)",
    r"\w*\.?bernoulli\(.*None\).*": "None is the default",
    r"(arange\(\)|arange\(.*None|eye\(2, None|randint(_like)?\(.*(None|without)|normal\((std|mean)=).*":
    "PyTorch has an overload for each number of arguments; here those left out, or None, are defaults",
    r"(Tensor\.)?scatter\(.*src=1.5.*": "a number may be given by name as by position",
    r"bitwise_\w+\(1.5, .*": "PyTorch takes the number as a Tensor and then refuses its dtype",
    r"\w*\.?topk\(.*(dtype|one more along).*": "which of equal elements comes first is not defined; here the first",
    r"(F\.)?pixel_unshuffle\(float64\[0.*": "PyTorch returns an empty input in its old shape",
    r"F\.instance_norm\(float64\[0.*": "PyTorch fails inside on an empty batch",
    r"F\.embedding\(.*, -?1(00)?\).*": "PyTorch asserts that padding_idx is a row; IndexError here",
    r"F\.group_norm(_silu)?\(.*\], 0[,)].*": "PyTorch divides by zero",
    r"F\.dropout\w*\(.*nan.*": "ValueError, as for every other p that is no probability",
    r"F\.gaussian_nll_loss\(.*(True, None|True, 1e-06, ).*": "TypeError of eps and ValueError of reduction, as in "
    "every other loss (PyTorch adds a string and None)",
    r"F\.interpolate\(.*mode=(None|3|list).*": "TypeError of what is no string",
    r"F\.adaptive_avg_pool2d\(.*\{\}\).*": "TypeError of a dict as a size",
    r"F\.pad\(float64\[(0|3, 4\], tuple\(\)).*": "no padding, or padding of nothing, is allowed in every mode",
    r"F\.huber_loss\(.*\[argument 0: dtype float32\]": "a float64 weight does not change the dtype of the loss",
    r"(Tensor\.)?repeat_interleave\(.*": "of repeats alone: checked by value; PyTorch's method has no such form",
    r"tensordot\(.*": "TypeError of dims that are no whole numbers",
    r"einsum\(.*": "PyTorch looks at operands in another order",
    r"(Tensor\.)?unflatten\(.*None\).*": "TypeError; PyTorch's method RuntimeError",
    r"(Tensor\.)?index_put\(.*dtype uint8 in it.*": "IndexError, as for every index that is no integer or mask",
}  # fmt: skip
# calls that PyTorch accepts and tinygen refuses, saying why; never the other way round
STRICTER = {
    r"\w*\.?(max|avg)_pool.d\(u?int.*": "integers have no pooling kernel; use x.float()",
    r"F\.max_pool.d\(.*return_indices.*": "return_indices is a bool",
    r"F\.(adaptive_avg_pool2d|interpolate)\(float64\[1, 2, 3.*": "images have three or four dimensions",
    r"F\.(batch_norm|linear|conv_transpose2d)\(.*(one dimension more|without dimensions).*": "parameters have one",
    r"(F\.)?conv_transpose.d\(.*argument 2: dtype.*": "bias has the dtype of input, as in conv2d",
    r"F\.cross_entropy\(.*label_smoothing.*": "label_smoothing is from 0 to 1",
    r"F\.dropout2d\(.*": "expects (N, C, …) of a floating dtype",
    r"F\.gaussian_nll_loss\(.*": "floating Tensors, and full is a bool",
    r"F\.(huber_loss|mse_loss|smooth_l1_loss)\(.*bool.*": "a difference of bools is no number",
    r"F\.nll_loss\(float64\[3\].*": "one class number for scores (C,)",
    r"F\.hardtanh\(.*": "min_val and max_val must be numbers of the dtype",
    r"F\.normalize\(.*(1, |dim=)None\).*": "dim is a number",
    r"(Tensor\.)?bincount\(.*empty.*": "one weight for every element, also of none",
    r"(Tensor\.)?clamp\(uint8.*": "-1 is no uint8",
    r"(Tensor\.)?(gather|scatter_add|index_add)\(.*": "an empty index has integers and a Tensor's rank too",
    r"(Tensor\.)?index_put\(.*": "values have the dtype of input",
    r"(F\.)?rms_norm\(.*": "weight has the dtype of input, as in layer_norm",
    r"F\.max_pool1d\(.*tuple\(\).*": "a stride is a number or None",
    r"adaptive_avg_pool1d\(float64\[0.*": "not of nothing, as adaptive_avg_pool2d",
    r"F\.scaled_dot_product_attention\(.*empty.*": "a batch of nothing does not fit a batch of two",
    r"meshgrid\(.*None.*": "indexing is a string",
}  # fmt: skip
CALLS = recorded()
CALLS += [Call(name, ([[1, 2], [3, 4]],), {}) for name in ("tensor", "as_tensor")]
BY_NAME = {name: [c for c in CALLS if c.name == name] for name in sorted({c.name for c in CALLS})}


def ours(value):
    if isinstance(value, np.ndarray):
        return Tensor._wrap(value.copy())
    return type(value)(ours(v) for v in value) if type(value) in (list, tuple) else value


def theirs(value):
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    if isinstance(value, np.dtype):
        return getattr(torch, value.name)
    return type(value)(theirs(v) for v in value) if type(value) in (list, tuple) else value


def run(call: Call, namespace, F, tensor, make):
    """(the results as arrays, None), or (None, the error)."""
    prefix, _, name = call.name.rpartition(".")
    place = {"": namespace, "F": F, "Tensor": tensor}[prefix]
    place = place if hasattr(place, name) else F  # one_hot
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = getattr(place, name)(
                *map(make, call.args), **{k: make(v) for k, v in call.kwargs.items()}
            )
    except Exception as error:
        return None, error
    return arrays(result), None


def run_ours(call: Call):
    return run(call, tinygen, functional, Tensor, ours)


class Composed:
    """torch.nn.functional, and replacements for operations that PyTorch does not have."""

    def __getattr__(self, name):
        return getattr(torch.nn.functional, name)

    def group_norm_silu(self, *args, **kwargs):
        return torch.nn.functional.silu(torch.nn.functional.group_norm(*args, **kwargs))


def run_theirs(call: Call):
    return run(call, torch, Composed(), torch.Tensor, theirs)


def arrays(result) -> list:
    if isinstance(result, (tuple, list)):
        return [a for r in result for a in arrays(r)]
    if isinstance(result, Tensor):
        return [result.detach().numpy()]
    return [result.detach().numpy(force=True) if isinstance(result, torch.Tensor) else np.asarray(result)]


def same(found: list, expected: list, random: bool) -> bool:
    if len(found) != len(expected):
        return False
    for a, b in zip(found, expected):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not random and not np.allclose(a, b, 1e-5, 1e-6, equal_nan=True):
            return False
    return True


def verdict(call: Call) -> str | None:
    """What is wrong with tinygen's reaction to this call, or None."""
    found, error = run_ours(call)
    if expected_of(call, DIFFERENT):
        return error and explained(call, error)
    expected, refused = run_theirs(call)
    if isinstance(error, NotImplementedError) and not isinstance(error, TypeError):
        return explained(call, error)  # not supported
    if refused is None:
        if error is not None:
            if expected_of(call, STRICTER):
                return explained(call, error)
            return f"PyTorch takes it, ours raises {type(error).__name__}: {error}"
        if not same(found, expected, call.name.rpartition(".")[2] in RANDOM):
            return f"found {describe(found)}, PyTorch {describe(expected)}"
        return None
    if error is None:
        return f"passes silently, PyTorch raises {type(refused).__name__}: {str(refused).splitlines()[:1]}"
    kinds = kind = next(k for k in type(refused).__mro__ if k.__module__ == "builtins")
    if kind is AttributeError:  # PyTorch's Python code fails on a list: it has no attribute 'size'
        kinds = TypeError
    elif kind in FITTING and any(what in call.what for what in SHAPES):
        kinds = FITTING
    if not isinstance(error, kinds):
        return f"raises {type(error).__name__}: {error}; PyTorch {kind.__name__}: {str(refused).splitlines()[:1]}"
    return explained(call, error)


def expected_of(call: Call, table: dict) -> bool:
    return any(re.fullmatch(pattern, str(call)) for pattern in table)


def explained(call: Call, error: Exception) -> str | None:
    """Whether the message names the operation and mentions an argument."""
    prefix, _, name = call.name.rpartition(".")
    own = getattr({"": tinygen, "F": functional, "Tensor": Tensor}[prefix], name)
    text = str(error)
    if not text.startswith((f"{name}:", f"{name}()", f"{own.__name__}:", f"{getattr(own, 'name', name)}:")):
        return f"the message does not begin with {name}: {text}"
    if not re.search(r"found|missing|unknown|is an? |is None|[0-9]|unexpected", text.removeprefix(name)):
        return f"the message does not say what was found: {text}"
    return None


def describe(found) -> str:
    return ", ".join(f"{a.dtype}{list(a.shape)} {a.ravel()[:3].tolist()}" for a in found)[:150]


@pytest.mark.skipif(torch is None, reason="parity needs torch")
@pytest.mark.parametrize("name", BY_NAME)
def test_wrong_calls(name):
    wrong = []
    for call in BY_NAME[name]:
        assert run_ours(call)[1] is None, f"{call} is no valid call"
        wrong += [f"{m}\n    {v}" for m in mutations(call) if (v := verdict(m)) is not None]
    assert not wrong, f"{len(wrong)} of them:\n" + "\n".join(wrong[:20])
