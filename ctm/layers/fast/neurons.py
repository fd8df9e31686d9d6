"""Neuron-level models over one pass.

The pre-activations of all ticks are written into one tensor, a tape, and each tick's history is a
window of it: nothing is shifted or copied. The temperature is divided into the weights once.
Forward and backward are written out. All that is kept of a tick is one tensor a layer, gated values
and gates, which is what the gradient needs; or not even that, where models are to be recomputed.
The gradients of windows, which overlap, are added up in one tensor of the tape's shape.

Many examples lie innermost in memory, where values and gates of a GLU are whole blocks. Few
examples would not fill a vector register, so there the last axis lies innermost.
"""

# once_differentiable hides the names of backward's arguments
# pyright: reportIncompatibleMethodOverride=false

from math import prod
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ctm.layers.fast.dropout import Dropout
from ctm.layers.fast.gather import WeightGradient, token
from ctm.layers.fast.precision import compute_dtype
from ctm.layers.neurons import NeuronLevelModels, PerNeuronLinear

MANY = 32  # examples


def empty(shape: tuple[int, ...], like: Tensor) -> Float[Tensor, "neurons batch width"]:
    return laid_out(like.new_empty(shape), shape)


def laid_out(memory: Tensor, shape: tuple[int, ...]) -> Shaped[Tensor, "neurons batch width"]:
    """Memory of any shape as one of this shape, the batch innermost if there are many examples."""
    neurons, batch, width = shape
    if batch < MANY:
        return memory.view(neurons, batch, width)
    return memory.view(neurons, width, batch).mT


class Layer:
    """The weights of one layer of all neurons, ready for a pass.

    Args:
        linear: its temperature, and in training the factor that makes up for dropout, are
            multiplied into the weights.
    """

    def __init__(self, linear: PerNeuronLinear) -> None:
        self.dropout = Dropout(linear.dropout.p if linear.dropout.training else 0.0)
        cooled = linear.temperature.reciprocal()
        weight, bias = linear.weight * (cooled / self.dropout.kept), linear.bias * cooled
        self.gradient = WeightGradient(weight, bias, enough=1)
        self.token = token(self.gradient)
        self.spare: Tensor | None = None  # memory for the gradient of its output
        dtype = compute_dtype(linear.weight)
        self.weight = weight.detach().to(dtype)  # (neurons, d_in, d_out)
        self.bias = bias.detach().to(dtype).unsqueeze(1)  # (neurons, 1, d_out)

    def draw(self, x: Float[Tensor, "neurons batch _"]) -> Tensor | None:
        """What decides which inputs dropout keeps, for as many neurons and examples as `x` has."""
        shape = (*x.shape[:2], self.weight.shape[1])
        drawn = self.dropout.draw(prod(shape), x.device)
        return None if drawn is None else laid_out(drawn, shape)

    def __call__(
        self, x: Float[Tensor, "neurons batch d_in"]
    ) -> Float[Tensor, "neurons batch d_out"]:
        if x.shape[1] < MANY:
            return torch.baddbmm(self.bias, x, self.weight)
        return torch.baddbmm(self.bias.mT, self.weight.mT, x.mT).mT

    def gate_backward(
        self,
        gradient: Float[Tensor, "neurons batch half"],
        output: Float[Tensor, "neurons batch d_out"],
    ) -> Float[Tensor, "neurons batch d_out"]:
        """The gradient of this layer's output from that of gated = value * sigmoid(gate).

        d value = gradient * sigmoid(gate), d gate = (gradient - d value) * gated. It lies in memory
        that the next tick uses again.

        Args:
            output: gated values and gates, as `run` leaves them.
        """
        if self.spare is None:
            self.spare = torch.empty_like(output)
        gated, gate = output.chunk(2, dim=2)
        dvalue, dgate = self.spare.chunk(2, dim=2)
        torch.mul(gradient, gate, out=dvalue)
        torch.sub(gradient, dvalue, out=dgate).mul_(gated)
        return self.spare

    def backward(
        self, gradient: Float[Tensor, "neurons batch d_out"], x: Float[Tensor, "neurons batch d_in"]
    ) -> Float[Tensor, "neurons batch d_in"]:
        """Leaves what the gradients of the weights are made of and returns that of x."""
        if self.token.requires_grad:
            self.gradient.add(x, gradient)
        if x.shape[1] < MANY:
            return torch.bmm(gradient, self.weight.mT)
        return torch.bmm(self.weight, gradient.mT).mT


class RepeatedNeurons:
    """Neuron-level models, or what stands in for them, ready for a pass."""

    def __init__(self, models: nn.Module) -> None:
        self.models = models
        self.layers = written_out(models)
        self.keep = not (isinstance(models, NeuronLevelModels) and models.recompute)

    def begin(
        self, history: Float[Tensor, "neurons batch memory"], ticks: int
    ) -> "Tape | PlainHistory":
        """Ready for so many ticks after this history."""
        if self.layers is None:
            return PlainHistory(self.models, history)
        return Tape(self.layers, history, ticks, keep=self.keep)


def written_out(models: nn.Module) -> list[Layer] | None:
    """The layers, where their backward pass is written out below."""
    if not isinstance(models, NeuronLevelModels):
        return None
    linears = [layer for layer in models.layers if isinstance(layer, PerNeuronLinear)]
    if any(not isinstance(linear.norm, nn.Identity) for linear in linears):
        return None
    return [Layer(linear) for linear in linears]


