"""Asking a model again from where its moves led, against plain Python."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from ctm.interface import Readout, Thoughts
from ctm.tasks.mazes.generate import draw_mazes
from ctm.tasks.mazes.maze import MazeArrays, PixelRange
from ctm.tasks.mazes.reapply import reapply, walk
from tests.build import generator
from tests.tasks.maze_search import STEPS, WAIT, Place, distances, neighbours, place_of


def drawn(count: int, side: int = 15) -> MazeArrays:
    return draw_mazes(count, side, np.random.default_rng(0))


def said(moves: Sequence[Sequence[int]]) -> Thoughts:
    """Thoughts of one tick that are sure of these moves."""
    return Thoughts.of(10 * torch.eye(5)[torch.tensor(moves)].unsqueeze(1))


def slow_walk(free: np.ndarray, start: Place, goal: Place, moves: Sequence[int]) -> Place:
    place = start
    for move in moves:
        if place == goal:
            break
        there = stepped(place, move)
        if move != WAIT and there not in neighbours(free, place):
            break
        place = there
    return place


class Oracle:
    """Knows the way, but says no more than some moves of it.

    Args:
        steps: that it says.
        wall_at: after so many it walks into a wall, and then would walk back.
    """

    def __init__(self, steps: int, wall_at: int | None = None) -> None:
        self.steps, self.wall_at, self.asked = steps, wall_at, 0

    def __call__(self, images: Tensor) -> Thoughts:
        self.asked += len(images)
        return said([self.moves(image.numpy()) for image in images])

    def moves(self, image: np.ndarray) -> list[int]:
        free = np.any(image, axis=0)
        place = place_of(np.argwhere((image[0] == 1) & (image[1] == 0))[0])
        goal = place_of(np.argwhere((image[1] == 1) & (image[0] == 0))[0])
        left = distances(free, goal)
        moves: list[int] = []
        while len(moves) < self.steps:
            if place == goal:
                moves.append(WAIT)
            elif len(moves) == self.wall_at:
                walls = [move for move in range(4) if not free[stepped(place, move)]]
                back = moves[-1] ^ 1
                rest = self.steps - len(moves)
                moves += [walls[0], *[back] * (rest - 1)] if walls else [WAIT] * rest
            else:
                move = min(range(4), key=lambda move: left.get(stepped(place, move), 1000))
                place = stepped(place, move)
                moves.append(move)
        return moves


def stepped(place: Place, move: int) -> Place:
    return place[0] + STEPS[move][0], place[1] + STEPS[move][1]


def test_random_moves_lead_up_to_the_first_wall_or_to_the_goal() -> None:
    mazes = drawn(400, side=7)
    moves = torch.randint(5, (400, 9), generator=generator(0)).numpy()
    # some start well, so that goals are reached and passed
    length = min(mazes.moves.shape[1], 9)
    moves[:200, :length] = mazes.moves[:200, :length]
    reached = walk(mazes, moves)
    for index in range(400):
        start, goal = place_of(mazes.start[index]), place_of(mazes.goal[index])
        expected = slow_walk(mazes.free[index], start, goal, moves[index].tolist())
        assert place_of(reached[index]) == expected
    assert (reached == mazes.goal).all(1).sum() > 100


@pytest.mark.parametrize("steps", [1, 6, 50])
def test_a_model_that_knows_some_moves_solves_what_so_many_moves_reach(steps: int) -> None:
    mazes = drawn(60)
    found = reapply(Oracle(steps), mazes, times=7, batch_size=16)
    for times, share in enumerate(found["solved_after"], 1):
        assert share == pytest.approx((mazes.lengths <= steps * times).mean())
    assert len(found["solved_after"]) == 7


def test_shares_are_given_by_the_length_of_the_shortest_route() -> None:
    mazes = drawn(200)
    by_length = reapply(Oracle(6), mazes, times=5)["by_length"]
    assert sum(by_length["examples"].values()) == 200
    for name, share in by_length["solved"].items():
        first, last = map(int, name.split("-"))
        here = mazes.lengths[(mazes.lengths >= first) & (mazes.lengths <= last)]
        assert by_length["examples"][name] == len(here) > 0
        assert share == pytest.approx((here <= 30).mean())


def test_after_a_wall_it_goes_on_from_the_last_pixel_before_it() -> None:
    mazes = drawn(40)
    found = reapply(Oracle(6, wall_at=4), mazes, times=5)
    for times, share in enumerate(found["solved_after"], 1):
        assert share == pytest.approx((mazes.lengths <= 4 * times).mean())


def test_solved_mazes_and_those_that_no_longer_move_are_not_asked_again() -> None:
    mazes = drawn(30)
    oracle = Oracle(int(mazes.lengths.max()))
    assert reapply(oracle, mazes, times=9)["solved_after"] == [1.0] * 9
    assert oracle.asked == 30
    still = Oracle(3, wall_at=0)
    still.moves = lambda image: [WAIT] * 3
    assert reapply(still, mazes, times=9)["solved_after"] == [0.0] * 9
    assert still.asked == 30


def test_the_mazes_are_left_as_they_were() -> None:
    mazes = drawn(20)
    before = mazes.start.copy()
    reapply(Oracle(4), mazes, times=3)
    np.testing.assert_array_equal(mazes.start, before)


def test_the_readout_and_the_range_of_pixels_are_those_asked_for() -> None:
    mazes = drawn(10)
    lowest: list[float] = []

    def model(images: Tensor) -> Thoughts:
        lowest.append(images.min().item())
        known = Oracle(60)((images + 1) / 2).logits
        return Thoughts.of(torch.cat([torch.zeros_like(known), known, known.roll(1, 3)], 1))

    def solved(readout: Readout) -> float:
        found = reapply(model, mazes, times=1, readout=readout, pixel_range=PixelRange.signed)
        return found["solved_after"][0]

    assert solved(Readout.certain) == 1.0  # the second tick, the first of two that are as certain
    assert solved(Readout.last) < 0.5
    assert set(lowest) == {-1.0}
