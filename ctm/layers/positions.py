"""Positional embeddings: what is added to a token for where it stands.

Each module is called with the shape of the token grid, (height, width) or (length,), and returns a
row for each token, row-major.
"""

import math
from enum import StrEnum

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

FOURIER_FEATURES = 128
FOURIER_SCALES = 10


class Positions(StrEnum):
    none = "none"
    fourier = "fourier"  # learned Fourier features of (x, y)
    multi_fourier = "multi_fourier"  # ten of them, of different scales, mixed
    rotational_1d = "rotational_1d"  # a vector turned along the sequence
    rotational_2d = "rotational_2d"  # the same along rows and along columns


class FourierPositions(nn.Module):
    """LayerNorm(MLP([cos(W p), sin(W p)] / sqrt(256))), p = (x / (W - 1), y / (H - 1)).

    Args:
        width: of the tokens it is added to.
        gamma: the smaller, the finer the features: W starts with standard deviation gamma^-2.
    """

    def __init__(self, *, width: int, gamma: float = 1 / 2.5) -> None:
        super().__init__()
        self.gamma = gamma
        self.waves = nn.Linear(2, FOURIER_FEATURES, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * FOURIER_FEATURES, FOURIER_FEATURES),
            nn.GLU(),
            nn.Linear(FOURIER_FEATURES // 2, width),
            nn.LayerNorm(width),
        )

    def reset(self, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.waves.weight, std=self.gamma**-2, generator=generator)

    def forward(self, height: int, width: int) -> Float[Tensor, "tokens width"]:
        like = self.waves.weight
        x = torch.arange(width, device=like.device, dtype=like.dtype) / max(width - 1, 1)
        y = torch.arange(height, device=like.device, dtype=like.dtype) / max(height - 1, 1)
        yy, xx = torch.meshgrid(y, x, indexing="ij")
        phase = self.waves(torch.stack((xx.flatten(), yy.flatten()), dim=1))
        features = torch.cat((phase.cos(), phase.sin()), dim=1) / math.sqrt(2 * FOURIER_FEATURES)
        return self.mlp(features)


class MultiFourierPositions(nn.Module):
    """sum_k softmax(w)_k Fourier_k, gamma_k from 1.0 down to 0.1 in ten steps."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        gammas = torch.linspace(1.0, 0.1, FOURIER_SCALES, device="cpu").tolist()
        self.scales = nn.ModuleList(FourierPositions(width=width, gamma=g) for g in gammas)
        self.mixture = nn.Parameter(torch.empty(FOURIER_SCALES))

    def reset(self, generator: torch.Generator | None = None) -> None:
        nn.init.zeros_(self.mixture)

    def forward(self, height: int, width: int) -> Float[Tensor, "tokens width"]:
        codes = torch.stack([scale(height, width) for scale in self.scales])
        return torch.einsum("k,ksc->sc", self.mixture.softmax(0), codes)


def turned(vector: Float[Tensor, "2"], steps: int) -> Float[Tensor, "steps 2"]:
    """`vector` turned counter-clockwise by `steps` angles from 0 to 180 degrees, ends included."""
    angle = torch.linspace(0, math.pi, steps, device=vector.device, dtype=vector.dtype)
    x, y = vector
    return torch.stack((angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y), 1)


class RotationalPositions1d(nn.Module):
    """Linear(2 -> width) of the vector (0, 1) turned along the sequence."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(2, width)

    def forward(self, length: int) -> Float[Tensor, "tokens width"]:
        up = torch.tensor(
            [0.0, 1.0], device=self.projection.weight.device, dtype=self.projection.weight.dtype
        )
        return self.projection(turned(up, length))


class RotationalPositions2d(nn.Module):
    """Linear(4 -> width) of a learned vector, turned by the row's and by the column's angle."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.empty(2))
        self.projection = nn.Linear(4, width)

    def reset(self, generator: torch.Generator | None = None) -> None:
        with torch.no_grad():
            self.start.copy_(torch.tensor([0.0, 1.0]))

    def forward(self, height: int, width: int) -> Float[Tensor, "tokens width"]:
        rows = turned(self.start, height).unsqueeze(1).expand(height, width, 2)
        columns = turned(self.start, width).unsqueeze(0).expand(height, width, 2)
        return self.projection(rearrange(torch.cat((rows, columns), 2), "y x c -> (y x) c"))


POSITIONS: dict[Positions, type[nn.Module]] = {
    Positions.fourier: FourierPositions,
    Positions.multi_fourier: MultiFourierPositions,
    Positions.rotational_1d: RotationalPositions1d,
    Positions.rotational_2d: RotationalPositions2d,
}
GRID_AXES = {
    Positions.fourier: 2,
    Positions.multi_fourier: 2,
    Positions.rotational_1d: 1,
    Positions.rotational_2d: 2,
}
