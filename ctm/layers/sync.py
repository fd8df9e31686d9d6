"""Synchronisation: how alike pairs of neurons have moved, with a memory that fades."""

from enum import StrEnum
from typing import NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ctm.errors import ConfigError

DECAY_MAX = 15.0


class Pairing(StrEnum):
    """Which pairs of neurons are compared (paper, section 3.4 and appendix)."""

    dense = "dense"  # every pair i <= j among the first (output) or last (action) neurons
    semi_dense = "semi_dense"  # upper triangle of two random sets' product
    random = "random"  # pairs drawn at random, the first few a neuron with itself
    none = "none"  # no pairs: post-activations in the place of synchronisation (an ablation)


class Sums(NamedTuple):
    """What synchronisation remembers: no more than two running sums."""

    alpha: Float[Tensor, "batch pairs"]  # decayed sum of z_i z_j
    beta: Float[Tensor, " pairs"]  # decayed count of the terms

    def rows(self, kept: Int[Tensor, " kept"]) -> "Sums":
        """Of some examples."""
        return Sums(self.alpha[kept], self.beta)


class Pairs(NamedTuple):
    """The two neurons of each pair."""

    left: Int[Tensor, " pairs"]
    right: Int[Tensor, " pairs"]

    @classmethod
    def triangle(cls, left: Int[Tensor, " sync"], right: Int[Tensor, " sync"]) -> Self:
        """The upper triangle of left x right, row by row: sync (sync + 1) / 2 pairs.

        For two different random sets the product is not symmetric, yet only this half is kept:
        published weights depend on it.
        """
        row, column = torch.triu_indices(len(left), len(left), device=left.device)
        return cls(left[row], right[column])


def pair_count(pairing: Pairing, sync: int) -> int:
    """Pairs, and with them synchronisation values, that `sync` neurons or pairs give."""
    return sync if pairing is Pairing.random else sync * (sync + 1) // 2


def draw_pairs(
    pairing: Pairing,
    neurons: int,
    sync: int,
    self_pairs: int = 0,
    *,
    from_end: bool = False,
    generator: torch.Generator | None = None,
) -> Pairs:
    """Chooses the pairs.

    Args:
        sync: neurons that take part (dense, semi_dense) or pairs (random).
        self_pairs: of the random pairs, how many (the first) pair a neuron with itself.
        from_end: dense takes the last neurons instead of the first.
    """
    match pairing:
        case Pairing.dense:
            chosen = torch.arange(neurons - sync, neurons) if from_end else torch.arange(sync)
            return Pairs.triangle(chosen, chosen)
        case Pairing.semi_dense:
            left, right = torch.randint(neurons, (2, sync), generator=generator)
            return Pairs.triangle(left, right)
        case Pairing.random:
            left, right = torch.randint(neurons, (2, sync), generator=generator)
            right[:self_pairs] = left[:self_pairs]
            return Pairs(left, right)
        case Pairing.none:
            raise ConfigError("pairing=none: it has no pairs; see Activations")


class Synchronisation(nn.Module):
    """S_ij(t) = sum_k e^(-r (t-k)) z_i(k) z_j(k) / sqrt(sum_k e^(-r (t-k))), k = 0..t

    Computed as a recurrence of the two sums, both held in float32 or better:

        alpha <- e^-r alpha + z_i z_j,    beta <- e^-r beta + 1,    S = alpha / sqrt(beta)

    r >= 0 is learned for each pair, starts at 0 and is kept in [0, 15]. Paper, section 3.4.

    Args:
        neurons: neurons to choose from.
        sync: neurons that take part (dense, semi_dense) or pairs (random).
        pairing: how pairs are chosen; the choice is made by `reset` and saved with the weights.
        self_pairs: random pairing: how many pairs are a neuron with itself.
        from_end: dense pairing: the last neurons, not the first.
    """

    left: Int[Tensor, " pairs"]
    right: Int[Tensor, " pairs"]

    def __init__(
        self,
        *,
        neurons: int,
        sync: int,
        pairing: Pairing,
        self_pairs: int = 0,
        from_end: bool = False,
    ) -> None:
        super().__init__()
        if pairing is Pairing.dense and sync > neurons:
            raise ConfigError(
                f"sync={sync}: dense pairing takes them from neurons={neurons}; want at most that"
            )
        if self_pairs > (sync if pairing is Pairing.random else 0):
            raise ConfigError(
                f"self_pairs={self_pairs}: want at most the pairs of a random pairing, "
                f"here {sync if pairing is Pairing.random else 0} ({pairing}, sync={sync})"
            )
        self.neurons, self.sync, self.pairing = neurons, sync, pairing
        self.self_pairs, self.from_end = self_pairs, from_end
        self.pairs = pair_count(pairing, sync)
        self.register_buffer("left", torch.empty(self.pairs, dtype=torch.long))
        self.register_buffer("right", torch.empty(self.pairs, dtype=torch.long))
        self.decay = nn.Parameter(torch.empty(self.pairs))

    def reset(self, generator: torch.Generator | None = None) -> None:
        pairs = draw_pairs(
            self.pairing,
            self.neurons,
            self.sync,
            self.self_pairs,
            from_end=self.from_end,
            generator=generator,
        )
        self.left.copy_(pairs.left)
        self.right.copy_(pairs.right)
        nn.init.zeros_(self.decay)

    def clamp_decay(self) -> None:
        """Moves stored decays back into [0, 15], as training does at the start of every pass."""
        with torch.no_grad():
            self.decay.clamp_(0, DECAY_MAX)

    def start(self, z: Float[Tensor, "batch neurons"]) -> Sums:
        """The sums when `z` is all that has been seen."""
        products = self._products(z)
        return Sums(products, products.new_ones(self.pairs))

    def update(self, sums: Sums, z: Float[Tensor, "batch neurons"]) -> Sums:
        """The sums once `z` has been seen too."""
        keep = self.keep()
        return Sums(keep * sums.alpha + self._products(z), keep * sums.beta + 1)

    def keep(self) -> Float[Tensor, " pairs"]:
        """e^-r: what a tick leaves of the sums before it."""
        return torch.exp(-self._rate())

    def forward(self, sums: Sums) -> Float[Tensor, "batch pairs"]:
        return sums.alpha * sums.beta.rsqrt()

    def _products(self, z: Float[Tensor, "batch neurons"]) -> Float[Tensor, "batch pairs"]:
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        return z.index_select(1, self.left) * z.index_select(1, self.right)

    def _rate(self) -> Float[Tensor, " pairs"]:
        """r within [0, 15], its gradient that of the stored value even where that lies outside.

        Clamping in the graph would take the gradient of a decay that a step has carried below 0,
        and it could never return.
        """
        stored = self.decay.to(torch.promote_types(self.decay.dtype, torch.float32))
        return stored + (stored.clamp(0.0, DECAY_MAX) - stored).detach()


class Activations(nn.Module):
    """S = z: the newest post-activations, where synchronisation would be (the paper's ablation).

    Args:
        neurons: all of them take part.
    """

    def __init__(self, *, neurons: int) -> None:
        super().__init__()
        self.neurons = self.pairs = neurons

    def clamp_decay(self) -> None:
        """Nothing fades."""

    def start(self, z: Float[Tensor, "batch neurons"]) -> Sums:
        return Sums(z, z.new_ones(self.pairs))

    def update(self, sums: Sums, z: Float[Tensor, "batch neurons"]) -> Sums:
        return Sums(z, sums.beta)

    def forward(self, sums: Sums) -> Float[Tensor, "batch neurons"]:
        return sums.alpha
