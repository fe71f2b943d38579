"""Multi-head attention as a layer."""

from __future__ import annotations

import math
import warnings

import numpy as np

from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.nn import functional as F
from tinygen.nn import init
from tinygen.nn.layers import Linear, new_parameter
from tinygen.nn.module import Module
from tinygen.ops.creation import zeros


class MultiheadAttention(Module):
    """Attention with `num_heads` heads in parallel  (Vaswani et al. 2017, arXiv 1706.03762, section 3.2.2).

    head_h = attention(query W_hᵠ, key W_hᵏ, value W_hᵛ); the heads are concatenated and projected: (L, N, E) ->
    (L, N, E), with batch_first (N, L, E), without a batch (L, E).  in_proj_weight (3E, E) stacks W of q, k and v.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        if add_bias_kv or add_zero_attn:
            raise refusal(
                "MultiheadAttention",
                NotImplementedError,
                "add_bias_kv and add_zero_attn are not supported; cat to key and value instead",
            )
        if kdim not in (None, embed_dim) or vdim not in (None, embed_dim):
            raise refusal(
                "MultiheadAttention",
                NotImplementedError,
                "kdim and vdim are not supported; project key and value with a Linear first",
            )
        if embed_dim <= 0 or num_heads <= 0:
            raise refusal(
                "MultiheadAttention",
                ValueError,
                f"found embed_dim {embed_dim} and num_heads {num_heads}, expected positive numbers",
            )
        if embed_dim % num_heads:
            raise refusal(
                "MultiheadAttention",
                AssertionError,
                f"found embed_dim {embed_dim}, expected a multiple of num_heads {num_heads}",
            )
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = self.vdim = embed_dim
        self.dropout, self.batch_first = dropout, batch_first
        where = dict(dtype=dtype, device=device)
        self.in_proj_weight = new_parameter(3 * embed_dim, embed_dim, **where)
        self.register_parameter("in_proj_bias", new_parameter(3 * embed_dim, **where) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, **where)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.xavier_uniform_(self.in_proj_weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights: bool = True,
        attn_mask=None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ):
        """The output, and the attention weights (N, L, T), or None without need_weights.

        Without average_attn_weights the weights are those of each head, (N, heads, L, T).  A mask is True where a key
        must not be attended to, or a number added to the score.  is_causal is a hint that attn_mask, which must be
        given, is causal; without need_weights the mask itself is then ignored.
        """
        self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise refusal(
                "MultiheadAttention", RuntimeError, "is_causal is a hint about attn_mask, found none"
            )
        single = query.ndim == 2
        if single:
            query, key, value = self._same(lambda x: x.unsqueeze(0), query, key, value)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = self._same(lambda x: x.transpose(0, 1), query, key, value)
        q, k, v = (self._heads(x) for x in self._projected(query, key, value))
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        if is_causal and key_padding_mask is None and not need_weights:
            mask = None
        else:
            is_causal = False
        y, weights = self._attend(q, k, v, mask, is_causal, need_weights)
        y = self.out_proj(y.transpose(1, 2).flatten(2))
        if need_weights and average_attn_weights:
            weights = weights.mean(1)
        if single:
            return y.squeeze(0), None if weights is None else weights.squeeze(0)
        return y if self.batch_first else y.transpose(0, 1), weights

    def _attend(self, q, k, v, mask, is_causal: bool, need_weights: bool):
        """The heads' outputs (N, heads, L, D), and their weights if needed."""
        dropout = self.dropout if self.training else 0.0
        if not need_weights:
            return F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal), None
        scores = (q * math.sqrt(1 / self.head_dim)) @ k.transpose(-2, -1)
        weights = F.dropout(F.softmax(scores if mask is None else scores + mask, -1), dropout)
        return weights @ v, weights

    def _check(self, query, key, value) -> None:
        shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            raise refusal(
                "MultiheadAttention",
                ShapeError,
                f"expected 3 dimensions, or 2 without a batch, for all; {shapes}",
            )
        if key.shape != value.shape or query.shape[-1] != self.embed_dim or key.shape[-1] != self.embed_dim:
            raise refusal(
                "MultiheadAttention",
                ShapeError,
                f"expected key and value of one shape, and all of size {self.embed_dim}; {shapes}",
            )

    @staticmethod
    def _same(change, query, key, value):
        """`change` applied to each, but only once to the same Tensor."""
        changed = {id(x): change(x) for x in (query, key, value)}
        return changed[id(query)], changed[id(key)], changed[id(value)]

    def _projected(self, query, key, value):
        """Queries, keys and values of all heads, (N, L, E) each; for self-attention, one matrix product."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if query is key and key is value:
            return F.linear(query, weight, bias).chunk(3, -1)
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        return [F.linear(x, w, b) for x, w, b in zip((query, key, value), weight.chunk(3), biases)]

    def _heads(self, x):
        """(N, L, E) -> (N, heads, L, D)"""
        return x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _mask(self, attn_mask, key_padding_mask, q, k):
        """The sum of both masks, to be added to the scores, broadcastable to (N, heads, L, T); or None."""
        (N, H, L, _), T = q.shape, k.shape[-2]
        given = {"attn_mask": attn_mask, "key_padding_mask": key_padding_mask}
        given = {name: mask for name, mask in given.items() if mask is not None}
        if len({mask.dtype for mask in given.values()}) > 1:
            warnings.warn(
                "MultiheadAttention: attn_mask and key_padding_mask of different dtypes are deprecated",
                stacklevel=4,
            )
        if key_padding_mask is not None and key_padding_mask.shape != (N, T):
            raise refusal(
                "MultiheadAttention",
                ShapeError,
                f"found key_padding_mask {key_padding_mask.shape}, expected {(N, T)}",
            )
        if attn_mask is not None and attn_mask.shape not in ((L, T), (N * H, L, T)):
            raise refusal(
                "MultiheadAttention",
                ShapeError,
                f"found attn_mask {attn_mask.shape}, expected {(L, T)} or {(N * H, L, T)}",
            )
        total = None
        for name, mask in given.items():
            mask = self._additive(name, mask, q.dtype)
            if name == "key_padding_mask":
                mask = mask.reshape(N, 1, 1, T)
            elif mask.ndim == 3:
                mask = mask.reshape(N, H, L, T)
            total = mask if total is None else total + mask
        return total

    @staticmethod
    def _additive(name: str, mask, dtype):
        """A mask as numbers to add to the scores: True becomes -inf."""
        if mask.is_floating_point():
            return mask
        if mask.dtype != np.bool_:
            raise refusal(
                "MultiheadAttention",
                AssertionError,
                f"found {name} of dtype {mask.dtype}, expected bool or floating",
            )
        return zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
