"""Generate a set of mazes: `python scripts/make_mazes.py --side 39 --out data/mazes-39`.

`--pictures FOLDER` also draws them, as PNG files; where --out holds a set of just these settings,
that one. `--verify FOLDER` reads a set again and compares its SHA-256 sums.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ctm.app.command import OneLineParser, one_line_errors
from ctm.errors import UserError
from ctm.tasks.mazes.pictures import check_room, write_set_pictures
from ctm.tasks.mazes.store import MazeSet, MazeSettings, make_mazes


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--side", type=int, default=39, help="of a maze in pixels, odd; default: 39")
    add("--train", type=int, default=45000, help="training mazes; default: 45000")
    add("--test", type=int, default=5000, help="test mazes; default: 5000")
    add("--seed", type=int, default=0)
    add("--out", type=Path, help="folder to make; default: data/mazes-SIDE")
    add("--pictures", type=Path, metavar="FOLDER", help="also draw them, in train and test there")
    add("--verify", type=Path, metavar="FOLDER", help="check the set of that folder, make none")
    return parser.parse_args(arguments)


def make(folder: Path, settings: MazeSettings) -> None:
    began = time.perf_counter()
    make_mazes(folder, settings, Console(stderr=True))
    seconds = time.perf_counter() - began
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {settings}; {size / 1e6:.1f} MB in {seconds:.1f} s")


def draw(folder: Path, settings: MazeSettings, pictures: Path) -> None:
    """Draws the set, made first if it isn't there."""
    check_room(pictures)
    there = folder.exists()
    if not there:
        make(folder, settings)
    mazes = MazeSet.open(folder)
    if mazes.settings != settings:
        raise UserError(
            f"{folder}: holds {mazes.settings}; want {settings}; choose another --out or type the "
            "settings of that set"
        )
    if there:
        print(f"{folder}: {settings}; there already, drawn as it is")
    write_set_pictures(mazes, pictures, Console(stderr=True))
    print(f"{pictures}: the same as PNG files")


def main() -> None:
    with one_line_errors():
        chosen = parsed(sys.argv[1:])
        if chosen.verify is not None:
            mazes = MazeSet.open(chosen.verify)
            print(f"{chosen.verify}: {mazes.settings}; every byte as it was written")
            return
        settings = MazeSettings(chosen.side, chosen.train, chosen.test, chosen.seed)
        folder = chosen.out or Path(f"data/mazes-{settings.side}")
        if chosen.pictures is None:
            make(folder, settings)
        else:
            draw(folder, settings, chosen.pictures)


if __name__ == "__main__":
    main()
