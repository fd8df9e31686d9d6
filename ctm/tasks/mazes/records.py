"""Mazes as records of a fixed size: walls as bits, moves as pairs of bits."""

import numpy as np

from ctm.tasks.mazes.maze import MazeArrays, Move

MOVES_A_BYTE = 4


def record_type(side: int, longest: int) -> np.dtype:
    """One maze: walls, ends, and a route of at most `longest` moves."""
    return np.dtype(
        [
            ("free", "u1", (-(-side * side // 8),)),
            ("start", "<u2", (2,)),
            ("goal", "<u2", (2,)),
            ("length", "<u4"),
            ("moves", "u1", (-(-longest // MOVES_A_BYTE),)),
        ]
    )


def pack(mazes: MazeArrays) -> np.ndarray:
    """One record a maze."""
    lengths = mazes.lengths
    records = np.zeros(len(mazes), record_type(mazes.side, int(lengths.max())))
    records["free"] = np.packbits(mazes.free.reshape(len(mazes), -1), axis=1)
    records["start"], records["goal"], records["length"] = mazes.start, mazes.goal, lengths
    # waits have no code of their own: the length says where they begin
    moves = np.where(mazes.moves == Move.wait, 0, mazes.moves)[:, : lengths.max()]
    bits = np.stack((moves >> 1, moves & 1), axis=2)
    records["moves"] = np.packbits(bits.reshape(len(mazes), -1).astype(bool), axis=1)
    return records


def unpack(records: np.ndarray, side: int, most: int | None = None) -> MazeArrays:
    """The mazes of some records.

    Args:
        most: moves to decode of each route; None: all.
    """
    count, lengths = len(records), records["length"].astype(np.int64)
    longest = int(lengths.max(initial=0))
    kept = longest if most is None else min(longest, most)
    free = np.unpackbits(records["free"], axis=1, count=side * side).astype(bool)
    bits = np.unpackbits(records["moves"], axis=1, count=2 * kept).astype(np.int8)
    moves = 2 * bits[:, ::2] + bits[:, 1::2]
    moves[np.arange(kept) >= lengths[:, None]] = Move.wait
    return MazeArrays(
        free.reshape(count, side, side),
        records["start"].astype(np.int64),
        records["goal"].astype(np.int64),
        moves,
    )
