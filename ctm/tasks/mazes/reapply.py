"""Long routes bit by bit: a model is asked again from where its last answer led (paper, 4.2).

So it is measured on routes longer than those it can say, and on mazes larger than those it knows.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ctm.interface import Readout, Thoughts
from ctm.metrics.routes import length_bins, length_names
from ctm.tasks.mazes.maze import STEPS, MazeArrays, PixelRange, model_inputs

TIMES = 20  # the paper's


def walk(mazes: MazeArrays, moves: Int[np.ndarray, "mazes steps"]) -> Int[np.ndarray, "mazes 2"]:
    """Where moves lead from each start: up to the first wall, or to the goal."""
    rows, here = np.arange(len(mazes)), mazes.start
    free = np.pad(mazes.free, ((0, 0), (1, 1), (1, 1)))  # the outside is wall
    walking = np.ones(len(mazes), dtype=bool)
    for move in moves.T:
        walking &= (here != mazes.goal).any(1)
        there = here + STEPS[move]
        walking &= free[rows, *(there + 1).T]
        here = np.where(walking[:, None], there, here)
    return here


def reapply(
    model: Callable[[Tensor], Thoughts],
    mazes: MazeArrays,
    *,
    times: int = TIMES,
    readout: Readout = Readout.certain,
    pixel_range: PixelRange = PixelRange.unit,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Asks the model again from the pixel that its moves led to, and so on.

    Args:
        model: images to thoughts, in evaluation mode; of any size that it can read.
        mazes: with whole routes.
        times: how often a model is asked at most.
        readout: which prediction is followed.

    Returns:
        `solved_after`: share of mazes solved after 1 to `times` applications; `by_length`: mazes,
        and the share solved in the end, by the moves of the shortest route.
    """
    solved = np.zeros(len(mazes), dtype=bool)
    going = ~solved
    start = mazes.start.copy()
    solved_after: list[float] = []
    for _ in range(times):
        asking = np.flatnonzero(going)
        for first in range(0, len(asking), batch_size):
            some = asking[first : first + batch_size]
            now = replace(mazes[some], start=start[some])
            with torch.inference_mode():
                thoughts = model(model_inputs(now, pixel_range).to(device))
            moves = thoughts.at(readout).argmax(-1).cpu().numpy()
            there = walk(now, moves)
            solved[some] = (there == now.goal).all(1)
            # who stays where it was would be asked the same again
            going[some] = ~solved[some] & (there != now.start).any(1)
            start[some] = there
        solved_after.append(float(solved.mean()))
    return {"solved_after": solved_after, "by_length": solved_by_length(mazes, solved)}


def solved_by_length(mazes: MazeArrays, solved: Bool[np.ndarray, " mazes"]) -> dict[str, Any]:
    """How many mazes have routes of about the same length, and the share of them solved."""
    lengths = torch.from_numpy(mazes.lengths)
    longest = int(lengths.max())
    bins = length_bins(lengths, longest).numpy()
    filled = {
        name: solved[bins == index]
        for index, name in enumerate(length_names(longest))
        if (bins == index).any()
    }
    return {
        "examples": {name: len(some) for name, some in filled.items()},
        "solved": {name: float(some.mean()) for name, some in filled.items()},
    }
