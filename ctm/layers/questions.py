"""Encoding of images that are shown one by one, and of the question that follows."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ctm.interface import Inputs
from ctm.layers.encoders import Placed, TokenEncoder, grid_places
from ctm.layers.reading import Shown

PLACES = 50  # an image is named by its place; more than this many have no name
OPERATORS = ("+", "-")  # codes -1 and -2, rows 0 and 1 of their table


class QuestionEncoder(Placed):
    """Digits to tokens, codes to vectors, each with the ticks that it is shown for.

    A code of 0 or more names an image by its place, by a fixed table of sines and cosines; -1 and
    -2 are the operators, learned vectors. Images and codes come as often as there are ticks to show
    them for; what stays the same is encoded once. Paper, section 5 (Q&A MNIST).

    Args:
        images: an image to tokens.
        d_input: width of the codes' vectors.
        image_ticks, code_ticks: how long each image and each code is shown.
    """

    places: Float[Tensor, "places d_input"]

    def __init__(
        self, *, images: TokenEncoder, d_input: int, image_ticks: int, code_ticks: int
    ) -> None:
        super().__init__()
        self.images = images
        self.image_ticks, self.code_ticks = image_ticks, code_ticks
        self.register_buffer("places", torch.empty(PLACES, d_input))
        self.operators = nn.Embedding(len(OPERATORS), d_input)

    def reset(self, generator: torch.Generator | None = None) -> None:
        """sin(p 10000^(-2k/d)) at even and cos at odd columns."""
        d_input = self.places.shape[1]
        frequency = 10000 ** (-torch.arange(0, d_input, 2) / d_input)
        angles = torch.arange(PLACES).unsqueeze(1) * frequency
        self.places[:, 0::2] = angles.sin()
        self.places[:, 1::2] = angles.cos()[:, : d_input // 2]

    def grid(self, *sizes: int) -> tuple[int, ...]:
        """Shape of the token grid of one image of these sizes (without channels)."""
        return self.images.grid(*sizes)

    def coordinates(self, inputs: Inputs) -> Int[Tensor, "tokens axes"]:
        """Which thing it is of, and where on its grid."""
        images, codes = inputs[0][:, :: self.image_ticks], inputs[1][:, :: self.code_ticks]
        grid = grid_places(self.grid(*images.shape[3:]), images.device)
        things = [grid] * images.shape[1] + [grid[:1]] * codes.shape[1]
        return torch.cat([F.pad(place, (1, 0), value=k) for k, place in enumerate(things)])

    def forward(
        self, inputs: tuple[Float[Tensor, "batch shown channels height width"], Tensor]
    ) -> list[Shown]:
        images, codes = inputs[0][:, :: self.image_ticks], inputs[1][:, :: self.code_ticks]
        # one image after the other: BatchNorm sees those of one moment
        shown = [Shown(self.images(image), self.image_ticks) for image in images.unbind(1)]
        return shown + [Shown(self.named(code), self.code_ticks) for code in codes.unbind(1)]

    def named(self, codes: Int[Tensor, " batch"]) -> Float[Tensor, "batch d_input"]:
        """The vectors of codes."""
        place = self.places[codes.clamp_min(0)]
        operator = self.operators((-1 - codes).clamp_min(0))
        return torch.where((codes >= 0).unsqueeze(1), place.to(operator.dtype), operator)
