"""What an argument may be, by the name of its parameter: PyTorch uses most names consistently.

Where a name means something else, the operation declares it (ops/declaration.py).
"""

from __future__ import annotations

from tinygen.ops.arguments import (
    BOOL,
    INT,
    INTS,
    NUMBER,
    OPERAND,
    OPTIONAL_TENSOR,
    TENSOR,
    TENSOR_OR_TENSORS,
    TENSORS,
    Kind,
)

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
_OF_BACKWARD = {"tensors": TENSOR_OR_TENSORS}  # of autograd.backward, which is not an operation


def kind_of(function, name: str) -> Kind | None:
    """What the argument `name` of a function may be, if that is known."""
    takes = _OF_BACKWARD if function.__name__ == "backward" else getattr(function, "takes", {})
    return takes.get(name, _KINDS.get(name))


def mismatch(function, name: str, value) -> str | None:
    """What was expected of this argument, where `value` is something else."""
    kind = kind_of(function, name)
    return None if kind is None or kind.accepts(value) else kind.words
