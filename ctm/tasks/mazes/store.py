"""Sets of mazes on disk: a file of fixed-size records a split, read through a memory map.

A folder holds `train.npy` and `test.npy`, arrays of records, and `mazes.json`: what the set is, and
sizes and SHA-256 sums of the files. A record has walls as bits and moves as pairs of bits; only the
records that a batch takes are ever decoded.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ctm.config import wanted
from ctm.errors import ConfigError, UserError, first_line
from ctm.tasks.mazes.generate import draw_set
from ctm.tasks.mazes.maze import MazeArrays
from ctm.tasks.mazes.records import pack, record_type, unpack
from ctm.tasks.opening import printable

SETTINGS = "mazes.json"
SPLITS = ("train", "test")
FORMAT = 1
LARGEST_SIDE = 2**16 - 1  # records have 16 bits for a row or column


# -- writing ---------------------------------------------------------------------------------------


def check_side(setting: str, side: int) -> None:
    """Refuses what can't be the side of a maze."""
    odd = 5 <= side <= LARGEST_SIDE and side % 2 == 1
    want = f"an odd number of pixels, 5 or more, {LARGEST_SIDE:,} at most"
    wanted(odd, setting, side, want)


@dataclass(frozen=True)
class MazeSettings:
    """What decides a generated set; the same settings give the same files.

    Args:
        side: in pixels, odd, at least 5 and at most 65,535.
        train, test: mazes of each split.

    Raises:
        UserError: a number out of range.
    """

    side: int
    train: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        check_side("side", self.side)
        for name, least in (("train", 1), ("test", 1), ("seed", 0)):
            value = getattr(self, name)
            wanted(value >= least, name, value, f"{least} or more")

    def __str__(self) -> str:
        return (
            f"{self.train} training and {self.test} test mazes of {self.side}x{self.side}, "
            f"seed {self.seed}"
        )

    def command(self, folder: Path) -> str:
        """What a user types to make the set."""
        return (
            f"python scripts/make_mazes.py --side {self.side} --train {self.train} "
            f"--test {self.test} --seed {self.seed} --out {folder}"
        )


def make_mazes(folder: Path, settings: MazeSettings, console: Console | None = None) -> None:
    """Generates a set of mazes and writes it.

    The folder appears when all of it is written, or not at all. The test set depends on the side,
    the seed and its size alone.

    Args:
        folder: must not be there.
        console: a terminal gets a progress bar, anything else a line.

    Raises:
        UserError: there are not so many mazes, or the folder is there or can't be written.
    """
    if folder.exists():
        raise UserError(f"{folder}: is there already; choose another folder or delete it")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        train, test = _draw(settings, console)
        write_set(partial, settings, train=train, test=test)
        if not (folder / SETTINGS).exists():  # another process may have made the same meanwhile
            partial.rename(folder)
    except OSError as error:
        if (folder / SETTINGS).exists():
            return
        raise unwritable(folder, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def unwritable(folder: Path, error: OSError) -> UserError:
    reason = error.strerror or first_line(error)
    return UserError(f"{printable(folder)}: not writable ({reason}); choose another")


def _draw(settings: MazeSettings, console: Console | None) -> tuple[MazeArrays, MazeArrays]:
    total = settings.train + settings.test
    what = f"making {total:,} mazes of {settings.side}x{settings.side}"
    with counted(what, total, console) as advance:
        return draw_set(settings.side, settings.train, settings.test, settings.seed, advance)


@contextmanager
def counted(what: str, total: int, console: Console | None) -> Iterator[Callable[[int], None]]:
    """Shows how far a work is: a bar on a terminal, a line at its start elsewhere.

    Yields:
        A function to be told how many more are done.
    """
    bar = Progress(
        TextColumn(what), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, disable=console is None or not console.is_terminal,
    )  # fmt: skip
    if console is not None and not console.is_terminal:
        console.print(what, highlight=False, soft_wrap=True)
    with bar:
        task = bar.add_task("", total=total)
        yield lambda new: bar.advance(task, new)


def write_set(folder: Path, settings: MazeSettings, *, train: MazeArrays, test: MazeArrays) -> None:
    """Writes both splits, then the settings that make the set complete."""
    described: dict[str, Any] = {"format": FORMAT, "side": settings.side, "seed": settings.seed}
    for split, mazes in zip(SPLITS, (train, test), strict=True):
        file = folder / f"{split}.npy"
        np.save(file, pack(mazes), allow_pickle=False)
        described[split] = {
            "mazes": len(mazes),
            "longest": int(mazes.lengths.max()),
            "bytes": file.stat().st_size,
            "sha256": sha256(file),
        }
    (folder / SETTINGS).write_text(json.dumps(described, indent=2) + "\n")


def sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


# -- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MazeFile:
    """One split on disk. Opened where it is used first, so worker processes get its path alone."""

    path: Path
    side: int
    size: int
    longest: int

    @cached_property
    def records(self) -> np.ndarray:
        try:
            records = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError, TokenError) as error:
            raise damaged(self.path, first_line(error)) from None
        if records.dtype != record_type(self.side, self.longest) or len(records) != self.size:
            raise damaged(self.path, "its records are not those of the settings")
        return records

    def take(self, indices: np.ndarray, most: int | None = None) -> MazeArrays:
        """The mazes of these numbers, each with the first `most` moves of its route."""
        return unpack(self.records[indices], self.side, most)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "records"}


