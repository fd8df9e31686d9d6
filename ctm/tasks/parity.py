"""Cumulative parity: after each sign of a sequence, is the count of -1 so far odd? (Paper, 4.3.)"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.config import wanted
from ctm.errors import UserError
from ctm.interface import Batch, InputKind, Inputs, TaskSpec
from ctm.metrics.positions import PositionEvaluation
from ctm.tasks.parts import Part, draw_part
from ctm.tasks.task import FixedExamples, Task

Signs = Float[Tensor, "batch length"]


def targets_of(signs: Signs) -> Int[Tensor, "batch length"]:
    """1 where the count of -1 in the prefix that ends there is odd."""
    return (signs < 0).long().cumsum(1) % 2


def draw_signs(count: int, length: int, generator: torch.Generator, part: Part) -> Signs:
    """Random sequences of one part. Below 8 bits there is one part only, that of all sequences."""

    def draw(many: int) -> Int[Tensor, "many length"]:
        return 1 - torch.randint(0, 2, (many, length), generator=generator)

    return 1 - 2 * draw_part(count, 2**length, part, draw).float()


@dataclass(frozen=True)
class EndlessParity:
    """Sequences of the training part, made up as they are asked for."""

    length: int
    size: int | None = None

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        signs = draw_signs(len(indices), self.length, generator, Part.training)
        return Batch(signs, targets_of(signs))


@dataclass
class Parity(Task):
    """Sequences of +1 and -1, one answer at each place.

    Args:
        length: of the sequences.
        validation_size, test_size: sequences of each; from 8 bits on none of them is trained on.
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
        return self._fixed(self.validation_size, Part.validation)

    def test(self) -> FixedExamples:
        return self._fixed(self.test_size, Part.test)

    def _fixed(self, size: int, part: Part) -> FixedExamples:
        generator = torch.Generator().manual_seed(part.value)
        signs = draw_signs(size, self.length, generator, part)
        return FixedExamples(signs, targets_of(signs))

    def evaluation(self, device: torch.device | str = "cpu") -> PositionEvaluation:
        return PositionEvaluation(self.spec, device)

    def parse(self, text: str) -> Float[Tensor, "1 length"]:
        """A string of 0 and 1: every 1 is a -1 of the sequence and turns the parity."""
        strange = sorted(set(text) - {"0", "1"})
        if strange or len(text) != self.length:
            shown = repr(text)[1:-1][:40]
            found = f"characters {strange}" if strange else f"{len(text)} characters"
            raise UserError(f"input={shown}: {found}; want {self.length} characters 0 or 1")
        return torch.tensor([[-1.0 if bit == "1" else 1.0 for bit in text]])

    def about_inputs(self) -> dict[str, Any]:
        return super().about_inputs() | {"of_0": 1, "of_1": -1}

    def truth(self, inputs: Inputs) -> Int[Tensor, "batch length"]:
        assert isinstance(inputs, Tensor)
        return targets_of(inputs)

    def picture(self, inputs: Float[Tensor, " length"]) -> Float[np.ndarray, "height width"]:
        """The sequence in rows, -1 bright."""
        rows, columns = self.token_grid((self.length,))
        return (inputs < 0).float().reshape(rows, columns).numpy()

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        """As square as the length allows."""
        rows = max(n for n in range(1, math.isqrt(self.length) + 1) if self.length % n == 0)
        return rows, self.length // rows