class PlainHistory:
    """Histories put together anew at each tick, for models that are not written out."""

    def __init__(self, models: nn.Module, history: Float[Tensor, "neurons batch memory"]) -> None:
        self.models, self.history = models, history.transpose(0, 1)

    def keep_rows(self, rows: Int[Tensor, " kept"]) -> None:
        self.history = self.history[rows]

    def step(self, a: Float[Tensor, "batch neurons"]) -> Float[Tensor, "neurons batch"]:
        self.history = torch.cat((self.history[:, :, 1:], a.unsqueeze(2)), dim=2)
        return self.models(self.history).t()

    def end(self) -> Float[Tensor, "neurons batch memory"]:
        return self.history.transpose(0, 1)


class Tape:
    """Pre-activations of a stretch of ticks, behind those of the ticks before.

    Args:
        layers: of the neuron-level models.
        history: the last pre-activations before.
        ticks: how many will come.
        keep: what the layers put out, for the backward pass, or compute it again there.
    """

    def __init__(
        self,
        layers: list[Layer],
        history: Float[Tensor, "neurons batch memory"],
        ticks: int,
        *,
        keep: bool = True,
    ) -> None:
        neurons, batch, self.memory = history.shape
        self.layers, self.keep = layers, keep
        self.values = empty((neurons, batch, self.memory + ticks), layers[0].weight)
        self.gradients = TapeGradients(self.values)
        self.tick = 0
        self.window = _Start.apply(history, self)

    def step(self, a: Float[Tensor, "batch neurons"]) -> Float[Tensor, "neurons batch"]:
        """The post-activations of one more tick."""
        tokens = (layer.token for layer in self.layers)
        z, self.window = _Step.apply(a, self.window, self, *tokens)
        self.tick += 1
        return z

    def keep_rows(self, rows: Int[Tensor, " kept"]) -> None:
        """Goes on with these examples alone; not where a gradient is to come."""
        neurons, _, length = self.values.shape
        self.values = empty((neurons, len(rows), length), self.values).copy_(self.values[:, rows])
        self.window = self.window_at(self.tick)

    def end(self) -> Float[Tensor, "neurons batch memory"]:
        """The history after the last tick."""
        return _End.apply(self.window, self)

    def window_at(self, start: int) -> Float[Tensor, "neurons batch memory"]:
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
        return tape.window_at(0).copy_(history)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return *grad_outputs, None


class _End(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, window: Tensor, tape: Tape) -> Tensor:
        ctx.gradients = tape.gradients
        return window.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (dhistory,) = grad_outputs
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
        ctx: Any, a: Tensor, before: Tensor, tape: Tape, *tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        window = tape.window_at(tape.tick + 1)
        window[..., -1].copy_(a.t())
        draws = [layer.draw(window) for layer in tape.layers]
        outputs = run(tape.layers, window, draws)
        ctx.save_for_backward(window, *draws, *(outputs if tape.keep else ()))
        ctx.set_materialize_grads(False)
        ctx.layers, ctx.gradients, ctx.tick = tape.layers, tape.gradients, tape.tick
        return gated(outputs[-1]).squeeze(2).clone(), window

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        dz, dwindow = grad_outputs
        window, *saved = ctx.saved_tensors
        draws, outputs = saved[: len(ctx.layers)], saved[len(ctx.layers) :]
        if dwindow is None:  # nothing later counts
            ctx.gradients.begin()
        gradients, memory = ctx.gradients.values, window.shape[2]
        if dz is not None:
            outputs = outputs or run(ctx.layers, window, draws)
            gradient, inputs = dz.unsqueeze(2), (window, *map(gated, outputs))
            for number in reversed(range(len(outputs))):
                layer, drawn, x = ctx.layers[number], draws[number], inputs[number]
                dy = layer.gate_backward(gradient, outputs[number])
                if drawn is None:
                    gradient = layer.backward(dy, x)
                else:
                    mask = layer.dropout.mask(drawn, x.dtype)
                    gradient = layer.backward(dy, x * mask) * mask
            gradients[..., ctx.tick + 1 : ctx.tick + 1 + memory].add_(gradient)
        da = gradients[..., ctx.tick + memory].t().contiguous()
        dbefore = gradients[..., ctx.tick : ctx.tick + memory]
        if ctx.tick == 0:
            ctx.gradients.values = None
        return da, dbefore, None, *(da.new_zeros(()) for _ in ctx.layers)


def run(layers: list[Layer], x: Tensor, draws: list[Tensor | None]) -> list[Tensor]:
    """Of each layer the gated values, and after them the gates: what GLU makes and made it of."""
    outputs = []
    for layer, drawn in zip(layers, draws, strict=True):
        y = layer(x if drawn is None else x * layer.dropout.mask(drawn, x.dtype))
        value, gate = y.chunk(2, dim=2)
        x = value.mul_(gate.sigmoid_())
        outputs.append(y)
    return outputs


def gated(output: Float[Tensor, "neurons batch d_out"]) -> Float[Tensor, "neurons batch half"]:
    return output.chunk(2, dim=2)[0]
