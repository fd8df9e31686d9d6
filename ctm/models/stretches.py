"""Activation checkpointing over stretches of ticks: memory for time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

S = TypeVar("S")


@dataclass(frozen=True)
class Stretches:
    """Runs ticks in stretches of `longest`; None: all in one, and nothing is recomputed.

    Of a stretch the backward pass keeps what went in and came out. All between is computed again,
    with the same random numbers, when the gradient gets there. The last stretch is kept whole: the
    gradient starts there, before anything else has been computed again.
    """

    longest: int | None = None

    def run(
        self, stretch: Callable[[S, range], tuple[S, list[Tensor]]], state: S, ticks: int
    ) -> list[Tensor]:
        """What the stretches give, in a row.

        Args:
            stretch: the state before and the ticks' numbers to the state after and what each gives.
        """
        given: list[Tensor] = []
        length = self.longest or ticks
        for start in range(0, ticks, length):
            numbers = range(start, min(start + length, ticks))
            if numbers.stop == ticks or not torch.is_grad_enabled():
                state, more = stretch(state, numbers)
            else:
                # its tensors by name too: torch keeps the random state of the devices it sees there
                state, more = checkpoint(
                    lambda _, *given: stretch(*given),
                    vars(state),
                    state,
                    numbers,
                    use_reentrant=False,
                )
            given += more
        return given
