"""What a task is: sizes, data, and how one example and one answer look to a person."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.interface import Batch, TaskSpec


@runtime_checkable
class Examples(Protocol):
    """A set of examples that can be asked for by number.

    `size` is their count, None where new ones are made up without end.
    """

    @property
    def size(self) -> int | None: ...

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        """The examples of these numbers; whatever is random about them comes from `generator`."""
        ...


@dataclass(frozen=True)
class FixedExamples:
    """Examples that lie in memory."""

    inputs: Tensor
    targets: Tensor

    @property
    def size(self) -> int:
        return len(self.targets)

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        return Batch(self.inputs[indices], self.targets[indices])

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All examples once, in order."""
        for start in range(0, self.size, batch_size):
            part = slice(start, start + batch_size)
            yield Batch(self.inputs[part], self.targets[part])


@dataclass
class Task(ABC):
    """A problem to train on. Its dataclass fields are its settings (`configs/task`).

    Training, validation and test examples share no input (but for parity of less than 8 bits).
    """

    kind: str

    @property
    @abstractmethod
    def spec(self) -> TaskSpec:
        """The sizes that a model needs."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""

    @abstractmethod
    def training(self) -> Examples: ...

    @abstractmethod
    def validation(self) -> FixedExamples: ...

    @abstractmethod
    def test(self) -> FixedExamples: ...

    @abstractmethod
    def parse(self, text: str) -> Float[Tensor, "1 *input"]:
        """One input from what a person types: a string, or the path of a picture.

        Raises:
            UserError: it can't be read as an input of this task.
        """

    @abstractmethod
    def picture(self, inputs: Float[Tensor, "*input"]) -> Float[np.ndarray, "height width"]:
        """One input as a grey picture, values from 0 to 1."""

    @abstractmethod
    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns in which an encoder's tokens lie over the picture."""

    def answer(self, logits: Float[Tensor, "*output"]) -> str:
        """A prediction in a person's words."""
        best = logits.argmax(-1).flatten().tolist()
        return "".join(self.labels[index] for index in best)
