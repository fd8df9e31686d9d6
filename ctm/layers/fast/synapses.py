"""Synapses over one pass.

A U-Net is many small layers, each of which takes as long to call as to compute. So a tick's way
through it is one node in autograd's graph, with forward and backward written out: each part leaves
what its gradient needs on a trail, and the backward pass takes it from there in reverse.
"""

# once_differentiable hides the names of backward's arguments
# pyright: reportIncompatibleMethodOverride=false

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ctm.layers.fast.dropout import Dropout
from ctm.layers.fast.gather import Gathered, Summed, token
from ctm.layers.fast.linear import RepeatedLinear, repeated
from ctm.layers.synapses import UNetSynapse, unet

Trail = list[Tensor | None]


def repeated_synapse(synapse: nn.Module) -> Callable[[Tensor], Tensor]:
    """The synapse for one pass. Shapes: (batch, d_in) to (batch, neurons)."""
    return RepeatedUNet(synapse) if isinstance(synapse, UNetSynapse) else repeated(synapse)


class RepeatedUNet:
    """A U-Net synapse, ready for a pass."""

    def __init__(self, synapse: UNetSynapse) -> None:
        self.first = RepeatedBlock(synapse.first)
        self.down = [RepeatedBlock(block) for block in synapse.down]
        self.up = [RepeatedBlock(block) for block in synapse.up]
        self.norms = [RepeatedNorm(norm) for norm in synapse.norms]
        blocks = [self.first, *self.down, *self.up]
        gradients: list[Gathered] = [block.linear.gradient for block in blocks]
        gradients += [norm.gradient for norm in (*(block.norm for block in blocks), *self.norms)]
        self.token = token(*gradients)
        self.parameters = [each.tensors[0] for each in gradients]

    def __call__(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch neurons"]:
        if not torch.is_grad_enabled():
            return self.forward([], x)
        return _Tick.apply(x, self.token, self, *self.parameters)

    def forward(
        self, trail: Trail, x: Float[Tensor, "batch d_in"]
    ) -> Float[Tensor, "batch neurons"]:
        def leaving(parts: Iterable[Any]) -> Iterable[Callable[[Tensor], Tensor]]:
            return (partial(part.forward, trail) for part in parts)

        (first,) = leaving([self.first])
        return unet(x, first, leaving(self.down), leaving(self.up), leaving(self.norms))

    def backward(self, trail: Trail, dy: Float[Tensor, "batch neurons"]) -> Tensor:
        """The gradient of x from that of y; takes what `forward` left on the trail."""
        dskips = []
        for up, norm in zip(self.up, self.norms, strict=True):
            dskips.append(norm.backward(trail, dy))
            dy = up.backward(trail, dskips[-1])
        for down, dskip in reversed(list(zip(self.down, dskips, strict=True))):
            dy = down.backward(trail, dy) + dskip
        return self.first.backward(trail, dy)


class _Tick(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, token: Tensor, synapse: RepeatedUNet, *parameters: Tensor
    ) -> Tensor:
        trail: Trail = []
        y = synapse.forward(trail, x)
        ctx.synapse, ctx.length = synapse, len(trail)
        ctx.save_for_backward(*trail, *parameters)  # these: autograd notices if they change
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = grad_outputs
        dx = ctx.synapse.backward(list(ctx.saved_tensors[: ctx.length]), dy)
        return dx, dy.new_zeros(()), None, *[None] * len(ctx.synapse.parameters)


class RepeatedBlock:
    """Dropout, linear layer, LayerNorm, SiLU."""

    def __init__(self, block: nn.Module) -> None:
        self.dropout = Dropout(0.0)
        for layer in block.children():
            if isinstance(layer, nn.Dropout) and layer.training:
                self.dropout = Dropout(layer.p)
            elif isinstance(layer, nn.Linear):
                self.linear = RepeatedLinear(layer.weight, layer.bias)
            elif isinstance(layer, nn.LayerNorm):
                self.norm = RepeatedNorm(layer)

    def forward(self, trail: Trail, x: Tensor) -> Tensor:
        drawn = self.dropout.draw(x.numel(), x.device)
        if drawn is not None:
            drawn = drawn.view_as(x)
            x = x * self.dropout.scaled_mask(drawn, x.dtype)
        x = self.linear.prepared(x)
        trail += (drawn, x)
        y = self.norm.forward(trail, self.linear.forward(x))
        trail.append(y)
        return F.silu(y)

    def backward(self, trail: Trail, dy: Tensor) -> Tensor:
        dy = torch.ops.aten.silu_backward.default(dy, trail.pop())
        dy = self.norm.backward(trail, dy)
        x, drawn = trail.pop(), trail.pop()
        assert x is not None
        dx = self.linear.backward(dy.to(x.dtype), x).to(dy.dtype)
        return dx if drawn is None else dx * self.dropout.scaled_mask(drawn, dx.dtype)


class RepeatedNorm:
    """LayerNorm."""

    def __init__(self, norm: nn.Module) -> None:
        assert isinstance(norm, nn.LayerNorm)
        self.shape, self.eps = norm.normalized_shape, norm.eps
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()
        self.gradient = Summed(norm.weight, norm.bias)

    def forward(self, trail: Trail, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)  # the mean of half precision is taken in full
        y, mean, scale = torch.native_layer_norm(x, self.shape, self.weight, self.bias, self.eps)
        trail += (x, mean, scale)
        return y

    def backward(self, trail: Trail, dy: Tensor) -> Tensor:
        scale, mean, x = trail.pop(), trail.pop(), trail.pop()
        dx, dweight, dbias = torch.ops.aten.native_layer_norm_backward.default(
            dy, x, self.shape, mean, scale, self.weight, self.bias, [True, True, True]
        )
        self.gradient.add(dweight, dbias)
        return dx
