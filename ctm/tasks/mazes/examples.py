"""Mazes as examples for a model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ctm.interface import Batch
from ctm.tasks.mazes.augment import augmented
from ctm.tasks.mazes.maze import MazeArrays, PixelRange, model_inputs, targets
from ctm.tasks.task import WHOLE, Share


@runtime_checkable
class MazeSource(Protocol):
    """A split of a set, wherever it lies."""

    @property
    def size(self) -> int: ...

    def take(self, indices: np.ndarray, most: int | None = None) -> MazeArrays:
        """The mazes of these numbers, each with the first `most` moves of its route."""
        ...


@dataclass(frozen=True)
class MazeExamples:
    """A stretch of a split; mazes are decoded when a batch takes them.

    Args:
        source: of the mazes.
        first: number of the stretch's first maze.
        size: mazes of the stretch.
        route_length: moves to predict.
        pixel_range: of the images.
        augment: turn and mirror what `take` takes.
    """

    source: MazeSource
    first: int
    size: int
    route_length: int
    pixel_range: PixelRange
    augment: bool = False

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        images, moves = self._read(indices.numpy())
        return augmented(images, moves, generator) if self.augment else Batch(images, moves)

    def batches(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        for start in share.of(range(0, self.size, batch_size)):
            yield Batch(*self._read(np.arange(start, min(start + batch_size, self.size))))

    def mazes(self) -> MazeArrays:
        """All of the stretch, with whole routes."""
        return self.source.take(self.first + np.arange(self.size))

    def _read(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        mazes = self.source.take(self.first + indices, self.route_length)
        return model_inputs(mazes, self.pixel_range), targets(mazes, self.route_length)
