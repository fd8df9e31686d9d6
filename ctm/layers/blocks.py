"""Blocks of a Transformer encoder, with positions by rotation."""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ctm.errors import ConfigError

BASE = 100.0  # the slowest of several pairs turns by 1 / BASE of a radian a place


class Turn(NamedTuple):
    """Cosines and sines by which queries and keys are turned."""

    cos: Float[Tensor, "tokens half_head"]
    sin: Float[Tensor, "tokens half_head"]

    def first(self, count: int | None) -> "Turn":
        """Of the first tokens."""
        return Turn(self.cos[:count], self.sin[:count])

    def __call__(
        self, x: Float[Tensor, "batch heads tokens d_head"]
    ) -> Float[Tensor, "batch heads tokens d_head"]:
        """Each pair of columns (k, k + d_head / 2) turned by the angle of its token."""
        left, right = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=-1)
        turned = left * self.cos - right * self.sin, left * self.sin + right * self.cos
        return torch.cat(turned, dim=-1).to(x.dtype)


def turn_by(
    places: Int[Tensor, "tokens axes"], d_head: int, dtype: torch.dtype = torch.float32
) -> Turn:
    """Rotary positions (Su et al., 2021), the pairs of columns dealt out to the axes in turn.

    The product of a query and a key so depends on how far apart their tokens are along each axis.

    Raises:
        ConfigError: an axis would have no pair.
    """
    pairs, axes = d_head // 2, places.shape[1]
    if pairs < axes:
        raise ConfigError(
            f"model.width / model.heads={d_head}: tokens stand along {axes} axes, and each takes 2 "
            f"columns of a head; want {2 * axes} or more"
        )
    columns = torch.arange(pairs, device=places.device)
    axis, rank = columns % axes, columns // axes
    last = (pairs - 1 - axis) // axes  # rank of the last pair of the same axis
    angles = places.to(dtype)[:, axis] * BASE ** -(rank / last.clamp_min(1))
    return Turn(angles.cos(), angles.sin())


class SelfAttention(nn.Module):
    """Multi-head self-attention of all tokens to all, queries and keys turned by their places."""

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if heads < 1 or width % (2 * heads):
            raise ConfigError(f"width={width}: want a multiple of 2 heads={heads}")
        self.heads, self.dropout = heads, dropout
        self.in_projection = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        turn: Turn,
        first: int | None = None,
    ) -> Float[Tensor, "batch asking width"]:
        """What the first tokens see of all of them; None: what all see."""
        queries = self._queries(tokens[:, :first], turn.first(first))
        keys, values = self._told(tokens, turn)
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout)
        return self.out(rearrange(seen, "b h s d -> b s (h d)"))

    def weights(
        self, tokens: Float[Tensor, "batch tokens width"], turn: Turn
    ) -> Float[Tensor, "batch heads tokens"]:
        """What the first of the tokens attends to, without dropout."""
        query = self._queries(tokens[:, :1], turn.first(1))
        keys, _ = self._told(tokens, turn)
        scores = torch.einsum("bhqd,bhsd->bhs", query, keys)
        return (scores * query.shape[-1] ** -0.5).softmax(-1)

    def _queries(self, tokens: Tensor, turn: Turn) -> Float[Tensor, "batch heads asking d_head"]:
        width = tokens.shape[-1]
        weight, bias = self.in_projection.weight[:width], self.in_projection.bias[:width]
        return turn(rearrange(F.linear(tokens, weight, bias), "b s (h d) -> b h s d", h=self.heads))

    def _told(self, tokens: Tensor, turn: Turn) -> tuple[Tensor, Tensor]:
        """Keys and values."""
        width = tokens.shape[-1]
        weight, bias = self.in_projection.weight[width:], self.in_projection.bias[width:]
        keys, values = rearrange(
            F.linear(tokens, weight, bias), "b s (two h d) -> two b h s d", two=2, h=self.heads
        )
        return turn(keys), values


class Block(nn.Module):
    """x <- x + Attention(LayerNorm(x)), then x <- x + MLP(LayerNorm(x)) (pre-norm).

    Args:
        width: of the tokens; a multiple of 2 `heads`.
        hidden: of the MLP, Linear, GELU, Linear.
        dropout: on the attention weights and on what both add.
    """

    def __init__(self, *, width: int, hidden: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width=width, heads=heads, dropout=dropout)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], turn: Turn, first: int | None = None
    ) -> Float[Tensor, "batch asking width"]:
        """
        Args:
            first: how many of the tokens are wanted, where nobody reads the others; None: all.
        """
        seen = self.attention(self.attention_norm(x), turn, first)
        x = x[:, :first] + self.dropout(seen)
        return x + self.dropout(self.mlp(x))

    def weights(
        self, x: Float[Tensor, "batch tokens width"], turn: Turn
    ) -> Float[Tensor, "batch heads tokens"]:
        """What the first of the tokens attends to in this block."""
        return self.attention.weights(self.attention_norm(x), turn)
