"""Synapses: the one place where neurons talk to each other, o and z in, pre-activations out."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

Layer = Callable[[Tensor], Tensor]
NARROWEST = 16  # width of the U-Net's middle


class MLPSynapse(nn.Sequential):
    """Dropout, Linear(d_in -> 2 neurons), GLU, LayerNorm. Depth 1."""

    def __init__(self, *, d_in: int, neurons: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Dropout(dropout), nn.Linear(d_in, 2 * neurons), nn.GLU(), nn.LayerNorm(neurons)
        )


def _block(d_in: int, d_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(d_in, d_out), nn.LayerNorm(d_out), nn.SiLU()
    )


class UNetSynapse(nn.Module):
    """A U-Net over ever narrower layers, from all neurons to 16 and back, with skips.

    Widths are `linspace(neurons, 16, depth)` cut to integers. Going down keeps each level's output;
    going up, each level is LayerNorm(up + the output kept at that width). Paper, section 3.2.

    Args:
        depth: levels, 2 or more; there are depth - 1 blocks in each direction.
    """

    def __init__(self, *, d_in: int, neurons: int, depth: int, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [int(width) for width in np.linspace(neurons, NARROWEST, depth)]
        levels = list(pairwise(widths))
        self.first = nn.Sequential(nn.Linear(d_in, widths[0]), nn.LayerNorm(widths[0]), nn.SiLU())
        self.down = nn.ModuleList(_block(wide, narrow, dropout) for wide, narrow in levels)
        self.up = nn.ModuleList(_block(narrow, wide, dropout) for wide, narrow in levels)
        self.norms = nn.ModuleList(nn.LayerNorm(wide) for wide, _ in levels)

    def forward(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch neurons"]:
        return unet(x, self.first, self.down, self.up, self.norms)


def unet(
    x: Float[Tensor, "batch d_in"],
    first: Layer,
    downward: Iterable[Layer],
    upward: Iterable[Layer],
    norms: Iterable[Layer],
) -> Float[Tensor, "batch neurons"]:
    """The way through a U-Net, widest level first in each of its parts."""
    x = first(x)
    skips: list[Tensor] = []
    for down in downward:
        skips.append(x)
        x = down(x)
    levels = list(zip(upward, norms, skips, strict=True))
    for up, norm, skip in reversed(levels):
        x = norm(up(x) + skip)
    return x


def synapse(*, d_in: int, neurons: int, depth: int, dropout: float) -> nn.Module:
    """The synapse of a depth: an MLP at 1, a U-Net above.

    Shapes: (batch, d_in) to (batch, neurons).
    """
    if depth == 1:
        return MLPSynapse(d_in=d_in, neurons=neurons, dropout=dropout)
    return UNetSynapse(d_in=d_in, neurons=neurons, depth=depth, dropout=dropout)
