"""Reading: how a machine looks at its data at a tick.

A *reader* is a module: it sees the encoded data once a forward pass and returns a *reading*, which
maps what the machine asks at a tick (its action synchronisation) to what it gets (o).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ctm.errors import ConfigError


class ReadingKind(StrEnum):
    attention = "attention"  # the machine asks, attention over the data's tokens answers
    direct = "direct"  # the same vector at every tick, whatever the machine asks
    scheduled = "scheduled"  # one thing after the other: some are attended to, some read directly
    streamed = "streamed"  # one vector after the other, whatever the machine asks

    @property
    def asks(self) -> bool:
        """Whether what is read depends on what the machine asks."""
        return self in (ReadingKind.attention, ReadingKind.scheduled)


@runtime_checkable
class Reading(Protocol):
    """What is asked to o, the same at every tick that has it."""

    def __call__(self, sync: Float[Tensor, "batch pairs"], /) -> Float[Tensor, "batch d_input"]: ...

    def rows(self, kept: Int[Tensor, " kept"]) -> "Reading":
        """Of some examples."""
        ...


R = TypeVar("R")
S = TypeVar("S")


def each_once(change: Callable[[R], S], readings: Sequence[R]) -> list[S]:
    """The readings of all ticks, changed; one that serves many ticks is changed once."""
    changed = {reading: change(reading) for reading in dict.fromkeys(readings)}
    return [changed[reading] for reading in readings]


class Reader(nn.Module):
    """Data to the reading of every tick."""

    def schedule(self, data: Any, ticks: int) -> list[Reading]:
        """The same reading at each of `ticks` ticks, unless the data come one after the other."""
        return [self(data)] * ticks


class AttentionReader(Reader):
    """o = MultiHead(W_q S_action, K, V): cross-attention with one query, the synchronisation.

    K and V come from the data alone: they are projected once a pass, not once a tick. Paper,
    section 3.4.

    Args:
        pairs: width of the action synchronisation.
        d_input: width of tokens and of o.
        heads: divides `d_input`.
        dropout: on the attention weights.
    """

    def __init__(self, *, pairs: int, d_input: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or d_input % heads:
            raise ConfigError(f"heads={heads}: want a divisor of d_input={d_input}")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(pairs, d_input)
        self.in_query = nn.Linear(d_input, d_input)
        self.in_key_value = nn.Linear(d_input, 2 * d_input)
        self.out = nn.Linear(d_input, d_input)

    def reset(self, generator: torch.Generator | None = None) -> None:
        """As in torch's multi-head attention: the three input projections are one Xavier matrix."""
        d_input = self.out.in_features
        bound = (6 / (d_input + 3 * d_input)) ** 0.5
        for projection in (self.in_query, self.in_key_value):
            nn.init.uniform_(projection.weight, -bound, bound, generator=generator)
            nn.init.zeros_(projection.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens: Float[Tensor, "batch tokens d_input"]) -> "Attention":
        keys, values = rearrange(
            self.in_key_value(tokens), "b s (two h d) -> two b h s d", two=2, h=self.heads
        )
        return Attention(self, keys, values)

    def queries(self, sync: Float[Tensor, "batch pairs"]) -> Float[Tensor, "batch heads 1 d_head"]:
        """One query a head."""
        asked = self.in_query(self.query(sync.to(self.query.weight.dtype)))
        return rearrange(asked, "b (h d) -> b h 1 d", h=self.heads)


@dataclass(frozen=True, eq=False)
class Attention:
    """The reading of an `AttentionReader`: the data's keys and values, ready to be asked."""

    reader: AttentionReader
    keys: Float[Tensor, "batch heads tokens d_head"]
    values: Float[Tensor, "batch heads tokens d_head"]

    def rows(self, kept: Int[Tensor, " kept"]) -> "Attention":
        """To some examples' data."""
        return Attention(self.reader, self.keys[kept], self.values[kept])

    def __call__(self, sync: Float[Tensor, "batch pairs"]) -> Float[Tensor, "batch d_input"]:
        reader = self.reader
        seen = F.scaled_dot_product_attention(
            reader.queries(sync),
            self.keys,
            self.values,
            dropout_p=reader.dropout if reader.training else 0.0,
        )
        return reader.out(rearrange(seen, "b h 1 d -> b (h d)"))

    def weights(self, sync: Float[Tensor, "batch pairs"]) -> Float[Tensor, "batch heads tokens"]:
        """Where the machine looks: softmax(q k / sqrt(d_head)), without dropout."""
        queries = self.reader.queries(sync)
        scores = torch.einsum("bhid,bhsd->bhs", queries, self.keys) * queries.shape[-1] ** -0.5
        return scores.softmax(-1)


class DirectReader(Reader):
    """o = x: the encoded vector itself at every tick (sorting, control)."""

    def forward(self, data: Float[Tensor, "batch d_input"]) -> "Direct":
        return Direct(data)


@dataclass(frozen=True, eq=False)
class Direct:
    """The reading of a `DirectReader`."""

    data: Float[Tensor, "batch d_input"]

    def rows(self, kept: Int[Tensor, " kept"]) -> "Direct":
        """Some examples' data."""
        return Direct(self.data[kept])

    def __call__(self, sync: Float[Tensor, "batch pairs"]) -> Float[Tensor, "batch d_input"]:
        return self.data


class Shown(NamedTuple):
    """One of several things to read one after the other, and for how many ticks."""

    data: Float[Tensor, "batch tokens d_input"] | Float[Tensor, "batch d_input"]
    ticks: int


def one_after_the_other(
    shown: Sequence[Shown], read: Callable[[Tensor], Reading], ticks: int
) -> list[Reading]:
    """Everything that is shown, each for its time, then `ticks` ticks of silence, o = 0."""
    readings: list[Reading] = []
    for data, how_long in shown:
        readings += [read(data)] * how_long
    first = shown[0].data
    silence = Direct(torch.zeros_like(first[:, 0] if first.dim() == 3 else first))
    return readings + [silence] * ticks


class ScheduledReader(AttentionReader):
    """What is shown in tokens is attended to, a single vector is read as it is; then silence.

    While the model answers there is nothing to read: o = 0. Paper, section 5 (Q&A MNIST).
    """

    def schedule(self, data: Sequence[Shown], ticks: int) -> list[Reading]:
        return one_after_the_other(data, lambda x: self(x) if x.dim() == 3 else Direct(x), ticks)


class StreamReader(Reader):
    """Vectors one after the other, each read as it is; then silence."""

    def schedule(self, data: Sequence[Shown], ticks: int) -> list[Reading]:
        return one_after_the_other(data, Direct, ticks)
