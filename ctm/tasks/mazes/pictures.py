"""Mazes as pictures: walls black, ways white, the start red, the goal green, the route blue.

So are the published sets drawn, in folders `train` and `test` of PNG files, and the records of the
hub, which name the route's pixels beside the picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image
from rich.console import Console

from ctm.errors import UserError
from ctm.tasks.mazes.maze import STEPS, MazeArrays, Move
from ctm.tasks.mazes.store import SPLITS, MazeSet, counted, unwritable
from ctm.tasks.opening import opened, printable

BLACK, BLUE, GREEN, RED, WHITE = 0b000, 0b001, 0b010, 0b100, 0b111  # a bit for each channel
KNOWN = (BLACK, BLUE, GREEN, RED, WHITE)
CHUNK = 256  # mazes drawn at a time
OFF = 64  # how far a channel may be from 0 or 255

RGB = UInt8[np.ndarray, "mazes side side 3"]
Marks = Bool[np.ndarray, "mazes side side"]
Places = Int[np.ndarray, "mazes 2"]


# -- to pictures -----------------------------------------------------------------------------------


def draw(mazes: MazeArrays, *, route: bool = True) -> RGB:
    """The pictures of some mazes."""
    colours = np.where(mazes.free, np.uint8(WHITE), np.uint8(BLACK))
    rows, here = np.arange(len(mazes)), mazes.start
    for move in mazes.moves.T if route else ():
        here = here + STEPS[move]
        colours[rows, here[:, 0], here[:, 1]] = BLUE
    colours[rows, *mazes.goal.T] = GREEN
    colours[rows, *mazes.start.T] = RED
    bits = np.stack([colours >> channel & 1 for channel in (2, 1, 0)], axis=-1)
    return 255 * bits


def write_pictures(
    mazes: MazeArrays, folder: Path, *, first: int = 0, total: int | None = None
) -> None:
    """One PNG file a maze, named by its number.

    Args:
        first: number of the first of these mazes.
        total: mazes that there will be, so that all names are of one length; None: these.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digits = len(str((total or len(mazes)) - 1))
    for number, pixels in enumerate(draw(mazes), first):
        Image.fromarray(pixels).save(folder / f"{number:0{digits}d}.png")


def check_room(folder: Path) -> None:
    """Asks before a long work whether the pictures of a set can be written to a folder.

    Raises:
        UserError: there are files where they should be, or it can't be written.
    """
    try:
        for place in (folder / split for split in SPLITS):
            if place.exists() and any(place.iterdir()):
                there = f"{printable(place)}: holds files already"
                raise UserError(f"{there}; choose another folder or delete it")
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise unwritable(folder, error) from None


def write_set_pictures(mazes: MazeSet, folder: Path, console: Console | None = None) -> None:
    """A set as PNG files, in folders `train` and `test`, which appear when all are drawn.

    Args:
        console: a terminal gets a progress bar, anything else a line.

    Raises:
        UserError: see `check_room`.
    """
    check_room(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".partial.", dir=folder) as partial:
            _write_splits(mazes, Path(partial), console)
            for split in SPLITS:
                (Path(partial) / split).rename(folder / split)
    except OSError as error:
        raise unwritable(folder, error) from None


def _write_splits(mazes: MazeSet, folder: Path, console: Console | None) -> None:
    side, total = mazes.settings.side, mazes.train.size + mazes.test.size
    with counted(f"drawing {total:,} mazes of {side}x{side}", total, console) as advance:
        for name, split in zip(SPLITS, (mazes.train, mazes.test), strict=True):
            for first in range(0, split.size, CHUNK):
                numbers = np.arange(first, min(first + CHUNK, split.size))
                part = split.take(numbers)
                write_pictures(part, folder / name, first=first, total=split.size)
                advance(len(part))


# -- from pictures ---------------------------------------------------------------------------------


