"""Gradients gathered over many ticks.

A weight that serves T ticks gets T gradients, each a product of few rows (a batch), and autograd
adds them one by one. Here each tick leaves the two factors of its share with a `WeightGradient`,
which multiplies those of many ticks at once; a node that runs after all ticks, because each depends
on its token, hands over the sum.
"""

# once_differentiable hides the names of backward's arguments
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


class WeightGradient:
    """Gradients of W and b in y = x W + b: the sums over ticks of x^T dy and of the rows of dy.

    Where x, dy and W have one more axis in front, there is a product for each of its entries.

    Args:
        enough: rows that are worth a product; more would only take memory while they wait.
        transposed: dy^T x instead, for a weight of shape (d_out, d_in).
        bias: whether there is one.
    """

    def __init__(self, *, enough: int, transposed: bool = False, bias: bool = True) -> None:
        self.enough, self.transposed, self.bias = enough, transposed, bias
        self.run = -1  # of autograd, that the shares come from
        self.waiting: list[tuple[Tensor, Tensor]] = []
        self.sums: list[Tensor] = []

    def add(
        self, x: Float[Tensor, "*many rows d_in"], dy: Float[Tensor, "*many rows d_out"]
    ) -> None:
        """Takes a tick's share."""
        self._forget_earlier_runs()
        self.waiting.append((x, dy))
        if len(self.waiting) * x.shape[-2] >= self.enough:
            self._multiply()

    def gathered(self) -> list[Tensor]:
        """The gradients of weight and bias, nothing if no tick left a share; then forgets them."""
        self._forget_earlier_runs()
        if self.waiting:
            self._multiply()
        sums, self.sums = self.sums, []
        return sums

    def _forget_earlier_runs(self) -> None:
        """Leaves out shares of a backward pass that broke off or asked for other weights alone."""
        run = torch._C._current_graph_task_id()
        if run != self.run:
            self.run = run
            self.waiting.clear()
            self.sums.clear()

    def _multiply(self) -> None:
        x, dy = (
            factors[0] if len(factors) == 1 else torch.cat(factors, dim=-2)
            for factors in zip(*self.waiting, strict=True)
        )
        self.waiting.clear()
        left, right = (dy.mT, x) if self.transposed else (x.mT, dy)
        if not self.sums:
            dtype = torch.promote_types(x.dtype, torch.float32)  # of a sum of many terms
            self.sums.append((left @ right).to(dtype))
            if self.bias:
                self.sums.append(dy.sum(-2, dtype=dtype))
            return
        weight, *bias = self.sums
        if weight.dtype is not x.dtype:
            weight.add_(left @ right)
        elif x.dim() == 2:
            weight.addmm_(left, right)
        else:
            weight.baddbmm_(left, right)
        for total in bias:
            total.add_(dy.sum(-2))


def token(gradient: WeightGradient, *tensors: Tensor) -> Tensor:
    """What every tick's node takes as an input, with a gradient of zero, so as to run first.

    Args:
        tensors: the weight, or the weight and the bias, whose gradients are gathered.
    """
    return _Gather.apply(gradient, *tensors)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: WeightGradient, *tensors: Tensor) -> Tensor:
        ctx.gradient, ctx.count = gradient, len(tensors)
        return tensors[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(ctx.gradient.gathered() or [None] * ctx.count)
