"""Encoding of symbols that are shown one after the other."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from ctm.interface import Inputs
from ctm.layers.encoders import Placed, grid_places
from ctm.layers.reading import Shown


class SymbolEncoder(Placed):
    """A learned vector for each symbol, shown for some ticks.

    Args:
        symbols: different ones.
        d_input: width of the vectors.
        ticks: how long each is shown.
    """

    def __init__(self, *, symbols: int, d_input: int, ticks: int) -> None:
        super().__init__()
        self.ticks = ticks
        self.embedding = nn.Embedding(symbols, d_input)

    def grid(self, *sizes: int) -> tuple[int, ...]:
        return sizes

    def coordinates(self, inputs: Inputs) -> Int[Tensor, "tokens axes"]:
        assert isinstance(inputs, Tensor)
        return grid_places(inputs.shape[1:], inputs.device)

    def forward(self, inputs: Int[Tensor, "batch length"]) -> list[Shown]:
        vectors: Float[Tensor, "batch length d_input"] = self.embedding(inputs)
        return [Shown(vector, self.ticks) for vector in vectors.unbind(1)]
