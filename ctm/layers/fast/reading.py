"""Attention over the same keys and values at every tick of a pass.

W_in W_q / sqrt(d_head) is multiplied once: nothing lies between the three. With one query a head
every product is a sum over columns or rows of K and V; tokens lie innermost, where a vector
register is filled whatever the width of a head. A tick's share in the gradients of keys and values
is an outer product for each head, as large as they are; all ticks' shares together are one matrix
product over the ticks.
"""

# once_differentiable hides the names of backward's arguments
# pyright: reportIncompatibleMethodOverride=false

from copy import copy
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ctm.layers.fast.dropout import Dropout
from ctm.layers.fast.gather import WeightGradient, token
from ctm.layers.fast.linear import RepeatedLinear
from ctm.layers.fast.precision import compute_dtype, without_autocast
from ctm.layers.reading import Attention, Reading

ENOUGH_TICKS = 16


def repeated_reading(reading: Reading) -> Reading:
    """A reading ready to be asked again and again."""
    return RepeatedAttention(reading) if isinstance(reading, Attention) else reading


class RepeatedAttention:
    """S_action -> o, as `ctm.layers.reading.Attention` computes it."""

    def __init__(self, reading: Attention) -> None:
        reader = reading.reader
        asked, query = reader.in_query, reader.query
        # (W_in (W_q S + b_q) + b_in) / sqrt(d_head)
        scale = reading.keys.shape[3] ** -0.5
        with without_autocast(query.weight):
            weight = asked.weight @ query.weight * scale
            bias = F.linear(query.bias, asked.weight, asked.bias) * scale
        self.query = RepeatedLinear(weight, bias)
        self.out = RepeatedLinear(reader.out.weight, reader.out.bias)
        self.heads = reader.heads
        self.dropout = Dropout(reader.dropout if reader.training else 0.0)
        keys, values = (
            rearrange(x, "b h s d -> (b h) s d") for x in (reading.keys, reading.values)
        )
        self.key_gradient, self.value_gradient = (
            WeightGradient(x, enough=ENOUGH_TICKS) for x in (keys, values)
        )
        self.token = token(
            self.query.gradient, self.key_gradient, self.value_gradient, self.out.gradient
        )
        dtype = compute_dtype(reader.out.weight)
        self.keys, self.values = (x.detach().to(dtype).mT.contiguous().mT for x in (keys, values))

    def rows(self, kept: Int[Tensor, " kept"]) -> "RepeatedAttention":
        """To some examples' data; nothing of it is for a gradient."""
        some = copy(self)
        some.keys, some.values = (
            x.mT.unflatten(0, (-1, self.heads))[kept].flatten(0, 1).mT
            for x in (self.keys, self.values)
        )
        return some

    def __call__(self, sync: Float[Tensor, "batch pairs"]) -> Float[Tensor, "batch d_input"]:
        return _Attend.apply(sync, self.token, self, self.query.parameter, self.out.parameter)

    def each_head(self, x: Float[Tensor, "batch d_input"]) -> Float[Tensor, "batch_heads 1 d_head"]:
        return rearrange(x, "b (h d) -> (b h) 1 d", h=self.heads)

    def all_heads(self, x: Float[Tensor, "batch_heads 1 d_head"]) -> Float[Tensor, "batch d_input"]:
        return rearrange(x, "(b h) 1 d -> b (h d)", h=self.heads)

    def mask(self, weights: Tensor) -> Tensor | None:
        """What dropout multiplies them by."""
        drawn = self.dropout.draw(weights.numel(), weights.device)
        if drawn is None:
            return None
        return self.dropout.scaled_mask(drawn.view_as(weights), weights.dtype)


class _Attend(torch.autograd.Function):
    """o = W_out softmax(q k) v + b_out, one query a head; 1 / sqrt(d) is in q."""

    @staticmethod
    def forward(
        ctx: Any, sync: Tensor, token: Tensor, attention: RepeatedAttention, *parameters: Tensor
    ) -> Tensor:
        sync = attention.query.prepared(sync)
        queries = attention.each_head(attention.query.forward(sync))
        weights = torch.bmm(queries, attention.keys.mT).softmax(2).to(queries.dtype)
        mask = attention.mask(weights)
        seen = torch.bmm(weights if mask is None else weights * mask, attention.values)
        seen = attention.all_heads(seen)
        ctx.attention = attention
        ctx.save_for_backward(sync, queries, weights, mask, seen, *parameters)
        return attention.out.forward(seen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = grad_outputs
        attention: RepeatedAttention = ctx.attention
        sync, queries, weights, mask, seen, *_ = ctx.saved_tensors
        dseen = attention.each_head(attention.out.backward(dy, seen))
        dweights = torch.bmm(dseen, attention.values.mT)
        if mask is not None:
            dweights = dweights * mask
        # where it waits for the keys' gradient
        dscores, asked = attention.key_gradient.place(weights, queries)
        torch.ops.aten._softmax_backward_data.out(
            dweights, weights, 2, weights.dtype, grad_input=dscores
        )
        asked.copy_(queries)
        attention.key_gradient.placed(1)
        attention.value_gradient.add(weights if mask is None else weights * mask, dseen)
        dqueries = attention.all_heads(torch.bmm(dscores, attention.keys))
        return attention.query.backward(dqueries, sync), dy.new_zeros(()), None, None, None
