"""A linear layer that serves every tick of a pass.

The recurrence multiplies few rows (a batch) by the same weight again and again. So the weight is
put once a pass into the layout that oneDNN multiplies fastest (on CPUs), and its gradient is not a
product of few rows at each tick but one product over the rows of many ticks.
"""

# once_differentiable hides the names of backward's arguments
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ctm.layers.fast.gather import WeightGradient, token
from ctm.layers.fast.precision import compute_dtype

ENOUGH_ROWS = 1024
LARGE = 2**17  # values of a weight; torch's own product is the faster one below


class RepeatedLinear:
    """y = x W^T + b

    Args:
        weight, bias: parameters, or what was made of them for this pass.
    """

    def __init__(self, weight: Float[Tensor, "d_out d_in"], bias: Float[Tensor, " d_out"]) -> None:
        dtype = compute_dtype(weight)
        self.parameter = weight
        self.weight, self.bias = weight.detach().to(dtype), bias.detach().to(dtype)
        self.product = Product(self.weight)
        self.transposed: Product | None = None  # made when a gradient first asks for it
        self.gradient = WeightGradient(weight, bias, enough=ENOUGH_ROWS, transposed=True)
        self.token = token(self.gradient)

    def __call__(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_out"]:
        if not torch.is_grad_enabled():
            return self.forward(self.prepared(x))
        return _Use.apply(x, self.token, self.parameter, self)

    def prepared(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_in"]:
        """As the product takes it."""
        return x.to(self.weight.dtype).contiguous()

    def forward(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_out"]:
        return self.product(x, self.bias)

    def backward(
        self, dy: Float[Tensor, "batch d_out"], x: Float[Tensor, "batch d_in"]
    ) -> Float[Tensor, "batch d_in"]:
        """Leaves what the gradients of the weights are made of and returns that of x."""
        if self.token.requires_grad:
            self.gradient.add(x, dy)
        if self.transposed is None:
            self.transposed = Product(self.weight.t())
        return self.transposed(dy)


class _Use(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, token: Tensor, parameter: Tensor, layer: RepeatedLinear
    ) -> Tensor:
        ctx.layer = layer
        x = layer.prepared(x)
        ctx.save_for_backward(x, parameter)  # the parameter: autograd notices if it changes
        return layer.forward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = grad_outputs
        x, _ = ctx.saved_tensors
        return ctx.layer.backward(dy, x), dy.new_zeros(()), None, None


class Product:
    """x -> x W^T + b, by oneDNN with W in a layout of its own where that is possible.

    The operators are those that torch.compile makes of a linear layer on a CPU.
    """

    def __init__(self, weight: Float[Tensor, "d_out d_in"]) -> None:
        self.weight = weight
        self.packed: Tensor | None = None
        if onednn_takes(weight):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        if self.packed is None:
            return F.linear(x, self.weight, bias)
        return torch.ops.mkldnn._linear_pointwise.default(x, self.packed, bias, "none", [], "")


def onednn_takes(weight: Tensor) -> bool:
    """And is faster."""
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and weight.numel() >= LARGE
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and (weight.dtype is torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def repeated(part: nn.Module) -> Any:
    """A layer, or a sequence of layers, with the linear ones ready to be repeated."""
    if isinstance(part, nn.Linear):
        return RepeatedLinear(part.weight, part.bias)
    if isinstance(part, nn.Sequential):
        return Chain([repeated(layer) for layer in part])
    return part


class Chain:
    """Layers one after the other."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x