def damaged(file: Path, what: str) -> UserError:
    return UserError(f"{printable(file)}: damaged: {what}; delete the folder and make it again")


@dataclass(frozen=True)
class MazeSet:
    """A folder of mazes, checked: what describes it makes sense, and every byte is as written."""

    folder: Path
    settings: MazeSettings
    train: MazeFile
    test: MazeFile

    @classmethod
    def open(cls, folder: Path) -> "MazeSet":
        """Reads both files whole to compare their SHA-256 sums: once a process, unless they change.

        Raises:
            UserError: no such set, or a part of it is missing, cut off or changed.
        """
        described = Description.read(folder)
        parts = {split: described.part(split) for split in SPLITS}
        mazes = {split: part.whole("mazes", least=1) for split, part in parts.items()}
        side, seed = described.whole("side", least=5), described.whole("seed", least=0)
        try:
            settings = MazeSettings(side, seed=seed, **mazes)
        except ConfigError as error:
            raise damaged(described.file, str(error)) from None
        files = {
            split: _checked_file(folder / f"{split}.npy", settings.side, mazes[split], part)
            for split, part in parts.items()
        }
        return cls(folder, settings, **files)


@dataclass(frozen=True)
class Description:
    """`mazes.json` or a part of it; what is missing or of another type is refused by its name.

    Args:
        name: of the part, with a point behind it.
    """

    file: Path
    values: dict[str, Any]
    name: str = ""

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """
        Raises:
            UserError: there is none, or it is no description of this format.
        """
        file = folder / SETTINGS
        try:
            values = json.loads(file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            missing = f"no mazes there ({SETTINGS} is missing)"
            raise UserError(f"{printable(folder)}: {missing}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise damaged(file, first_line(error)) from None
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise damaged(file, f"want the description of a set of format {FORMAT}")
        return cls(file, values)

    def whole(self, key: str, *, least: int, most: int | None = None) -> int:
        value = self.values.get(key)
        # not isinstance: true and false are whole numbers to Python
        if type(value) is not int or value < least or (most is not None and value > most):
            up_to = "or more" if most is None else f"to {most}"
            raise self._refused(key, f"a whole number, {least} {up_to}")
        return value

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self._refused(key, "a string")
        return value

    def part(self, key: str) -> "Description":
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self._refused(key, "a part with names and values")
        return Description(self.file, value, f"{key}.")

    def _refused(self, key: str, want: str) -> UserError:
        if key not in self.values:
            return damaged(self.file, f"no {self.name}{key}; want {want}")
        shown = json.dumps(self.values[key])
        return damaged(self.file, f"{self.name}{key}={shown:.40}; want {want}")


def _checked_file(path: Path, side: int, mazes: int, part: Description) -> MazeFile:
    longest = part.whole("longest", least=1, most=side * side)
    size, expected = part.whole("bytes", least=1), part.text("sha256")
    try:
        found = path.stat()
        if found.st_size != size:
            raise damaged(path, f"{found.st_size:,} bytes; want {size:,}")
        if _known_sum(path.absolute(), size, found.st_mtime_ns) != expected:
            raise damaged(path, f"its SHA-256 sum is not the one of {SETTINGS}")
    except FileNotFoundError:
        raise damaged(path, "no such file") from None
    except OSError as error:
        raise damaged(path, error.strerror or first_line(error)) from None
    return MazeFile(path, side, mazes, longest)


@lru_cache(maxsize=16)
def _known_sum(path: Path, size: int, changed: int) -> str:
    """The sum of a file, taken anew when its size or time of change is another."""
    return sha256(path)
