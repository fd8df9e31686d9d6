"""Generated mazes: perfect, with shortest routes, and no two alike."""

import numpy as np
import pytest

from ctm.errors import UserError
from ctm.tasks.mazes.generate import TEST_SHARE, draw_mazes, draw_set, keys_of
from ctm.tasks.mazes.maze import MazeArrays
from tests.tasks.maze_search import check_route, distances, place_of

each_side = pytest.mark.parametrize("side", [5, 7, 11, 15, 39])


def drawn(count: int, side: int, seed: int = 0) -> MazeArrays:
    return draw_mazes(count, side, np.random.default_rng(seed))


@each_side
def test_every_pixel_of_a_maze_is_reached_in_one_way_only(side: int) -> None:
    cells = (side // 2) ** 2
    for free in drawn(40, side).free:
        assert free.shape == (side, side)
        assert free[1::2, 1::2].all()  # the cells
        assert not free[::2, ::2].any()  # the posts between them
        assert not free[[0, -1]].any()
        assert not free[:, [0, -1]].any()
        # connected, and with one passage fewer than cells: a tree
        assert free.sum() == 2 * cells - 1
        assert len(distances(free, (1, 1))) == free.sum()


@each_side
def test_routes_are_the_shortest_ones(side: int) -> None:
    mazes = drawn(200, side)
    for index in range(len(mazes)):
        start, goal = place_of(mazes.start[index]), place_of(mazes.goal[index])
        assert start != goal
        assert start[0] % 2 == start[1] % 2 == goal[0] % 2 == goal[1] % 2 == 1
        check_route(mazes.free[index], start, goal, mazes.moves[index].tolist())


def test_lengths_count_the_moves_before_waiting() -> None:
    mazes = drawn(50, 11)
    for index, length in enumerate(mazes.lengths.tolist()):
        start, goal = place_of(mazes.start[index]), place_of(mazes.goal[index])
        assert distances(mazes.free[index], start)[goal] == length
    assert mazes.moves.shape[1] == mazes.lengths.max()


def test_searches_choose_every_direction_as_often() -> None:
    """Over many mazes the passages at mirrored and turned places are as likely."""
    mazes = drawn(20_000, 7)
    share = mazes.free.mean(0)
    for turned in (np.rot90(share), share.T, share[::-1]):
        np.testing.assert_allclose(turned, share, atol=0.02)


def test_a_small_maze_takes_each_of_its_shapes_as_often() -> None:
    """Of 2 x 2 cells there are four trees, each without one of the four passages."""
    missing = ~drawn(20_000, 5).free[:, [1, 2, 2, 3], [2, 1, 3, 2]]
    assert (missing.sum(1) == 1).all()
    np.testing.assert_allclose(missing.mean(0), 0.25, atol=0.02)


def test_ends_are_anywhere() -> None:
    mazes = drawn(20_000, 7)
    for ends in (mazes.start, mazes.goal):
        places, counts = np.unique(ends, axis=0, return_counts=True)
        assert len(places) == 9
        np.testing.assert_allclose(counts / 20_000, 1 / 9, atol=0.015)


def test_the_same_seed_gives_the_same_mazes_and_another_others() -> None:
    first, again, other = drawn(30, 15), drawn(30, 15), drawn(30, 15, seed=1)
    for name in ("free", "start", "goal", "moves"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.free, other.free)


# -- training and test -----------------------------------------------------------------------------


def turned(square: np.ndarray) -> list[bytes]:
    return [np.rot90(way, turn).tobytes() for way in (square, square.T) for turn in range(4)]


def layouts(mazes: MazeArrays) -> list[bytes]:
    """The walls of each maze, the same for all its turns."""
    return [min(turned(free)) for free in mazes.free]


def pictures(mazes: MazeArrays) -> list[bytes]:
    """Walls and ends of each maze, the same for all its turns."""
    squares = mazes.free.astype(np.int8)
    for index in range(len(mazes)):
        squares[index][place_of(mazes.start[index])] = 2
        squares[index][place_of(mazes.goal[index])] = 3
    return [min(turned(square)) for square in squares]


@pytest.mark.parametrize("side", [7, 9, 15])
def test_no_two_mazes_of_a_set_are_the_same_turned_or_mirrored(side: int) -> None:
    train, test = draw_set(side, 300, 30, seed=0)
    assert (len(train), len(test)) == (300, 30)
    assert len({*pictures(train), *pictures(test)}) == 330


@pytest.mark.parametrize("side", [7, 9, 15])
def test_training_and_test_have_no_walls_in_common_turned_or_mirrored(side: int) -> None:
    train, test = draw_set(side, 300, 30, seed=0)
    assert set(layouts(train)).isdisjoint(layouts(test))


def test_repeated_mazes_are_left_out_where_they_would_be_drawn() -> None:
    assert len(set(pictures(drawn(1000, 7)))) < 700
    train, test = draw_set(7, 700, 50, seed=0)
    assert len({*pictures(train), *pictures(test)}) == 750


def test_the_last_part_of_training_shares_the_walls_of_one_maze_at_most() -> None:
    train, _ = draw_set(9, 2000, 100, seed=0)
    assert len(set(layouts(train[:1800])) & set(layouts(train[1800:]))) <= 1


def test_a_tenth_of_all_layouts_is_for_test() -> None:
    keys, _ = keys_of(drawn(20_000, 15))
    assert (keys % TEST_SHARE == 0).mean() == pytest.approx(0.1, abs=0.01)


def test_keys_are_those_of_all_turns_and_of_no_other_maze() -> None:
    mazes = drawn(400, 9)
    walls, inputs = (keys.tolist() for keys in keys_of(mazes))
    for keys, names in ((walls, layouts(mazes)), (inputs, pictures(mazes))):
        assert len(set(keys)) == len(set(names)) == len(set(zip(keys, names, strict=True)))


def test_more_mazes_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match=r"\Aside=5: found \d+ of 9 training and \d+ of 3 test ma"):
        draw_set(5, 9, 3, seed=0)
