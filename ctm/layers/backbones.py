"""Backbones: from an input to features, a vector for each place of a grid.

The ResNets have a file of their own.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from ctm.errors import ConfigError


class Backbone(nn.Module):
    """Maps (batch, *input) to features (batch, width, *grid)."""

    width: int  # channels of the features

    def grid(self, *sizes: int) -> tuple[int, ...]:
        """Shape of the grid of features for an input of these sizes (without channels)."""
        return sizes


class SignEmbedding(Backbone):
    """A learned vector for +1 (row 1 of the table) and one for -1 (row 0)."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(2, width)

    def forward(self, signs: Float[Tensor, "batch length"]) -> Float[Tensor, "batch width length"]:
        return self.embedding((signs > 0).long()).transpose(1, 2)


class NumberEmbedding(Backbone):
    """Every number of a vector becomes a token: Linear(1 -> width)."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.projection = nn.Linear(1, width)

    def forward(
        self, numbers: Float[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width length"]:
        return self.projection(numbers.unsqueeze(-1)).transpose(1, 2)


class Numbers(Backbone):
    """The numbers of a vector as they are, one a place."""

    width = 1

    def forward(self, numbers: Float[Tensor, "batch length"]) -> Float[Tensor, "batch 1 length"]:
        return numbers.unsqueeze(1)


class SmallConv(Backbone):
    """3x3 convolutions with BatchNorm and ReLU that keep the image's size: a token a pixel.

    For small pictures such as the 8x8 digits.

    Args:
        channels: of the image.
        widths: of the layers' outputs.
    """

    def __init__(self, *, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ConfigError(f"widths={list(widths)}: want one width or more, each at least 1")
        layers: list[nn.Module] = []
        for d_in, d_out in zip([channels, *widths], widths, strict=False):
            layers += [nn.Conv2d(d_in, d_out, 3, padding=1), nn.BatchNorm2d(d_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.width = widths[-1]

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch d_feature height width"]:
        return self.layers(image)


class ShallowWide(Backbone):
    """Two wide gated convolutions, the first at stride 2, the second in 32 groups."""

    width = 2048

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 2 * self.width, 3, stride=2, padding=1),
            nn.GLU(dim=1),
            nn.BatchNorm2d(self.width),
            nn.Conv2d(self.width, 2 * self.width, 3, padding=1, groups=32),
            nn.GLU(dim=1),
            nn.BatchNorm2d(self.width),
        )

    def grid(self, *sizes: int) -> tuple[int, ...]:
        return tuple(-(-size // 2) for size in sizes)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch d_feature rows columns"]:
        return self.layers(image)


class PooledConv(Backbone):
    """Twice 3x3 convolution, BatchNorm, ReLU and 2x2 max-pooling (digits of Q&A)."""

    def __init__(self, *, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(*_pooled_block(channels, width), *_pooled_block(width, width))

    def grid(self, *sizes: int) -> tuple[int, ...]:
        return tuple(size // 4 for size in sizes)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch d_feature rows columns"]:
        return self.layers(image)


def _pooled_block(d_in: int, d_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(d_in, d_out, 3, padding=1)
    return [conv, nn.BatchNorm2d(d_out), nn.ReLU(), nn.MaxPool2d(2)]
