"""The feed-forward baseline: the same features, one answer, no recurrence."""

from enum import StrEnum

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.interface import Thoughts, Trace
from ctm.layers.backbones import Backbone


class Head(StrEnum):
    """How features become an answer."""

    pooled = "pooled"  # average over places, Linear, ReLU, dropout, Linear
    flat = "flat"  # all places side by side, Linear, GLU, dropout, Linear (the mazes')


class FeedForward(nn.Module):
    """Thinks for one tick.

    Args:
        backbone: inputs to features.
        features: of one input, all that the first linear layer reads.
        hidden: width between the two linear layers; a GLU halves it.
        head: how features become an answer.
        output_shape: of one prediction, `(*positions, classes)`.
    """

    ticks = 1

    def __init__(
        self,
        *,
        backbone: Backbone,
        features: int,
        hidden: int,
        head: Head,
        dropout: float,
        output_shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.output_shape = tuple(output_shape)
        self.backbone = backbone
        self.head = head
        flat = head is Head.flat
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.GLU() if flat else nn.ReLU(), nn.Dropout(dropout)
        )
        self.answer = nn.Linear(hidden // 2 if flat else hidden, torch.Size(output_shape).numel())

    def forward(self, inputs: Tensor, record: bool = False, ticks: int | None = None) -> Thoughts:
        """Answers at once.

        Args:
            inputs: a batch of what the backbone reads.
            record: also return the trace: the hidden layer is all there is.
            ticks: 1, if given at all.
        """
        if ticks not in (None, 1):
            raise ConfigError(f"ticks={ticks}: a feed-forward model thinks for 1")
        hidden: Float[Tensor, "batch hidden"] = self.layers(self.features(inputs))
        logits = self.answer(hidden).view(len(inputs), 1, *self.output_shape)
        trace = Trace(hidden.detach().float().cpu().unsqueeze(1)) if record else None
        return Thoughts.of(logits, trace)

    def features(self, inputs: Tensor) -> Float[Tensor, "batch features"]:
        found = self.backbone(inputs.to(self.answer.weight.dtype))
        return found.flatten(2).mean(2) if self.head is Head.pooled else found.flatten(1)
