"""The linear layer that answers, for all ticks in one product.

A two-tick loss sends a gradient to two ticks of each example. The backward pass multiplies the rows
that have one and leaves out the others.
"""

# once_differentiable hides the names of backward's arguments
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ctm.layers.fast.precision import compute_dtype


def answer_all(
    layer: nn.Linear, sync: Float[Tensor, "batch ticks pairs"]
) -> Float[Tensor, "batch ticks outputs"]:
    """logits = W S + b at every tick."""
    dtype = compute_dtype(layer.weight)
    return _Answer.apply(sync.to(dtype), layer.weight.to(dtype), layer.bias.to(dtype))


class _Answer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sync: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        sync = sync.contiguous()
        ctx.save_for_backward(sync, weight)
        return F.linear(sync, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (dlogits,) = grad_outputs
        sync, weight = ctx.saved_tensors
        dsync = torch.zeros_like(sync)
        dlogits, x, dx = (rows.flatten(0, 1) for rows in (dlogits, sync, dsync))
        dbias = dlogits.sum(0)
        if dlogits.device.type == "cpu":  # elsewhere the number of rows would have to be waited for
            rows = dlogits.any(1).nonzero().squeeze(1)
            dlogits, x = dlogits[rows], x[rows]
            dx[rows] = dlogits @ weight
        else:
            torch.mm(dlogits, weight, out=dx)
        return dsync, dlogits.t() @ x, dbias
