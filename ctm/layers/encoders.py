"""Encoders: from an input to what a model reads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.interface import Inputs
from ctm.layers.backbones import Backbone
from ctm.layers.positions import GRID_AXES, POSITIONS, Positions
from ctm.layers.reading import Shown


class Placed(nn.Module, ABC):
    """An encoder whose tokens, where they are read all at once, stand somewhere.

    `gridded`: all of them on one grid, that of the input.
    """

    gridded = False

    @abstractmethod
    def coordinates(self, inputs: Inputs) -> Int[Tensor, "tokens axes"]:
        """Where the tokens of `in_a_row(self(inputs))` stand, counted from 0 along each axis."""


def in_a_row(data: Tensor | Sequence[Shown]) -> Float[Tensor, "batch tokens d_input"]:
    """All tokens at once, also of what is shown one after the other, each thing once."""
    if isinstance(data, Tensor):
        return data
    return torch.cat([x if x.dim() == 3 else x.unsqueeze(1) for x, _ in data], dim=1)


def grid_places(grid: Sequence[int], device: Any = None) -> Int[Tensor, "tokens axes"]:
    """Coordinates of a grid, row by row."""
    axes = [torch.arange(size, device=device) for size in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)


class TokenEncoder(Placed):
    """tokens = LayerNorm(Linear(backbone(x) + positions)), row-major over the feature map.

    Args:
        backbone: inputs to features.
        positions: what is added to the features.
        d_input: width of the tokens.
    """

    gridded = True

    def __init__(self, *, backbone: Backbone, positions: Positions, d_input: int) -> None:
        super().__init__()
        self.backbone = backbone
        width = backbone.width
        self.positions = None if positions is Positions.none else POSITIONS[positions](width=width)
        self.project = nn.Sequential(nn.Linear(width, d_input), nn.LayerNorm(d_input))

    def grid(self, *sizes: int) -> tuple[int, ...]:
        """Shape of the token grid for an input of these sizes (without channels)."""
        return self.backbone.grid(*sizes)

    def coordinates(self, inputs: Inputs) -> Int[Tensor, "tokens axes"]:
        assert isinstance(inputs, Tensor)
        sizes = inputs.shape[2:] if inputs.dim() == 4 else inputs.shape[1:]
        return grid_places(self.grid(*sizes), inputs.device)

    def forward(
        self, inputs: Float[Tensor, "batch *input"]
    ) -> Float[Tensor, "batch tokens d_input"]:
        features: Tensor = self.backbone(inputs.to(next(self.project.parameters()).dtype))
        tokens = features.flatten(2).transpose(1, 2)
        if self.positions is not None:
            tokens = tokens + self.positions(*features.shape[2:])
        return self.project(tokens)


class ShownTogether(Backbone):
    """What an encoder shows one after the other, as features of as many places."""

    def __init__(self, *, encoder: Placed, width: int) -> None:
        super().__init__()
        self.width = width
        self.encoder = encoder

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch width places"]:
        return in_a_row(self.encoder(inputs)).transpose(1, 2)


class RawEncoder(nn.Module):
    """The input vector as it is, for a machine that reads it directly."""

    def forward(self, inputs: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch numbers"]:
        return inputs


def check_positions(positions: Positions, axes: int) -> None:
    """Refuses positions of a plane for a sequence, and the other way round."""
    wanted = GRID_AXES.get(positions)
    if wanted is not None and wanted != axes:
        fitting = [name.value for name in Positions if GRID_AXES.get(name, axes) == axes]
        raise ConfigError(
            f"positions={positions}: this encoder's tokens have {axes} axis(es); "
            f"choose one of {', '.join(fitting)}"
        )
