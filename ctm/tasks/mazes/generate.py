"""Perfect mazes by depth-first search with backtracking, thousands at a time.

A maze of side 2n + 1 pixels has n x n cells at the odd coordinates and walls between them. Every
maze takes one step of its search at each step of a loop, so the loop's length is that of one maze.

Cells are numbered row by row over (n + 2) x (n + 2): a frame of cells that count as visited keeps
the search inside without a question asked.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt64

from ctm.errors import UserError
from ctm.tasks.mazes.maze import MazeArrays, Move

CHUNK = 1024  # mazes at a time; a part of what a seed means, as the order of random numbers is
TEST_SHARE = 10  # one in so many layouts is for test


@dataclass(frozen=True)
class Trees:
    """The ways that searches took through the lattice: a spanning tree for each maze.

    Args:
        side: of the maze in pixels.
        back: for each cell the move to its parent; `Move.wait` at the root.
        depth: moves from the root.
    """

    side: int
    back: Int[np.ndarray, "mazes cells"]
    depth: Int[np.ndarray, "mazes cells"]


def cell_offsets(side: int) -> Int[np.ndarray, "5"]:
    """What each move adds to a cell's number."""
    width = side // 2 + 2
    return np.array([-width, width, -1, 1, 0])


def inner_cells(side: int) -> Int[np.ndarray, " cells"]:
    """The numbers of the cells that are not the frame."""
    width = side // 2 + 2
    return np.arange(width * width).reshape(width, width)[1:-1, 1:-1].flatten()


def grow_trees(count: int, side: int, generator: np.random.Generator) -> Trees:
    """Searches from a random cell: on to a random unvisited neighbour, or back if there is none."""
    offsets, cells, width = cell_offsets(side), inner_cells(side), side // 2 + 2
    visited = np.ones((count, width * width), dtype=bool)
    visited[:, cells] = False
    back = np.full((count, width * width), Move.wait, dtype=np.int8)
    depth = np.zeros((count, width * width), dtype=np.int32)
    mazes = np.arange(count)
    here = generator.choice(cells, count)
    visited[mazes, here] = True
    # along each of the tree's edges there and back; who is done early waits at the root
    for _ in range(2 * (len(cells) - 1)):
        unvisited = ~visited[mazes[:, None], here[:, None] + offsets[:4]]
        preference = unvisited * (1 + generator.random(unvisited.shape, dtype=np.float32))
        onwards = unvisited.any(1)
        move = np.where(onwards, preference.argmax(1), back[mazes, here])
        there = here + offsets[move]
        new = mazes[onwards], there[onwards]
        visited[new] = True
        back[new] = opposite(move[onwards])
        depth[new] = depth[mazes, here][onwards] + 1
        here = there
    return Trees(side, back, depth)


def opposite(move: Int[np.ndarray, "*any"]) -> Int[np.ndarray, "*any"]:
    """Up for down, left for right; not for waiting."""
    return move ^ 1


def draw_ends(
    count: int, side: int, generator: np.random.Generator
) -> tuple[Int[np.ndarray, " count"], Int[np.ndarray, " count"]]:
    """Two different cells for each maze, every pair as likely."""
    cells = inner_cells(side)
    start = generator.integers(len(cells), size=count)
    goal = (start + generator.integers(1, len(cells), size=count)) % len(cells)
    return cells[start], cells[goal]


def climb(
    trees: Trees, start: Int[np.ndarray, " mazes"], goal: Int[np.ndarray, " mazes"]
) -> Int[np.ndarray, "mazes longest"]:
    """The only route, as moves from cell to cell, then waiting.

    Both ends climb, the deeper one first, until they meet. The start's moves are the route's
    beginning; the goal's, turned round, are its end.
    """
    offsets, mazes = cell_offsets(trees.side), np.arange(len(start))
    ups: list[np.ndarray] = []
    downs: list[np.ndarray] = []
    while (apart := start != goal).any():
        deeper = trees.depth[mazes, start] >= trees.depth[mazes, goal]
        up = np.where(apart & deeper, trees.back[mazes, start], Move.wait)
        goal_up = np.where(apart & ~deeper, trees.back[mazes, goal], Move.wait)
        start, goal = start + offsets[up], goal + offsets[goal_up]
        ups.append(up)
        downs.append(np.where(goal_up == Move.wait, Move.wait, opposite(goal_up)))
    moves = np.stack([*ups, *reversed(downs)], axis=1).astype(np.int8)
    waits = moves == Move.wait
    moves = np.take_along_axis(moves, waits.argsort(axis=1, kind="stable"), axis=1)
    return moves[:, : (~waits).sum(1).max()]


