"""Synchronisation over one pass.

What the decays alone decide, e^-r and 1 / sqrt(beta) after every tick, is computed once a pass. The
synchronisation that answers feeds nothing back, so it is computed for all ticks after the last one.
Pairs are rows here and examples columns: choosing pairs copies whole rows.
"""

# once_differentiable hides the names of backward's arguments
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ctm.layers.sync import Synchronisation


class RepeatedSync:
    """The sums of one synchronisation, tick by tick or for all ticks at once."""

    def __init__(self, sync: Synchronisation, ticks: int) -> None:
        self.left, self.right = sync.left, sync.right
        self.keep = sync.keep().unsqueeze(1)
        beta = [torch.ones_like(self.keep)]
        for _ in range(ticks):
            beta.append(self.keep * beta[-1] + 1)
        self.norms = torch.stack(beta).rsqrt()  # (ticks + 1, pairs, 1)

    def start(
        self, z: Float[Tensor, "*ticks neurons batch"]
    ) -> Float[Tensor, "*ticks pairs batch"]:
        """alpha when `z` is all that has been seen: z_i z_j"""
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        return z.index_select(-2, self.left) * z.index_select(-2, self.right)

    def update(
        self, alpha: Float[Tensor, "pairs batch"], z: Float[Tensor, "neurons batch"]
    ) -> Float[Tensor, "pairs batch"]:
        return torch.addcmul(self.start(z), self.keep, alpha)

    def at(self, tick: int, alpha: Float[Tensor, "pairs batch"]) -> Float[Tensor, "batch pairs"]:
        """S after so many ticks."""
        return (alpha * self.norms[tick]).t()

    def all_ticks(
        self, z: Float[Tensor, "ticks_and_start neurons batch"]
    ) -> Float[Tensor, "batch ticks pairs"]:
        """S after each tick, given the start state and the post-activations of every tick."""
        alpha = _Fade.apply(self.start(z), self.keep)
        return (alpha[1:] * self.norms[1:]).permute(2, 0, 1)


class _Fade(torch.autograd.Function):
    """alpha_t = e^-r alpha_(t-1) + products_t, over the first axis."""

    @staticmethod
    def forward(ctx: Any, products: Tensor, keep: Tensor) -> Tensor:
        alpha = products.clone()
        for tick in range(1, len(alpha)):
            alpha[tick].addcmul_(keep, alpha[tick - 1])
        ctx.save_for_backward(alpha, keep)
        return alpha

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        (dalpha,) = grad_outputs
        alpha, keep = ctx.saved_tensors
        dproducts = dalpha.clone()
        for tick in reversed(range(1, len(alpha))):
            dproducts[tick - 1].addcmul_(keep, dproducts[tick])
        dkeep = (dproducts[1:] * alpha[:-1]).sum((0, 2)).unsqueeze(1)
        return dproducts, dkeep
