"""Thinking on demand: each example thinks until it is sure, and then leaves the batch.

The paper's adaptive compute (section 3.5): an easy input costs few ticks, and only those.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.errors import ConfigError
from ctm.interface import Readout, Thoughts, certainty

# examples that are done leave the batch once they are this part of it: the others are copied then
PART = 1 / 8


@dataclass(frozen=True)
class Conclusions:
    """What each example came to, and after how many ticks."""

    logits: Float[Tensor, "batch *output"]
    ticks: Int[Tensor, " batch"]  # where things are shown first: those after the last of them
    certainty: Float[Tensor, " batch"]  # of the answer

    @classmethod
    def blank(cls, batch: int, logits: Float[Tensor, "walking *output"]) -> "Conclusions":
        """To be filled, with answers such as these."""
        device = logits.device
        return cls(
            logits.new_empty(batch, *logits.shape[1:]),
            torch.zeros(batch, dtype=torch.long, device=device),
            torch.zeros(batch, device=device),
        )

    def fill(
        self, numbers: Int[Tensor, " some"], logits: Float[Tensor, "some *output"], ticks: int
    ) -> None:
        """The examples with these numbers are done."""
        self.logits[numbers], self.ticks[numbers] = logits, ticks
        self.certainty[numbers] = certainty(logits.unsqueeze(1)).squeeze(1)


def concluded(thoughts: Thoughts, readout: Readout) -> Conclusions:
    """When everyone has thought to the end."""
    logits = thoughts.at(readout)
    ticks = thoughts.ticks if thoughts.answering is None else thoughts.answering
    found = Conclusions.blank(len(logits), logits)
    found.fill(torch.arange(len(logits), device=logits.device), logits, ticks)
    return found


def checked_demand(stop_at: float | None, ticks: int, readout: Readout | str) -> Readout:
    """
    Raises:
        ConfigError: what `think` was asked for can't be had.
    """
    if stop_at is not None and not 0 <= stop_at <= 1:
        raise ConfigError(f"stop_at={stop_at}: want a certainty from 0 to 1, or None")
    if ticks < 1:
        raise ConfigError(f"max_ticks={ticks}: want 1 or more")
    if readout not in list(Readout):
        raise ConfigError(f"readout={readout}: choose one of {', '.join(Readout)}")
    return Readout(readout)


@runtime_checkable
class Walk(Protocol):
    """A batch on its way, tick by tick."""

    length: int  # ticks, those included at which things are still shown

    def step(self) -> Float[Tensor, "walking representation"]:
        """What answers after one more tick."""
        ...

    def keep_rows(self, rows: Int[Tensor, " kept"]) -> None:
        """Goes on with these examples alone."""
        ...


def think_until_sure(
    walk: Walk,
    predict: Callable[[Tensor], Tensor],
    *,
    ticks: int,
    stop_at: float,
    readout: Readout,
) -> Conclusions:
    """Walks until every example is sure, or to the end.

    Args:
        predict: (walking, 1, representation) to logits.
        ticks: in which an answer is asked for, the last ones of the walk.
        stop_at: certainty at which an example is done; its answer is that of this tick.
        readout: makes one answer of all ticks for the examples that never are.
    """
    for _ in range(walk.length - ticks):
        walk.step()
    thought = [predict(walk.step().unsqueeze(1))]  # of those who walk, tick by tick
    found = Conclusions.blank(len(thought[0]), thought[0][:, 0])
    numbers = torch.arange(len(thought[0]), device=thought[0].device)
    unsure = torch.ones_like(numbers, dtype=torch.bool)
    for tick in range(1, ticks + 1):
        if tick > 1:
            thought.append(predict(walk.step().unsqueeze(1)))
        done = unsure & (certainty(thought[-1]).squeeze(1) >= stop_at)
        found.fill(numbers[done], thought[-1][done, 0], tick)
        unsure = unsure & ~done
        (kept,) = unsure.nonzero(as_tuple=True)
        if len(kept) == 0:
            return found
        if tick < ticks and len(kept) <= (1 - PART) * len(unsure):
            walk.keep_rows(kept)
            thought = [logits[kept] for logits in thought]
            numbers, unsure = numbers[kept], unsure[kept]
    answers = Thoughts.of(torch.cat(thought, dim=1)[unsure]).at(readout)
    found.fill(numbers[unsure], answers, ticks)
    return found
