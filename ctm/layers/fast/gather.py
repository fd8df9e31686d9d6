"""Gradients gathered over all ticks and handed over once.

A weight that serves T ticks gets T gradients, and autograd adds them one by one: T times a tensor
of the weight's size is written. Here each tick leaves what its gradient is made of with a `Gatherer`,
and a node that runs after all of them, because each depends on its token, hands the sum over.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Gatherer(Protocol):
    """Holds no tensor that autograd follows: the graph holds the gatherer."""

    def gathered(self) -> Sequence[Tensor]:
        """Gradients of the tensors that `token` was told, or none; then forgets them."""
        ...


def token(gatherer: Gatherer, *tensors: Tensor) -> Tensor:
    """What the node of every tick takes as an input, with a gradient of zero, so as to run first."""
    return _Gather.apply(gatherer, *tensors)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gatherer: Gatherer, *tensors: Tensor) -> Tensor:
        ctx.gatherer, ctx.count = gatherer, len(tensors)
        return tensors[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(ctx.gatherer.gathered() or [None] * ctx.count)


class Total:
    """Gradients that are added up as they come."""

    def __init__(self) -> None:
        self.sums: tuple[Tensor, ...] | None = None

    def add(self, *gradients: Tensor) -> None:
        """Takes the tensors over."""
        if self.sums is None:
            self.sums = gradients
        else:
            for total, gradient in zip(self.sums, gradients, strict=True):
                total.add_(gradient)

    def gathered(self) -> Sequence[Tensor]:
        sums, self.sums = self.sums, None
        return sums or ()