def read_pixels(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a picture file.

    Raises:
        UserError: no such file, or not a picture.
    """
    with opened(path, want="a picture of a maze") as image:
        return np.asarray(image.convert("RGB"))


def check_shape(pixels: np.ndarray, side: int, name: str) -> None:
    height, width = pixels.shape[:2]
    if (height, width) != (side, side):
        raise UserError(f"{name}: {width} x {height} pixels; want {side} x {side}")


def read_layouts(pictures: RGB, names: Sequence[str]) -> tuple[MazeArrays, Marks]:
    """Mazes without their routes, and where the pictures are blue.

    Args:
        names: of the pictures, for errors.

    Raises:
        UserError: a colour that means nothing, or not just one red and one green pixel.
    """
    bright = pictures > 127
    colours = bright @ np.array([4, 2, 1])
    unclear = ((pictures > OFF) & (pictures < 255 - OFF)).any(-1) | ~np.isin(colours, KNOWN)
    if unclear.any():
        maze, row, column = np.argwhere(unclear)[0]
        raise UserError(
            f"{names[maze]}: pixel (row {row}, column {column}) has the colour "
            f"{tuple(pictures[maze, row, column].tolist())}; want black walls, white ways, "
            "a red start, a green goal, a blue route"
        )
    start = only_place(colours == RED, "red pixels (the start)", names)
    goal = only_place(colours == GREEN, "green pixels (the goal)", names)
    unsolved = np.zeros((len(pictures), 0), dtype=np.int8)
    return MazeArrays(colours != BLACK, start, goal, unsolved), colours == BLUE


def only_place(marked: Marks, what: str, names: Sequence[str]) -> Places:
    """Row and column of the one marked pixel of each picture."""
    for name, count in zip(names, marked.sum((1, 2)).tolist(), strict=True):
        if count != 1:
            raise UserError(f"{name}: {count} {what}; want one")
    return np.argwhere(marked)[:, 1:]


def read_mazes(pictures: RGB, names: Sequence[str]) -> MazeArrays:
    """Mazes with the routes that their pictures show.

    Raises:
        UserError: see `read_layouts` and `follow`.
    """
    mazes, blue = read_layouts(pictures, names)
    return follow(mazes, blue, names)


def follow(mazes: MazeArrays, marked: Marks, names: Sequence[str]) -> MazeArrays:
    """The mazes with the routes along marked pixels; the ends may be marked or not.

    Raises:
        UserError: the marks don't lead from start to goal, or leave a choice, or go on elsewhere.
    """
    ahead = np.pad(marked, ((0, 0), (1, 1), (1, 1)))
    rows = np.arange(len(mazes))
    here, goal = mazes.start + 1, mazes.goal + 1
    ahead[rows, *goal.T] = True
    moves: list[np.ndarray] = []
    while True:
        ahead[rows, *here.T] = False
        away = (here != goal).any(1)
        if not away.any():
            break
        near = here[:, None] + STEPS[:4]
        ways = ahead[rows[:, None], near[..., 0], near[..., 1]]
        refuse_marks(away & (ways.sum(1) != 1), here - 1, names)
        moves.append(np.where(away, ways.argmax(1), Move.wait))
        here = here + STEPS[moves[-1]]
    refuse_marks(np.any(ahead, axis=(1, 2)), mazes.goal, names)
    taken = np.stack(moves, axis=1).astype(np.int8)
    return MazeArrays(mazes.free, mazes.start, mazes.goal, taken)


def refuse_marks(bad: Bool[np.ndarray, " mazes"], here: Places, names: Sequence[str]) -> None:
    if bad.any():
        maze = int(bad.argmax())
        row, column = here[maze]
        raise UserError(
            f"{names[maze]}: the route is not one line of pixels from start to goal "
            f"(see row {row}, column {column})"
        )


def read_hub_record(record: Mapping[str, Any], name: str = "record") -> MazeArrays:
    """One maze of the hub.

    Args:
        record: `image`, a picture or its (side, side, 3) bytes, and `solution_path`, the (row,
            column) of the route's pixels. Whether the picture shows the route, and whether the path
            names its ends, is all the same.

    Raises:
        UserError: see `read_layouts` and `follow`.
    """
    image = record["image"]
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    check_shape(pixels, len(pixels), name)
    maze, _ = read_layouts(pixels[None], [name])
    marked = np.zeros_like(maze.free)
    path = np.asarray(record["solution_path"], dtype=np.int64).reshape(-1, 2)
    if path.size and not ((path >= 0) & (path < maze.side)).all():
        raise UserError(f"{name}: its path leaves the picture; want rows and columns of pixels")
    marked[0, *path.T] = True
    if (marked & ~maze.free).any():
        raise UserError(f"{name}: its path goes through a wall; want (row, column) of ways")
    return follow(maze, marked, [name])


# -- folders of pictures ---------------------------------------------------------------------------


@dataclass(frozen=True)
class PictureFolder:
    """PNG files of one split; each is read when a batch takes it.

    Args:
        files: in the order of their names.
        side: of all of them, in pixels.
    """

    files: tuple[Path, ...]
    side: int

    @classmethod
    def open(cls, folder: Path, side: int | None = None) -> "PictureFolder":
        """All PNG files of a folder and of those within.

        Args:
            side: that all should have; None: that of the first.

        Raises:
            UserError: there are none, or the first can't be read.
        """
        files = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png"))
        if not files:
            raise UserError(f"{folder}: no PNG files there; want pictures of solved mazes")
        return cls(files, len(read_pixels(files[0])) if side is None else side)

    @property
    def size(self) -> int:
        return len(self.files)

    def take(self, indices: np.ndarray, most: int | None = None) -> MazeArrays:
        """The mazes of these numbers. The route is read whole: it shows a damaged picture."""
        files = [self.files[index] for index in indices]
        pictures = [read_pixels(file) for file in files]
        for picture, file in zip(pictures, files, strict=True):
            check_shape(picture, self.side, str(file))
        mazes = read_mazes(np.stack(pictures), [str(file) for file in files])
        return mazes if most is None else MazeArrays(mazes.free, mazes.start, mazes.goal,
                                                     mazes.moves[:, :most])  # fmt: skip
