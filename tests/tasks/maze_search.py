"""Mazes searched in plain Python, to compare with."""

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

STEPS = [(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)]  # up, down, left, right, wait
WAIT = 4
Place = tuple[int, int]


def neighbours(free: np.ndarray, place: Place) -> Iterator[Place]:
    """The pixels beside one that one can step to."""
    for down, right in STEPS[:4]:
        row, column = place[0] + down, place[1] + right
        inside = 0 <= row < free.shape[0] and 0 <= column < free.shape[1]
        if inside and free[row, column]:
            yield row, column


def distances(free: np.ndarray, start: Place) -> dict[Place, int]:
    """Steps from the start to every pixel that can be reached, by breadth-first search."""
    found, queue = {start: 0}, deque([start])
    while queue:
        place = queue.popleft()
        for near in neighbours(free, place):
            if near not in found:
                found[near] = found[place] + 1
                queue.append(near)
    return found


def walked(free: np.ndarray, start: Place, moves: Sequence[int]) -> Place:
    """Where moves lead; every one of them must be possible."""
    place = start
    for move in moves:
        place = place[0] + STEPS[move][0], place[1] + STEPS[move][1]
        assert free[place], f"a step into the wall at {place}"
    return place


def check_route(free: np.ndarray, start: Place, goal: Place, moves: Sequence[int]) -> None:
    """The moves are a shortest route, and after it there is nothing but waiting."""
    length = distances(free, start)[goal]
    assert WAIT not in moves[:length]
    assert set(moves[length:]) <= {WAIT}
    assert walked(free, start, moves[:length]) == goal


def place_of(row_and_column: np.ndarray) -> Place:
    row, column = row_and_column.tolist()
    return row, column
