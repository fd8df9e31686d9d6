"""Training mazes turned and mirrored, with their routes."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.interface import Batch

# what becomes of up, down, left, right and wait
TURNED_LEFT = torch.tensor([2, 3, 1, 0, 4])  # by 90 degrees, counter-clockwise
TURNED_RIGHT = torch.tensor([3, 2, 0, 1, 4])
MIRRORED = torch.tensor([0, 1, 3, 2, 4])  # left to right
UPSIDE_DOWN = torch.tensor([1, 0, 2, 3, 4])

CHANGES: tuple[tuple[Callable[[Tensor], Tensor], Tensor], ...] = (
    (lambda images: images.rot90(1, (2, 3)), TURNED_LEFT),
    (lambda images: images.rot90(-1, (2, 3)), TURNED_RIGHT),
    (lambda images: images.flip(3), MIRRORED),
    (lambda images: images.flip(2), UPSIDE_DOWN),
)


def augmented(
    images: Float[Tensor, "batch 3 side side"],
    moves: Int[Tensor, "batch steps"],
    generator: torch.Generator,
) -> Batch:
    """Each maze turned by +-90 degrees, mirrored, and set upside down, each with p = 0.5."""
    turn, leftwards, mirror, upside_down = (
        torch.rand(4, len(images), generator=generator) < 0.5
    ).unbind()
    chosen = (turn & leftwards, turn & ~leftwards, mirror, upside_down)
    for these, (change, after) in zip(chosen, CHANGES, strict=True):
        images = torch.where(these[:, None, None, None], change(images), images)
        moves = torch.where(these[:, None], after[moves], moves)
    return Batch(images, moves)
