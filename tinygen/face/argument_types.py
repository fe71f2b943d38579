"""What an argument may be, by the name of its parameter: PyTorch's names mean the same in every function."""

from __future__ import annotations

import numpy as np

from tinygen.engine.tensor import Tensor


def _is_tensor(x) -> bool:
    return isinstance(x, Tensor)


def _is_int(x) -> bool:
    """A whole number; a bool is none, a Tensor with one is."""
    if isinstance(x, (int, np.integer)):
        return not isinstance(x, bool)
    return isinstance(x, Tensor) and x.ndim == 0 and x.dtype.kind in "iu"


def _is_number(x) -> bool:
    return isinstance(x, (int, float, np.number)) or (isinstance(x, Tensor) and x.ndim == 0)


def _is_ints(x) -> bool:
    return _is_int(x) or isinstance(x, (list, tuple)) or (isinstance(x, Tensor) and x.dtype.kind in "iu")


def _is_bool(x) -> bool:
    return isinstance(x, (bool, np.bool_))


TENSOR = "a Tensor", _is_tensor
OPTIONAL_TENSOR = "a Tensor or None", lambda x: x is None or _is_tensor(x)
OPERAND = "a Tensor or a number", lambda x: _is_tensor(x) or isinstance(x, (int, float, np.generic))
INT = "a whole number", _is_int
INTS = "whole numbers", _is_ints
NUMBER = "a number", _is_number
BOOL = "a bool", _is_bool
TENSORS = "Tensors in a list or tuple", lambda x: isinstance(x, (list, tuple))

_BY_KIND = {
    TENSOR: """input x x1 x2 tensor mask index target mat1 mat2 batch1 batch2 vec vec1 vec2 tensor1 tensor2 src query
        key condition""",
    OPTIONAL_TENSOR: "weight bias running_mean running_var pos_weight attn_mask",
    OPERAND: "other exponent min max",
    INT: """dim0 dim1 dim2 start_dim end_dim start length chunks groups num_groups diagonal num_classes upscale_factor
        downscale_factor ignore_index k padding_idx steps n offset num_samples""",
    INTS: """dim dims destination size sizes shape kernel_size stride padding dilation output_padding output_size
        normalized_shape split_size split_size_or_sections repeats shifts pad""",
    NUMBER: """eps momentum negative_slope beta threshold label_smoothing alpha rtol atol fill_value p delta tau
        nan posinf neginf min_val max_val scale""",
    BOOL: """keepdim training ceil_mode count_include_pad return_indices unbiased descending sorted largest stable full
        log_target equal_nan as_tuple is_causal requires_grad antialias use_input_stats create_graph
        replacement return_inverse return_counts""",
    TENSORS: "tensors",
}
_KINDS = {name: kind for kind, names in _BY_KIND.items() for name in names.split()}

# where a name means something else
DIM_OR_TENSOR = "a whole number or a Tensor", lambda x: _is_int(x) or _is_tensor(x)
INTS_OR_WORD = "whole numbers, 'same' or 'valid'", lambda x: isinstance(x, str) or _is_ints(x)
INTS_OR_DTYPE = "whole numbers or a dtype", lambda x: isinstance(x, (type, np.dtype)) or _is_ints(x)
INTS_OR_BOOL = "whole numbers", lambda x: _is_bool(x) or _is_ints(x)  # var(unbiased) is an overload
NUMBERS = "numbers", lambda x: _is_number(x) or isinstance(x, (list, tuple))
TENSOR_OR_TENSORS = "Tensors", lambda x: _is_tensor(x) or isinstance(x, (list, tuple))
NUMBER_OR_WORD = "a number or 'fro'", lambda x: x is None or isinstance(x, str) or _is_number(x)
WORD = "a string", lambda x: isinstance(x, str)


def _of(kind, names: str) -> dict:
    return dict.fromkeys(names.split(), kind)


_ARITHMETIC = _of(OPERAND, "add sub mul div floor_divide remainder pow where fmod true_divide")
_OF = {
    "dim": _of(
        INT,
        """softmax log_softmax softmin cumsum cumprod gather scatter scatter_add index_select index_add
        index_fill narrow select split chunk unbind cat stack unsqueeze unflatten argmax argmin sort argsort topk
        glu prod cosine_similarity""",
    )
    | _of(DIM_OR_TENSOR, "max min")
    | _of(INTS_OR_BOOL, "var std var_mean std_mean"),
    "input": _ARITHMETIC,
    "x": _ARITHMETIC,
    "other": _of(TENSOR, "isclose allclose equal dot matmul expand_as view_as logaddexp maximum minimum"),
    "padding": _of(INTS_OR_WORD, "conv1d conv2d conv3d"),
    "start": _of(NUMBER, "arange linspace"),
    "p": _of(NUMBER_OR_WORD, "norm normalize") | _of(OPERAND, "bernoulli_"),
    "weight": _of(OPERAND, "lerp lerp_"),
    "index": _of(INT, "select"),
    "sizes": _of(INTS_OR_DTYPE, "view"),
    "tensors": _of(TENSOR_OR_TENSORS, "meshgrid broadcast_tensors backward"),
    "src": _of(OPERAND, "scatter scatter_"),
    "end": _of(TENSOR, "lerp") | _of(NUMBER, "arange linspace"),
    "value": _of(OPERAND, "masked_fill masked_fill_ index_fill index_fill_")
    | _of(NUMBER, "pad addcmul addcdiv"),
    "rounding_mode": _of(WORD, "div"),
    "approximate": _of(WORD, "gelu"),
    "indexing": _of(WORD, "meshgrid"),
    "source": _of(TENSOR, "index_add index_copy") | _of(INTS, "movedim moveaxis"),
    "mode": _of(WORD, "interpolate pad"),
    "scale_factor": _of(NUMBERS, "interpolate"),
}


def mismatch(function: str, name: str, value) -> str | None:
    """What was expected of this argument, where `value` is something else."""
    kind = _OF.get(name, {}).get(function, _KINDS.get(name))
    if kind is None or kind[1](value):
        return None
    return kind[0]
