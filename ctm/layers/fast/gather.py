"""Gradients gathered over many ticks.

A weight that serves T ticks gets T gradients, each a product of few rows (a batch), and autograd
adds them one by one. Here each tick leaves the two factors of its share with a `WeightGradient`,
which multiplies those of many ticks at once; a node that runs after all ticks, because each depends
on its token, hands over the sum.
"""

# once_differentiable hides the names of backward's arguments
# pyright: reportIncompatibleMethodOverride=false

from itertools import chain
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


class Gathered:
    """The gradients of some tensors, summed up over the ticks of a backward pass.

    Args:
        tensors: parameters, or what was made of them for this pass.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors
        self.run = -1  # of autograd, that the shares come from
        self.sums: list[Tensor] = []

    def gathered(self) -> list[Tensor]:
        """The sums, nothing if no tick left a share; then forgets them."""
        self._forget_earlier_runs()
        self._finish()
        sums, self.sums = self.sums, []
        return sums

    def _finish(self) -> None:
        """Adds to the sums what still waits."""

    def _forget_earlier_runs(self) -> None:
        """Leaves out shares of a backward pass that broke off or asked for other weights alone."""
        run = torch._C._current_graph_task_id()
        if run != self.run:
            self.run = run
            self._forget()

    def _forget(self) -> None:
        self.sums.clear()


class Summed(Gathered):
    """Gradients that are computed tick by tick."""

    def add(self, *shares: Tensor) -> None:
        """Takes a tick's share of each tensor's; the first is kept and added to."""
        self._forget_earlier_runs()
        if not self.sums:
            self.sums.extend(shares)
            return
        for total, share in zip(self.sums, shares, strict=True):
            total.add_(share)


class WeightGradient(Gathered):
    """Gradients of W and b in y = x W + b: the sums over ticks of x^T dy and of the rows of dy.

    Where x, dy and W have one more axis in front, there is a product for each of its entries.

    Args:
        tensors: the weight, or the weight and the bias.
        enough: rows that are worth a product; more would only take memory while they wait.
        transposed: dy^T x instead, for a weight of shape (d_out, d_in).
    """

    def __init__(self, *tensors: Tensor, enough: int, transposed: bool = False) -> None:
        super().__init__(*tensors)
        self.enough, self.transposed = enough, transposed
        self.waiting = 0  # rows
        self.room: list[Tensor] = []  # for the rows of x and of dy

    def add(
        self, x: Float[Tensor, "*many rows d_in"], dy: Float[Tensor, "*many rows d_out"]
    ) -> None:
        """Takes a tick's share."""
        rows = x.shape[-2]
        if rows >= self.enough or rows == 0:
            self._forget_earlier_runs()
            self._multiply(x, dy)
            return
        for place, share in zip(self.place(x, dy), (x, dy), strict=True):
            place.copy_(share)
        self.placed(rows)

    def place(self, *like: Tensor) -> list[Tensor]:
        """Where the next tick's share may be written instead, as x and dy would be `like`."""
        self._forget_earlier_runs()
        rows = like[0].shape[-2]
        if not self.room:
            self.room = [room_for(each, rows * -(-self.enough // rows)) for each in like]
        return [room[..., self.waiting : self.waiting + rows, :] for room in self.room]

    def placed(self, rows: int) -> None:
        """Takes what was written there."""
        self.waiting += rows
        if self.waiting == self.room[0].shape[-2]:
            self._multiply_waiting()

    def _multiply_waiting(self) -> None:
        x, dy = (room[..., : self.waiting, :] for room in self.room)
        self.waiting = 0
        self._multiply(x, dy)

    def _finish(self) -> None:
        if self.waiting:
            self._multiply_waiting()
        self.room.clear()

    def _forget(self) -> None:
        super()._forget()
        self.waiting = 0
        self.room.clear()

    def _multiply(self, x: Tensor, dy: Tensor) -> None:
        left, right = (dy.mT, x) if self.transposed else (x.mT, dy)
        has_bias = len(self.tensors) > 1
        if not self.sums:
            dtype = torch.promote_types(x.dtype, torch.float32)  # of a sum of many terms
            self.sums.append((left @ right).to(dtype))
            if has_bias:
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


def room_for(x: Float[Tensor, "*many rows width"], rows: int) -> Float[Tensor, "*many room width"]:
    """Memory for so many rows of `x`'s kind; a tick's lie together."""
    return x.new_empty((rows, *x.shape[:-2], x.shape[-1])).movedim(0, -2)


def token(*gradients: Gathered) -> Tensor:
    """What every tick's node takes as an input, with a gradient of zero, so as to run first."""
    return _Gather.apply(gradients, *(tensor for each in gradients for tensor in each.tensors))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradients: tuple[Gathered, ...], *tensors: Tensor) -> Tensor:
        ctx.gradients = gradients
        return tensors[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        found = [each.gathered() or [None] * len(each.tensors) for each in ctx.gradients]
        return None, *chain.from_iterable(found)
