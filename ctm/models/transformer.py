"""The Transformer baseline, plain and looped: one encoder, passed once or again and again.

Pre-norm blocks (Xiong et al., 2020); looped, their weights are shared over the ticks, as in the
universal Transformer (Dehghani et al., 2019), and the data are added again at each (Yang et al.,
2024).
"""

from dataclasses import dataclass, replace
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.interface import Inputs, batch_size
from ctm.layers.blocks import Block, Turn, turn_by
from ctm.layers.encoders import Placed, in_a_row
from ctm.models.ticking import Parts, TickingModel


@dataclass(frozen=True)
class Thinking:
    """All that the encoder carries from one tick to the next: tokens, those that answer first."""

    tokens: Float[Tensor, "batch tokens width"]  # before the first tick one zero for all

    def rows(self, kept: Int[Tensor, " kept"]) -> "Thinking":
        """Of some examples."""
        return Thinking(self.tokens[kept])


@dataclass(frozen=True, eq=False)
class Told:
    """What each pass is told: the data's tokens behind those that answer, and where they stand."""

    tokens: Float[Tensor, "batch tokens width"]
    turn: Turn
    gridded: bool  # the data lie on one grid, so attention to them can be drawn

    def rows(self, kept: Int[Tensor, " kept"]) -> "Told":
        """Of some examples."""
        return replace(self, tokens=self.tokens[kept])


class Transformer(TickingModel):
    """x(t) = LayerNorm(Blocks(x(t-1) + data)), x(0) = 0; the first tokens of x(t) answer.

    With one tick it is a plain Transformer encoder; with more a looped one, which answers at each.

    Args:
        width: of the tokens inside.
        hidden: of the blocks' MLPs.
        layers: blocks of a pass.
        heads: `width` is a multiple of 2 `heads`.
        d_input: width of the data's tokens.
        answers: that one pass gives, by a learned token each: labels said one after the other.
        parts: what every model has that thinks in ticks; see `TickingModel`.
    """

    encoder: Placed

    def __init__(
        self,
        *,
        width: int,
        hidden: int,
        layers: int,
        heads: int,
        d_input: int,
        answers: int = 1,
        dropout: float = 0.0,
        **parts: Unpack[Parts],
    ) -> None:
        super().__init__(**parts)
        self.answers = answers
        self.d_head = width // heads
        self.embed = nn.Linear(d_input, width)
        self.summaries = nn.Parameter(torch.empty(answers, width))
        self.blocks = nn.ModuleList(
            Block(width=width, hidden=hidden, heads=heads, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.answer = nn.Linear(width, self.outputs)

    def reset(self, generator: torch.Generator | None = None) -> None:
        """The tokens that answer: uniform within +-sqrt(1 / width)."""
        bound = self.summaries.shape[1] ** -0.5
        nn.init.uniform_(self.summaries, -bound, bound, generator=generator)

    def tick(self, state: Thinking, reading: Told) -> Thinking:
        """One pass through the blocks. Pure."""
        return Thinking(self.passed(state, reading))

    def conclude(self, state: Thinking, reading: Told) -> Float[Tensor, "batch representation"]:
        """The last pass: what the data's tokens come to in its last block is read by nobody."""
        return self.passed(state, reading, self.answers).flatten(1)

    def passed(
        self, state: Thinking, reading: Told, first: int | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """What so many of the tokens come to; None: all."""
        last = self.blocks[-1]
        x = self.before_last(state, reading)
        return self.norm(last(x, reading.turn, first))

    def before_last(self, state: Thinking, reading: Told) -> Float[Tensor, "batch tokens width"]:
        """A pass without its last block."""
        x = state.tokens + reading.tokens
        for block in self.blocks[:-1]:
            x = block(x, reading.turn)
        return x

    def start(self, batch: int) -> Thinking:
        """Nothing was thought yet."""
        return Thinking(self.summaries.new_zeros(batch, 1, self.summaries.shape[1]))

    def readings(self, inputs: Inputs, ticks: int) -> list[Told]:
        """All that there is to read, at once and at every tick."""
        if ticks > 1 and self.answers > 1:
            raise ConfigError(f"ticks={ticks}: one pass gives all {self.answers} answers; want 1")
        tokens = self.embed(in_a_row(self.encoded(inputs)))
        places = self.encoder.coordinates(inputs)
        # those that answer stand before the data, in their order
        before = torch.arange(-self.answers, 0, device=places.device)
        before = before.unsqueeze(1).expand(-1, places.shape[1])
        summaries = self.summaries.expand(batch_size(inputs), -1, -1)
        told = Told(
            torch.cat((summaries.to(tokens.dtype), tokens), dim=1),
            turn_by(torch.cat((before, places)), self.d_head, self.norm.weight.dtype),
            self.encoder.gridded,
        )
        return [told] * ticks

    def representation(self, state: Thinking) -> Float[Tensor, "batch representation"]:
        """The tokens that answer, side by side."""
        return state.tokens[:, : self.answers].flatten(1)

    def predict(
        self, represented: Float[Tensor, "batch ticks representation"]
    ) -> Float[Tensor, "batch answers *output"]:
        """logits = W_out x + b, of each token that answers."""
        each = represented.unflatten(2, (self.answers, -1)).flatten(1, 2)
        return super().predict(each)

    def seen(self, before: Thinking, after: Thinking, reading: Told) -> dict[str, Tensor]:
        """The first token that answers, and what it looks at in the last block."""
        seen = {"post_activations": after.tokens[:, 0]}
        if reading.gridded:
            last = self.blocks[-1]
            assert isinstance(last, Block)
            weights = last.weights(self.before_last(before, reading), reading.turn)
            seen["attention"] = weights[:, :, self.answers :]
        return seen
