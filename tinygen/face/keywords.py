"""PyTorch's keywords that have no effect here, and NumPy's names for some that have one."""

from __future__ import annotations

import inspect

from tinygen.engine.errors import refusal
from tinygen.face.describe import described

# keyword: the values that are accepted because they change nothing, and what to do instead of passing another one
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
# NumPy's names, which PyTorch accepts, too
SYNONYMS = {"axis": "dim", "axes": "dims", "keepdims": "keepdim", "axis0": "dim0", "axis1": "dim1"}


def refuse_elsewhere(operation: str, name: str, value) -> None:
    """Accept PyTorch's keyword `name` if its value changes nothing; otherwise say what to use instead."""
    accepted, instead = ELSEWHERE[name]
    if not any(
        value is v or (isinstance(v, str | float | int) and type(value) is type(v) and value == v)
        for v in accepted
    ):
        raise refusal(
            operation, NotImplementedError, f"{name}={described(value)} is not supported; {instead}"
        )


def known_keywords(name: str, signature: inspect.Signature, kwargs: dict) -> dict:
    """The keywords under the function's own names, without those that change nothing."""
    known = {}
    for key, value in kwargs.items():
        if key not in signature.parameters and SYNONYMS.get(key) in signature.parameters:
            known[SYNONYMS[key]] = value
        elif key not in signature.parameters and key in ELSEWHERE:
            refuse_elsewhere(name, key, value)
        else:
            known[key] = value
    return known
