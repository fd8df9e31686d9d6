"""Attention over the same keys and values at every tick of a pass.

W_in W_q is multiplied once: nothing lies between the two. A tick's share in the gradients of keys
and values is an outer product for each head, as large as they are; all ticks' shares together are
one matrix product over the ticks.
"""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ctm.layers.fast.gather import token
from ctm.layers.fast.linear import RepeatedLinear
from ctm.layers.fast.precision import compute_dtype
from ctm.layers.reading import Attention


class RepeatedAttention:
    """S_action -> o, as `ctm.layers.reading.Attention` computes it."""

    def __init__(self, reading: Attention) -> None:
        reader = reading.reader
        asked, query = reader.in_query, reader.query
        # W_in (W_q S + b_q) + b_in
        self.query = RepeatedLinear(
            asked.weight @ query.weight, F.linear(query.bias, asked.weight, asked.bias)
        )
        self.out = RepeatedLinear(reader.out.weight, reader.out.bias)
        self.heads = reader.heads
        self.dropout = reader.dropout if reader.training else 0.0
        keys, values = (rearrange(x, "b h s d -> (b h) s d") for x in (reading.keys, reading.values))
        self.gradients = AttentionGradients()
        self.token = token(self.gradients, keys, values)
        dtype = compute_dtype(reader.out.weight)
        self.keys, self.values = (x.detach().to(dtype).contiguous() for x in (keys, values))

    def __call__(self, sync: Float[Tensor, "batch pairs"]) -> Float[Tensor, "batch d_input"]:
        asked = rearrange(self.query(sync), "b (h d) -> (b h) 1 d", h=self.heads)
        seen = _Attend.apply(asked, self.token, self)
        return self.out(rearrange(seen, "(b h) 1 d -> b (h d)", h=self.heads))


class AttentionGradients:
    """Those of keys and values: sum over ticks of (d scores) x query and of weights x (d seen)."""

    def __init__(self) -> None:
        self.ticks: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def gathered(self) -> Sequence[Tensor]:
        if not self.ticks:
            return ()
        dscores, queries, weights, dseen = (torch.cat(x, 1) for x in zip(*self.ticks, strict=True))
        self.ticks.clear()
        return torch.bmm(dscores.mT, queries), torch.bmm(weights.mT, dseen)


class _Attend(torch.autograd.Function):
    """softmax(q k / sqrt(d)) v for one query a head; shapes (batch heads, 1, d)."""

    @staticmethod
    def forward(ctx: Any, asked: Tensor, token: Tensor, attention: RepeatedAttention) -> Tensor:
        queries = asked * asked.shape[2] ** -0.5
        weights = torch.bmm(queries, attention.keys.mT).softmax(2)
        mask = None
        if attention.dropout:
            kept = 1 - attention.dropout
            mask = torch.empty_like(weights).bernoulli_(kept).div_(kept)
        ctx.attention = attention
        ctx.save_for_backward(queries, weights, mask)
        return torch.bmm(weights if mask is None else weights * mask, attention.values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dseen: Tensor) -> tuple[Tensor | None, ...]:
        attention: RepeatedAttention = ctx.attention
        queries, weights, mask = ctx.saved_tensors
        dweights = torch.bmm(dseen, attention.values.mT)
        if mask is not None:
            dweights = dweights * mask
        dscores = torch.ops.aten._softmax_backward_data(dweights, weights, 2, weights.dtype)
        dqueries = torch.bmm(dscores, attention.keys)
        if not ctx.needs_input_grad[1]:
            return dqueries * dseen.shape[2] ** -0.5, None, None
        kept = weights if mask is None else weights * mask
        attention.gradients.ticks.append((dscores, queries, kept, dseen))
        return dqueries * dseen.shape[2] ** -0.5, dseen.new_zeros(()), None
