"""Sorting: in which order do these numbers ascend? It is said over time. (Paper, section 5.)"""

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.config import wanted
from ctm.errors import UserError
from ctm.interface import Batch, InputKind, Inputs, Readout, TaskSpec, Thoughts
from ctm.metrics.sorting import SortEvaluation, said
from ctm.tasks.task import FixedExamples, Task

BLANK = "·"  # a tick that says nothing


class Part(Enum):
    """The sets that are drawn once and for all; with each, its seed."""

    validation = 1
    test = 2


Numbers = Float[Tensor, "batch length"]


def targets_of(numbers: Numbers) -> Int[Tensor, "batch length"]:
    """Places of the smallest, the second smallest, ... number; of equal ones the first is first."""
    return numbers.argsort(dim=1, stable=True)


def drawn(count: int, length: int, generator: torch.Generator) -> Batch:
    """Sequences from N(0, 1): so fine-grained that no two sets share one (of several numbers)."""
    numbers = torch.randn(count, length, generator=generator)
    return Batch(numbers, targets_of(numbers))


@dataclass(frozen=True)
class EndlessSort:
    """Sequences made up as they are asked for."""

    length: int
    size: int | None = None

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        return drawn(len(indices), self.length, generator)


@dataclass
class Sort(Task):
    """Real numbers, whose places are to be named from the smallest number to the largest.

    One label a tick: a place, counted from 0, or the last label, which says nothing.

    Args:
        length: numbers in a sequence.
        validation_size, test_size: sequences of each.
    """

    kind: str = "sort"
    length: int = 30
    validation_size: int = 1024
    test_size: int = 5120

    def __post_init__(self) -> None:
        for name in ("length", "validation_size", "test_size"):
            wanted(getattr(self, name) >= 1, f"task.{name}", getattr(self, name), "1 or more")

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(InputKind.vector, (self.length,), (self.length + 1,))

    @property
    def labels(self) -> tuple[str, ...]:
        return (*map(str, range(self.length)), BLANK)

    def training(self) -> EndlessSort:
        return EndlessSort(self.length)

    def validation(self) -> FixedExamples:
        return self._fixed(self.validation_size, Part.validation)

    def test(self) -> FixedExamples:
        return self._fixed(self.test_size, Part.test)

    def _fixed(self, size: int, part: Part) -> FixedExamples:
        batch = drawn(size, self.length, torch.Generator().manual_seed(part.value))
        return FixedExamples(batch.inputs, batch.targets)

    def evaluation(self, device: torch.device | str = "cpu") -> SortEvaluation:
        return SortEvaluation(self.spec, device)

    def parse(self, text: str) -> Float[Tensor, "1 length"]:
        """Numbers with commas or spaces between them: `0.3 -1.2 2` or `0.3, -1.2, 2`."""
        words = text.replace(",", " ").split()
        strange = [word for word in words if not _is_number(word)]
        if strange or len(words) != self.length:
            found = f"{strange[0]!r:.20} is no number" if strange else f"{len(words)} numbers"
            raise UserError(
                f"input={repr(text)[1:-1]:.40}: {found}; want {self.length} numbers with commas or "
                "spaces between them"
            )
        return torch.tensor([[float(word) for word in words]])

    def truth(self, inputs: Inputs) -> Int[Tensor, "batch length"]:
        assert isinstance(inputs, Tensor)
        return targets_of(inputs)

    def picture(self, inputs: Float[Tensor, " length"]) -> Float[np.ndarray, "height width"]:
        """One row, each number as bright as the share of N(0, 1) that is smaller."""
        return torch.special.ndtr(inputs).unsqueeze(0).numpy()

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        return 1, self.length

    @property
    def target_shape(self) -> tuple[int, ...]:
        """All elements' places, which the ticks say one after the other."""
        return (self.length,)

    def conclusion(self, thoughts: Thoughts, inputs: Inputs, readout: Readout) -> str:
        """All that was said over the ticks, whatever the readout: `1 0 2: -1.20 0.30 2.00`."""
        assert isinstance(inputs, Tensor)
        places = said(thoughts.logits[0])
        numbers = [f"{value:.2f}" for value in inputs[0][places].tolist()]
        return f"{' '.join(map(str, places)) or 'nothing'}: {' '.join(numbers)}".rstrip(": ")


def _is_number(word: str) -> bool:
    """One that float32 holds."""
    try:
        return math.isfinite(torch.tensor(float(word)).item())
    except ValueError:
        return False
