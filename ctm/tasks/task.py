"""What a task is: sizes, data, and how one example and one answer look to a person."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.interface import Batch, Inputs, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification
from ctm.metrics.evaluation import Evaluation

T = TypeVar("T")


class Share(NamedTuple):
    """What one of several processes does of a row of things: each `processes`-th of them."""

    rank: int
    processes: int

    def of(self, row: Sequence[T]) -> Sequence[T]:
        return row[self.rank :: self.processes]


WHOLE = Share(0, 1)


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


@runtime_checkable
class FiniteExamples(Examples, Protocol):
    """A set of examples that a model can be measured on."""

    @property
    def size(self) -> int: ...

    def batches(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        """All examples once, in order, or a process's share of the batches."""
        ...


@dataclass(frozen=True)
class FixedExamples:
    """Examples that lie in memory."""

    inputs: Any
    targets: Tensor

    @property
    def size(self) -> int:
        return len(self.targets)

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        return Batch(self.inputs, self.targets).changed(lambda values: values[indices])

    def batches(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        whole = Batch(self.inputs, self.targets)
        for start in share.of(range(0, self.size, batch_size)):
            part = slice(start, start + batch_size)
            yield whole.changed(lambda values, part=part: values[part])


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
    def target_shape(self) -> tuple[int, ...]:
        """Of one target; unless a task says otherwise a class for each position of a prediction."""
        return self.spec.output_shape[:-1]

    def blank_inputs(self, batch: int, device: torch.device | str) -> Inputs:
        """Inputs as large as any to train on, without content, to count operations with."""
        return self.spec.blank_inputs(batch, device)

    def blank_sizes(self, batch: int, device: torch.device | str) -> list[Inputs]:
        """The same of every size that training draws, each as often as the others."""
        return [self.blank_inputs(batch, device)]

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""

    def knowing(self, labels: tuple[str, ...]) -> "Task":
        """With the names of the classes that were saved beside a model."""
        return self

    @abstractmethod
    def training(self) -> Examples: ...

    @abstractmethod
    def validation(self) -> FiniteExamples: ...

    @abstractmethod
    def test(self) -> FiniteExamples: ...

    def harder(self) -> "Task | None":
        """Larger problems that a model of this task can still be asked about; None: no such."""
        return None

    def evaluation(self, device: torch.device | str = "cpu") -> Evaluation:
        """What is measured of a model on this task."""
        return Classification(self.spec, device)

    @abstractmethod
    def parse(self, text: str) -> Inputs:
        """One input from what a person types: a string, or the path of a picture.

        Raises:
            UserError: it can't be read as an input of this task.
        """

    def about_inputs(self) -> dict[str, Any]:
        """What someone without this code has to know to make inputs: sizes, ranges, order."""
        return {"kind": self.spec.input_kind.value, "shape": list(self.spec.input_shape)}

    @abstractmethod
    def picture(self, inputs: Any) -> Float[np.ndarray, "height width *rgb"]:
        """One input, without the batch, as a picture, grey or in 3 colours, from 0 to 1."""

    def truth(self, inputs: Inputs) -> Tensor | None:
        """Targets of a batch, where inputs tell them; None: someone has to say."""
        return None

    def moments(self, inputs: Any, ticks: int) -> list[tuple[np.ndarray, str]]:
        """A picture and words for each tick, where what is shown changes; empty: it stays."""
        return []

    @abstractmethod
    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns in which an encoder's tokens lie over the picture."""

    def answer(self, logits: Float[Tensor, "*output"]) -> str:
        """A prediction in a person's words."""
        best = logits.argmax(-1).flatten().tolist()
        return "".join(self.labels[index] for index in best)

    def conclusion(self, thoughts: Thoughts, inputs: Inputs, readout: Readout) -> str:
        """What the thoughts about one example come to, in a person's words."""
        return f"{self.answer(thoughts.at(readout)[0])} by the readout {readout}"
