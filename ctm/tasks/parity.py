"""Cumulative parity: after each sign of a sequence, is the count of -1 so far odd? (Paper, 4.3.)"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ctm.config import wanted
from ctm.errors import UserError
from ctm.interface import Batch, InputKind, TaskSpec
from ctm.tasks.task import FixedExamples, Task

HELD_OUT = 16  # one sequence in so many is never trained on
SHORTEST_HELD_OUT = 8  # bits: shorter sequences are too few to keep some back
VALIDATION_SEED, TEST_SEED = 1, 2

Signs = Float[Tensor, "batch length"]


def targets_of(signs: Signs) -> Int[Tensor, "batch length"]:
    """1 where the count of -1 in the prefix that ends there is odd."""
    return (signs < 0).long().cumsum(1) % 2


def is_held_out(signs: Signs) -> Bool[Tensor, " batch"]:
    """Which sequences belong to validation and test: a fixed pseudo-random 1 in 16.

    Decided by a hash of the sequence alone, so that no training run ever meets them, whatever its
    seed. Among sequences of less than 8 bits none is held out.
    """
    length = signs.shape[1]
    if length < SHORTEST_HELD_OUT:
        return torch.zeros(len(signs), dtype=torch.bool)
    weights = torch.from_numpy(np.random.default_rng(0).integers(2**62, size=length))
    mixed = ((signs < 0).long() * weights).sum(1)
    mixed = (mixed ^ (mixed >> 29)) * 0x1CE4E5B9BF58476D
    return (mixed >> 33) % HELD_OUT == 0


def draw_signs(count: int, length: int, generator: torch.Generator, *, held_out: bool) -> Signs:
    """Random sequences, all held out or none."""
    held_out = held_out and length >= SHORTEST_HELD_OUT
    kept: list[Signs] = []
    missing = count
    while missing > 0:
        more = missing * HELD_OUT if held_out else missing
        signs = torch.randint(0, 2, (more, length), generator=generator).float() * 2 - 1
        fitting = signs[is_held_out(signs) == held_out][:missing]
        kept.append(fitting)
        missing -= len(fitting)
    return torch.cat(kept)


@dataclass(frozen=True)
class EndlessParity:
    """Sequences made up as they are asked for, none of the held-out ones."""

    length: int
    size: int | None = None

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        signs = draw_signs(len(indices), self.length, generator, held_out=False)
        return Batch(signs, targets_of(signs))


@dataclass
class Parity(Task):
    """Sequences of +1 and -1, one answer at each place.

    Args:
        length: of the sequences.
        validation_size, test_size: held-out sequences for each.
    """

    kind: str = "parity"
    length: int = 64
    validation_size: int = 1024
    test_size: int = 5120  # 20 batches of 256 in the paper

    def __post_init__(self) -> None:
        for name in ("length", "validation_size", "test_size"):
            wanted(getattr(self, name) >= 1, f"task.{name}", getattr(self, name), "1 or more")

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(InputKind.signs, (self.length,), (self.length, 2))

    @property
    def labels(self) -> tuple[str, ...]:
        return ("0", "1")

    def training(self) -> EndlessParity:
        return EndlessParity(self.length)

    def validation(self) -> FixedExamples:
        return self._held_out(self.validation_size, VALIDATION_SEED)

    def test(self) -> FixedExamples:
        return self._held_out(self.test_size, TEST_SEED)

    def _held_out(self, size: int, seed: int) -> FixedExamples:
        generator = torch.Generator().manual_seed(seed)
        signs = draw_signs(size, self.length, generator, held_out=True)
        return FixedExamples(signs, targets_of(signs))

    def parse(self, text: str) -> Float[Tensor, "1 length"]:
        """A string of 0 and 1: every 1 is a -1 of the sequence and turns the parity."""
        strange = sorted(set(text) - {"0", "1"})
        if strange or len(text) != self.length:
            found = f"characters {strange}" if strange else f"{len(text)} characters"
            raise UserError(f"input={text:.40}: {found}; want {self.length} characters 0 or 1")
        return torch.tensor([[-1.0 if bit == "1" else 1.0 for bit in text]])

    def picture(self, inputs: Float[Tensor, " length"]) -> Float[np.ndarray, "height width"]:
        """The sequence in rows, -1 bright."""
        rows, columns = self.token_grid((self.length,))
        return (inputs < 0).float().reshape(rows, columns).numpy()

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        """As square as the length allows."""
        rows = max(n for n in range(1, math.isqrt(self.length) + 1) if self.length % n == 0)
        return rows, self.length // rows
