"""Neuron-level models over one pass.

The pre-activations of all ticks are written into one tensor, a tape, and each tick's history is a
window of it: nothing is shifted or copied. The temperature is divided into the weights once.
Forward and backward are written out, so that all that is kept of a tick is each layer's output, its
gates already through the sigmoid, which is what the gradient needs; and the gradients of windows,
which overlap, are added up in one tensor of the tape's shape.

Many examples lie innermost in memory, where values and gates of a GLU are whole blocks. Few
examples would not fill a vector register, so there the last axis lies innermost.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ctm.layers.fast.gather import Total, token
from ctm.layers.fast.precision import compute_dtype
from ctm.layers.neurons import NeuronLevelModels, PerNeuronLinear

MANY = 32  # examples


def empty(
    shape: tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None
) -> Float[Tensor, "neurons batch width"]:
    neurons, batch, width = shape
    if batch < MANY:
        return like.new_empty(neurons, batch, width, dtype=dtype)
    return like.new_empty(neurons, width, batch, dtype=dtype).mT


class Layer:
    """The weights of one layer of all neurons, ready for a pass.

    Args:
        linear: its temperature, and in training the factor that makes up for dropout, are
            multiplied into the weights.
    """

    def __init__(self, linear: PerNeuronLinear) -> None:
        self.kept = 1 - linear.dropout.p if linear.training else 1.0  # of the inputs
        cooled = linear.temperature.reciprocal()
        weight, bias = linear.weight * (cooled / self.kept), linear.bias * cooled
        self.gradients = Total()
        self.token = token(self.gradients, weight, bias)
        dtype = compute_dtype(linear.weight)
        self.weight = weight.detach().to(dtype)  # (neurons, d_in, d_out)
        self.bias = bias.detach().to(dtype).unsqueeze(1)  # (neurons, 1, d_out)

    def mask(self, x: Float[Tensor, "neurons batch d_in"]) -> Tensor | None:
        """The inputs that dropout keeps."""
        if self.kept == 1:
            return None
        return empty(x.shape, x, dtype=torch.bool).bernoulli_(self.kept)

    def __call__(
        self, x: Float[Tensor, "neurons batch d_in"]
    ) -> Float[Tensor, "neurons batch d_out"]:
        if x.shape[1] < MANY:
            return torch.baddbmm(self.bias, x, self.weight)
        return torch.baddbmm(self.bias.mT, self.weight.mT, x.mT).mT

    def backward(
        self, gradient: Float[Tensor, "neurons batch d_out"], x: Float[Tensor, "neurons batch d_in"]
    ) -> Float[Tensor, "neurons batch d_in"]:
        """Adds to the gradients of the weights and returns that of x."""
        self.gradients.add(torch.bmm(x.mT, gradient), gradient.sum(1))
        if x.shape[1] < MANY:
            return torch.bmm(gradient, self.weight.mT)
        return torch.bmm(self.weight, gradient.mT).mT


class Tape:
    """Pre-activations of a stretch of ticks, behind those of the ticks before.

    Args:
        layers: of the neuron-level models.
        history: the last pre-activations before.
        ticks: how many will come.
    """

    def __init__(
        self, layers: list[Layer], history: Float[Tensor, "neurons batch memory"], ticks: int
    ) -> None:
        neurons, batch, self.memory = history.shape
        self.layers = layers
        self.values = empty((neurons, batch, self.memory + ticks), layers[0].weight)
        self.gradients = TapeGradients(self.values)

    def start(
        self, history: Float[Tensor, "neurons batch memory"]
    ) -> Float[Tensor, "neurons batch memory"]:
        """The first window."""
        return _Start.apply(history, self)

    def step(
        self,
        a: Float[Tensor, "batch neurons"],
        window: Float[Tensor, "neurons batch memory"],
        tick: int,
    ) -> tuple[Float[Tensor, "neurons batch"], Float[Tensor, "neurons batch memory"]]:
        """Pre-activations and the window before to post-activations and the window after.

        Args:
            tick: of this tape, from 0.
        """
        return _Step.apply(a, window, self, tick, *(layer.token for layer in self.layers))

    def end(
        self, window: Float[Tensor, "neurons batch memory"]
    ) -> Float[Tensor, "neurons batch memory"]:
        """The history that another tape starts from, given the last window."""
        return _End.apply(window, self)

    def window(self, start: int) -> Float[Tensor, "neurons batch memory"]:
        # .data: a later write beside a window that was saved is no change of it
        return self.values.data[..., start : start + self.memory]


class TapeGradients:
    """The gradients of all windows of a tape, added up where they overlap."""

    def __init__(self, tape: Tensor) -> None:
        self.shape, self.device, self.dtype = tape.shape, tape.device, tape.dtype
        self.values: Tensor | None = None

    def begin(self) -> None:
        like = torch.empty((), device=self.device, dtype=self.dtype)
        self.values = empty(tuple(self.shape), like).zero_()


class _Start(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, history: Tensor, tape: Tape) -> Tensor:
        return tape.window(0).copy_(history)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dwindow: Tensor) -> tuple[Tensor | None, ...]:
        return dwindow, None


class _End(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, window: Tensor, tape: Tape) -> Tensor:
        ctx.gradients = tape.gradients
        return window.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dhistory: Tensor) -> tuple[Tensor | None, ...]:
        ctx.gradients.begin()
        last = ctx.gradients.values[..., -dhistory.shape[2] :]
        return last.copy_(dhistory), None


class _Step(torch.autograd.Function):
    """In autograd's graph the window stands for the tape.

    It brings the ticks' backward passes into order. Its gradient is a view of the tape's, so what
    a tick adds is added in place.
    """

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, before: Tensor, tape: Tape, tick: int, *tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        window = tape.window(tick + 1)
        window[..., -1].copy_(a.t())
        saved: list[Tensor | None] = [window]
        x = window
        for layer in tape.layers:
            mask = layer.mask(x)
            y = layer(x if mask is None else x * mask)
            value, gate = y.chunk(2, dim=2)
            x = value * gate.sigmoid_()
            saved += [mask, y]
        ctx.save_for_backward(*saved)
        ctx.set_materialize_grads(False)
        ctx.layers, ctx.gradients, ctx.tick = tape.layers, tape.gradients, tick
        return x.squeeze(2), window

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dz: Tensor | None, dwindow: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        window, *of_layers = ctx.saved_tensors
        masks, outputs = of_layers[::2], of_layers[1::2]
        if dwindow is None:  # nothing later counts
            ctx.gradients.begin()
        gradients, memory = ctx.gradients.values, window.shape[2]
        if dz is not None:
            gradient = dz.unsqueeze(2)
            for number in reversed(range(len(outputs))):
                layer, mask = ctx.layers[number], masks[number]
                x = glu(outputs[number - 1]) if number else window
                gradient = layer.backward(
                    glu_backward(gradient, outputs[number]), x if mask is None else x * mask
                )
                gradient = gradient if mask is None else gradient * mask
            gradients[..., ctx.tick + 1 : ctx.tick + 1 + memory].add_(gradient)
        da = gradients[..., ctx.tick + memory].t().contiguous()
        dbefore = gradients[..., ctx.tick : ctx.tick + memory]
        return da, dbefore, None, None, *(da.new_zeros(()) for _ in outputs)


def glu(y: Tensor) -> Tensor:
    """Of a layer's output whose gates are through the sigmoid already."""
    value, gate = y.chunk(2, dim=2)
    return value * gate


def glu_backward(gradient: Tensor, y: Tensor) -> Tensor:
    """The gradient of a layer's output from that of value * sigmoid(gate); `y` as in `glu`."""
    value, gate = y.chunk(2, dim=2)
    dy = torch.empty_like(y)
    dvalue, dgate = dy.chunk(2, dim=2)
    torch.mul(gradient, gate, out=dvalue)
    torch.ops.aten.sigmoid_backward.grad_input(gradient * value, gate, grad_input=dgate)
    return dy
