"""Encoders: from an input to what a machine reads."""

from jaxtyping import Float
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.layers.backbones import Backbone
from ctm.layers.positions import GRID_AXES, POSITIONS, Positions


class TokenEncoder(nn.Module):
    """tokens = LayerNorm(Linear(backbone(x) + positions)), row-major over the feature map.

    Args:
        backbone: inputs to features.
        positions: what is added to the features.
        d_input: width of the tokens.
    """

    def __init__(self, *, backbone: Backbone, positions: Positions, d_input: int) -> None:
        super().__init__()
        self.backbone = backbone
        width = backbone.width
        self.positions = None if positions is Positions.none else POSITIONS[positions](width=width)
        self.project = nn.Sequential(nn.Linear(width, d_input), nn.LayerNorm(d_input))

    def grid(self, *sizes: int) -> tuple[int, ...]:
        """Shape of the token grid for an input of these sizes (without channels)."""
        return self.backbone.grid(*sizes)

    def forward(
        self, inputs: Float[Tensor, "batch *input"]
    ) -> Float[Tensor, "batch tokens d_input"]:
        features: Tensor = self.backbone(inputs.to(next(self.project.parameters()).dtype))
        tokens = features.flatten(2).transpose(1, 2)
        if self.positions is not None:
            tokens = tokens + self.positions(*features.shape[2:])
        return self.project(tokens)


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
