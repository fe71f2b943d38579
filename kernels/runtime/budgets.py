"""What each compiled CUDA kernel may use, and which instructions it must contain.  `compile_report.py` checks it.

By default a kernel must not spill (keep values in memory because the registers ran out); a row that allows spills says
why.  A kernel needs a row only if more is promised: a register count that decides how many blocks share a
multiprocessor, or vector accesses that the compiler might split.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Budget:
    """Upper limits: registers per thread, bytes of static shared memory per block, bytes spilled (with the reason).
    Lower limits: how often these instructions occur in the code."""

    registers: int = 255
    shared: int = 48 << 10
    spills: int = 0
    reason: str = ""
    at_least: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.spills) != bool(self.reason):
            raise ValueError(
                "a budget that allows spills needs a reason; one that does not must not give one"
            )


# Two blocks of 256 threads share the 65536 registers of a multiprocessor; the 8 x 8 products of one k need 4 reads.
_VECTORIZED = Budget(registers=128, at_least={"FFMA": 256, "LDS.128": 16, "LDG.128": 2, "STG.128": 16})

# Four blocks of 128 threads; the 8 x 4 products of one k need 3 reads.
_REGISTER_TILED = Budget(registers=128, at_least={"FFMA": 128, "LDS.128": 12})


def _attention(registers: int, products: int) -> Budget:
    """Two of the eight steps of a chunk are unrolled: 128 multiply-adds that read 16 float4s, for each product."""
    return Budget(registers=registers, at_least={"FFMA": 128 * products, "LDS.128": 16 * products})


# A thread holds 16 or 8 floats of a row; 1024 threads share the 65536 registers of a multiprocessor.
_SIXTEEN = Budget(registers=64, at_least={"LDG.128": 8, "STG.128": 4})
_EIGHT = Budget(registers=64, at_least={"LDG.128": 4, "STG.128": 2})

_SLABS_GRAD = Budget(registers=64, at_least={"LDG.128": 8, "STG.128": 1})  # the two stores are one, in a loop

BUDGETS: dict[str, Budget] = {
    "adam_multi_tensor": Budget(registers=128, at_least={"LDG.128": 16, "STG.128": 12}),
    "attention_grad_keys_32": _attention(168, 4),
    "attention_grad_keys_64": _attention(255, 7),
    "attention_grad_keys_128": _attention(255, 13),
    "attention_grad_queries_32": _attention(168, 3),
    "attention_grad_queries_64": _attention(168, 5),
    "attention_grad_queries_128": _attention(255, 9),
    "attention_tiled_32": _attention(128, 2),
    "attention_tiled_64": _attention(128, 3),
    "attention_tiled_128": _attention(168, 5),
    "conv2d_implicit_gemm": _REGISTER_TILED,
    "conv2d_input_grad_implicit_gemm": _REGISTER_TILED,
    "conv2d_weight_grad_implicit_gemm": _REGISTER_TILED,
    "matmul_register_tiled": _REGISTER_TILED,
    "matmul_register_tiled_with_sums": _REGISTER_TILED,
    "matmul_vectorized_nn": _VECTORIZED,
    "matmul_vectorized_nt": _VECTORIZED,
    "matmul_vectorized_tn": _VECTORIZED,
    "matmul_vectorized_tt": _VECTORIZED,
    "log_softmax_block_rows": _SIXTEEN,
    "log_softmax_grad_block_rows": _SIXTEEN,
    "log_softmax_grad_warp_rows": _EIGHT,
    "log_softmax_warp_rows": _EIGHT,
    "softmax_block_rows": _SIXTEEN,
    "softmax_grad_block_rows": _SIXTEEN,
    "softmax_grad_warp_rows": _EIGHT,
    "softmax_warp_rows": _EIGHT,
    "sum_rows": Budget(registers=64, at_least={"LDG.128": 4}),
    "normalize_block_rows": _EIGHT,
    "normalize_grad_block_rows": Budget(registers=128, at_least={"LDG.128": 8, "STG.128": 6}),
    "normalize_grad_slabs": _SLABS_GRAD,
    "normalize_groups_block_rows": _SIXTEEN,
    "normalize_silu_grad_slabs": _SLABS_GRAD,
    "normalize_silu_groups_block_rows": _SIXTEEN,
    "normalize_silu_slabs": _EIGHT,
    "normalize_slabs": _EIGHT,
    "normalize_warp_rows": _EIGHT,
}
