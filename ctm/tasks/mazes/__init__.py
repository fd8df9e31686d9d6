"""Mazes: which way leads from the red pixel to the green one? (Paper, section 4.2.)"""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from ctm.config import wanted
from ctm.errors import UserError
from ctm.interface import InputKind, TaskSpec
from ctm.metrics.evaluation import Evaluation
from ctm.metrics.routes import RouteEvaluation
from ctm.tasks.mazes.examples import MazeExamples, MazeSource
from ctm.tasks.mazes.maze import ARROWS, MazeArrays, Move, PixelRange, model_inputs
from ctm.tasks.mazes.pictures import PictureFolder, check_shape, read_layouts, read_pixels
from ctm.tasks.mazes.store import MazeSet, MazeSettings, check_side, make_mazes
from ctm.tasks.task import Task


class Source(StrEnum):
    """What the folder holds."""

    generated = "generated"  # what scripts/make_mazes.py writes
    png = "png"  # folders train and test of pictures, as published


def open_test(folder: Path) -> MazeArrays:
    """The test mazes of a folder, generated ones or pictures, of any side, with whole routes.

    Raises:
        UserError: there are none, or they are damaged.
    """
    pictures = folder / "test"
    split = PictureFolder.open(pictures) if pictures.is_dir() else MazeSet.open(folder).test
    return split.take(np.arange(split.size))


@dataclass
class Mazes(Task):
    """A picture of a maze; the moves of its shortest route, then waiting.

    Args:
        side: of the picture in pixels.
        route_length: moves to predict; longer routes are cut.
        source: what the folder holds.
        folder: of the mazes; empty: data/mazes-<side>.
        make: generate the mazes when the folder isn't there.
        train_size, test_size, seed: of the generated set.
        validation_size: the last so many training mazes are not trained on.
        augment: turn and mirror training mazes.
        pixel_range: black and white are 0 and 1, or -1 and 1.
    """

    kind: str = "mazes"
    side: int = 39
    route_length: int = 100
    source: Source = Source.generated
    folder: str = ""
    make: bool = False
    train_size: int = 45000
    test_size: int = 5000
    validation_size: int = 1000
    seed: int = 0
    augment: bool = True
    pixel_range: PixelRange = PixelRange.unit

    def __post_init__(self) -> None:
        check_side("task.side", self.side)
        for name in ("route_length", "train_size", "test_size", "validation_size"):
            wanted(getattr(self, name) >= 1, f"task.{name}", getattr(self, name), "1 or more")
        wanted(self.seed >= 0, "task.seed", self.seed, "0 or more")
        if self.source is Source.generated:
            self._check_validation(self.train_size)

    def _check_validation(self, train: int) -> None:
        fewer = f"fewer than the {train} training mazes"
        wanted(self.validation_size < train, "task.validation_size", self.validation_size, fewer)

    @property
    def spec(self) -> TaskSpec:
        image = (3, self.side, self.side)
        return TaskSpec(InputKind.image, image, (self.route_length, len(Move)))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(move.name for move in Move)

    @property
    def place(self) -> Path:
        """The folder of the mazes."""
        return Path(self.folder or f"data/mazes-{self.side}")

    def training(self) -> MazeExamples:
        source = self._split("train")
        return self._examples(source, 0, source.size - self.validation_size, self.augment)

    def validation(self) -> MazeExamples:
        source = self._split("train")
        return self._examples(source, source.size - self.validation_size, self.validation_size)

    def test(self) -> MazeExamples:
        source = self._split("test")
        return self._examples(source, 0, source.size)

    def _examples(
        self, source: MazeSource, first: int, size: int, augment: bool = False
    ) -> MazeExamples:
        return MazeExamples(source, first, size, self.route_length, self.pixel_range, augment)

    def _split(self, split: str) -> MazeSource:
        if self.source is Source.png:
            pictures = PictureFolder.open(self.place / split, self.side)
            if split == "train":
                self._check_validation(pictures.size)
            return pictures
        mazes = self._open()
        return mazes.train if split == "train" else mazes.test

    def _open(self) -> MazeSet:
        """The generated set, made first if it isn't there and `make` says so.

        Raises:
            UserError: it isn't there, is damaged, or is another one than the settings say.
        """
        settings = MazeSettings(self.side, self.train_size, self.test_size, self.seed)
        if not self.place.exists():
            if not self.make:
                raise UserError(
                    f"task.folder={self.place}: no such folder; make the mazes: "
                    f"{settings.command(self.place)}"
                )
            make_mazes(self.place, settings, console=Console(stderr=True))
        mazes = MazeSet.open(self.place)
        if mazes.settings != settings:
            raise UserError(
                f"task.folder={self.place}: holds {mazes.settings}; want {settings}; "
                "choose another folder or change the task's settings"
            )
        return mazes

    def harder(self) -> "Mazes | None":
        """Generated mazes a little larger, the same number of moves asked for."""
        if self.source is Source.png:
            return None
        return replace(self, side=self.side + 4, folder="")

    def evaluation(self, device: torch.device | str = "cpu") -> Evaluation:
        return RouteEvaluation(self.spec, device)

    def parse(self, text: str) -> Float[Tensor, "1 3 side side"]:
        """A picture file of a maze, with or without its route."""
        name = repr(text)[1:-1]  # one line, whatever it is called
        try:
            pixels = read_pixels(Path(text))
            check_shape(pixels, self.side, name)
            mazes, _ = read_layouts(pixels[None], [name])
        except UserError as error:
            raise UserError(f"input={error}") from None
        return model_inputs(mazes, self.pixel_range)

    def about_inputs(self) -> dict[str, Any]:
        """Walls are dark, ways white, the start red, the goal green."""
        dark = -1 if self.pixel_range is PixelRange.signed else 0
        return super().about_inputs() | {"pixels": [dark, 1]}

    def picture(self, inputs: Float[Tensor, "3 side side"]) -> Float[np.ndarray, "side side 3"]:
        """In colour."""
        signed = self.pixel_range is PixelRange.signed
        return ((inputs + 1) / 2 if signed else inputs).permute(1, 2, 0).numpy()

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        rows, columns = grid
        return rows, columns

    def answer(self, logits: Float[Tensor, "steps classes"]) -> str:
        """Arrows up to where only waiting follows; a dot is a wait."""
        arrows = "".join(ARROWS[move] for move in logits.argmax(-1).tolist())
        return arrows.rstrip(ARROWS[Move.wait]) or ARROWS[Move.wait]
