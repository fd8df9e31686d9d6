"""Some mazes as arrays, and what a model sees of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Move(IntEnum):
    """One step of a route, from pixel to pixel; the classes of the task."""

    up = 0
    down = 1
    left = 2
    right = 3
    wait = 4  # at the goal


STEPS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])  # (row, column) of each move
ARROWS = "↑↓←→·"


class PixelRange(StrEnum):
    """What black and white are to a model."""

    unit = "unit"  # 0 and 1: the published weights
    signed = "signed"  # -1 and 1


@dataclass(frozen=True)
class MazeArrays:
    """Mazes of one size with their routes. Coordinates are pixels: (row, column), from 0.

    Args:
        free: where one can stand; the rest is wall.
        start, goal: of the route.
        moves: the shortest route's, then `Move.wait` up to the longest route of these mazes.
    """

    free: Bool[np.ndarray, "mazes side side"]
    start: Int[np.ndarray, "mazes 2"]
    goal: Int[np.ndarray, "mazes 2"]
    moves: Int[np.ndarray, "mazes longest"]

    def __len__(self) -> int:
        return len(self.free)

    def __getitem__(self, which: slice | np.ndarray) -> Self:
        """Some of them."""
        return type(self)(self.free[which], self.start[which], self.goal[which], self.moves[which])

    @property
    def side(self) -> int:
        return self.free.shape[1]

    @property
    def lengths(self) -> Int[np.ndarray, " mazes"]:
        """Moves of each route."""
        return (self.moves != Move.wait).sum(1)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        longest = max(part.moves.shape[1] for part in parts)
        return cls(
            np.concatenate([part.free for part in parts]),
            np.concatenate([part.start for part in parts]),
            np.concatenate([part.goal for part in parts]),
            np.concatenate([fitted(part.moves, longest) for part in parts]),
        )


def fitted(moves: Int[np.ndarray, "mazes longest"], length: int) -> Int[np.ndarray, "mazes length"]:
    """Routes cut to a length, or drawn out to it by waiting."""
    missing = max(length - moves.shape[1], 0)
    return np.pad(moves[:, :length], ((0, 0), (0, missing)), constant_values=Move.wait)


def model_inputs(
    mazes: MazeArrays, pixel_range: PixelRange = PixelRange.unit
) -> Float[Tensor, "mazes 3 side side"]:
    """Walls black, ways white, the start red, the goal green; no route."""
    images = torch.from_numpy(mazes.free).float().unsqueeze(1).repeat(1, 3, 1, 1)
    rows = torch.arange(len(mazes))
    for place, colour in ((mazes.start, (1.0, 0.0, 0.0)), (mazes.goal, (0.0, 1.0, 0.0))):
        row, column = torch.from_numpy(place).long().unbind(1)
        images[rows, :, row, column] = torch.tensor(colour)
    return images if pixel_range is PixelRange.unit else 2 * images - 1


def targets(mazes: MazeArrays, route_length: int) -> Int[Tensor, "mazes route_length"]:
    """The first moves of each route, then waiting."""
    return torch.from_numpy(fitted(mazes.moves, route_length)).long()
