"""The feed-forward baseline: the same features, one answer, no recurrence."""

from enum import StrEnum

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.interface import Inputs, Readout, Thoughts, Trace
from ctm.layers.backbones import Backbone
from ctm.models.on_demand import Conclusions, checked_demand, concluded


class Head(StrEnum):
    """How features become an answer."""

    pooled = "pooled"  # average over places, Linear, ReLU, dropout, Linear
    flat = "flat"  # all places side by side, Linear, GLU, dropout, Linear (the mazes')


class FeedForward(nn.Module):
    """Thinks for one tick.

    Args:
        backbone: inputs to features.
        features: of one input, all that the first linear layer reads.
        hidden: width after the first linear layer; a GLU halves it.
        second: width of one more hidden layer, Linear and ReLU; 0: there is none.
        head: how features become an answer.
        output_shape: of one prediction, `(*positions, classes)`.
        answers: given at once, as if after so many ticks: labels said one after the other.
    """

    ticks = 1

    def __init__(
        self,
        *,
        backbone: Backbone,
        features: int,
        hidden: int,
        second: int = 0,
        head: Head,
        dropout: float,
        output_shape: tuple[int, ...],
        answers: int = 1,
    ) -> None:
        super().__init__()
        self.output_shape, self.answers = tuple(output_shape), answers
        self.backbone = backbone
        self.head = head
        flat = head is Head.flat
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.GLU() if flat else nn.ReLU(), nn.Dropout(dropout)
        )
        width = hidden // 2 if flat else hidden
        if second:
            self.layers.extend([nn.Linear(width, second), nn.ReLU()])
            width = second
        self.answer = nn.Linear(width, answers * torch.Size(output_shape).numel())

    def forward(self, inputs: Inputs, record: bool = False, ticks: int | None = None) -> Thoughts:
        """Answers at once.

        Args:
            inputs: a batch of what the backbone reads.
            record: also return the trace: the hidden layer is all there is.
            ticks: 1, if given at all.
        """
        if ticks not in (None, 1):
            raise ConfigError(f"ticks={ticks}: a feed-forward model thinks for 1")
        hidden: Float[Tensor, "batch hidden"] = self.layers(self.features(inputs))
        logits = self.answer(hidden).view(hidden.shape[0], self.answers, *self.output_shape)
        trace = Trace(hidden.detach().float().cpu().unsqueeze(1)) if record else None
        return Thoughts.of(logits, trace)

    @torch.inference_mode()
    def think(
        self,
        inputs: Inputs,
        stop_at: float | None = None,
        max_ticks: int | None = None,
        readout: Readout | str = Readout.certain,
    ) -> Conclusions:
        """Answers at once, however sure; see `TickingModel.think`."""
        checked = checked_demand(stop_at, 1 if max_ticks is None else max_ticks, readout)
        return concluded(self(inputs, ticks=max_ticks), checked)

    def features(self, inputs: Inputs) -> Float[Tensor, "batch features"]:
        if isinstance(inputs, Tensor) and inputs.is_floating_point():
            inputs = inputs.to(self.answer.weight.dtype)
        found = self.backbone(inputs)
        return found.flatten(2).mean(2) if self.head is Head.pooled else found.flatten(1)