def carve(trees: Trees) -> Bool[np.ndarray, "mazes side side"]:
    """Pixels where one can stand: the cells, and the walls that searches went through."""
    side, cells = trees.side, inner_cells(trees.side)
    row, column = pixels_of(cells, side).T
    free = np.zeros((len(trees.back), side * side), dtype=bool)
    free[:, row * side + column] = True
    to_passage = np.array([-side, side, -1, 1, 0])
    passages = row * side + column + to_passage[trees.back[:, cells]]
    np.put_along_axis(free, passages, True, axis=1)
    return free.reshape(-1, side, side)


def pixels_of(cells: Int[np.ndarray, " count"], side: int) -> Int[np.ndarray, "count 2"]:
    """Row and column of the pixels at which cells stand."""
    return 2 * np.stack(np.divmod(cells, side // 2 + 2), axis=1) - 1


def draw_mazes(count: int, side: int, generator: np.random.Generator) -> MazeArrays:
    """Random perfect mazes, each with two random ends and the route between them.

    Args:
        side: in pixels, odd and at least 5.
    """
    trees = grow_trees(count, side, generator)
    start, goal = draw_ends(count, side, generator)
    moves = climb(trees, start, goal).repeat(2, axis=1)  # from cell to cell are two pixels
    return MazeArrays(carve(trees), pixels_of(start, side), pixels_of(goal, side), moves)


def keys_of(
    mazes: MazeArrays,
) -> tuple[UInt64[np.ndarray, " mazes"], UInt64[np.ndarray, " mazes"]]:
    """Two numbers for each maze, the same however it is turned or mirrored.

    The first tells its walls from others, the second its walls, start and goal.
    """
    side = mazes.side
    weights = np.random.default_rng(0).integers(2**64, size=(3, side, side), dtype=np.uint64)
    of_free, of_start, of_goal = map(turns, weights)
    # sums wrap round; a turned maze has the sums of the weights turned back
    layouts = mazes.free.reshape(len(mazes), -1).astype(np.uint64) @ of_free
    number = np.array([side, 1])  # of a pixel, counted row by row
    inputs = layouts + of_start[mazes.start @ number] + of_goal[mazes.goal @ number]
    return layouts.min(1), inputs.min(1)


def turns(square: UInt64[np.ndarray, "side side"]) -> UInt64[np.ndarray, "pixels 8"]:
    """A square's rows one after the other, turned and mirrored in all eight ways."""
    ways = [np.rot90(way, turn).flatten() for way in (square, square.T) for turn in range(4)]
    return np.stack(ways, axis=1)


class DistinctMazes:
    """Mazes up to a wanted number, no two the same turned or mirrored."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.seen: set[int] = set()
        self.parts: list[MazeArrays] = []

    @property
    def full(self) -> bool:
        return len(self.seen) == self.wanted

    def add(self, mazes: MazeArrays, keys: UInt64[np.ndarray, " mazes"]) -> int:
        """Keeps those that are new, as long as there is room. Returns their number."""
        new: list[int] = []
        for index, key in enumerate(keys.tolist()):
            if key not in self.seen and not self.full:
                self.seen.add(key)
                new.append(index)
        self.parts.append(mazes[np.array(new, dtype=np.int64)])
        return len(new)

    def joined(self) -> MazeArrays:
        return MazeArrays.joined(self.parts)


def draw_set(
    side: int, train: int, test: int, seed: int, advance: Callable[[int], None] = lambda new: None
) -> tuple[MazeArrays, MazeArrays]:
    """Random mazes for training and for test.

    A tenth of all layouts of walls is kept for test: which ones is decided by a hash of the layout,
    the same for one turned or mirrored. So small mazes, of which there are few, can be many, and
    yet those of the test are new. Training mazes stand in the order of that hash, those of one
    layout together: a last part held back shares at most one layout with the rest, the one that the
    cut runs through.

    Args:
        side: in pixels, odd and at least 5.
        train, test: mazes of each.
        advance: told how many mazes each round adds.

    Raises:
        UserError: there are not so many of that side.
    """
    generator = np.random.default_rng(seed)
    training, testing = DistinctMazes(train), DistinctMazes(test)
    while not (training.full and testing.full):
        drawn = draw_mazes(CHUNK, side, generator)
        layouts, inputs = keys_of(drawn)
        tests = layouts % TEST_SHARE == 0
        new = training.add(drawn[~tests], inputs[~tests]) + testing.add(drawn[tests], inputs[tests])
        if not new:
            raise UserError(
                f"side={side}: found {len(training.seen)} of {train} training and "
                f"{len(testing.seen)} of {test} test mazes and no more; ask for fewer or for a "
                "larger side"
            )
        advance(new)
    found = training.joined()
    layouts, _ = keys_of(found)
    return found[layouts.argsort(kind="stable")], testing.joined()
