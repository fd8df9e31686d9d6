"""Handwritten digits: 1,797 real 8x8 pictures that come with scikit-learn (UCI, Alpaydin 1998)."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ctm.interface import InputKind, TaskSpec
from ctm.metrics.evaluation import Evaluation
from ctm.metrics.images import ImageClassification
from ctm.tasks.opening import on_white, opened
from ctm.tasks.task import FixedExamples, Task

SIDE = 8
BRIGHTEST = 16  # of the data's pixels
TEST, VALIDATION = 360, 137  # pictures; the other 1,300 train


@cache
def load_splits() -> dict[str, FixedExamples]:
    """The pictures in a fixed shuffled order, cut in three."""
    # slow to import, and no other task needs it
    from sklearn.datasets import load_digits

    pictures, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    inputs = torch.from_numpy(pictures).float().view(-1, 1, SIDE, SIDE)[order] / BRIGHTEST
    targets = torch.from_numpy(digits).long()[order]
    sizes = [len(targets) - TEST - VALIDATION, VALIDATION, TEST]
    names = ("training", "validation", "test")
    parts = zip(names, inputs.split(sizes), targets.split(sizes), strict=True)
    return {name: FixedExamples(x, y) for name, x, y in parts}


@dataclass
class Digits(Task):
    """Which digit is it? Pixels are 0 (ground) to 1 (ink)."""

    kind: str = "digits"

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(InputKind.image, (1, SIDE, SIDE), (10,))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def evaluation(self, device: torch.device | str = "cpu") -> Evaluation:
        return ImageClassification(self.spec, device)

    def training(self) -> FixedExamples:
        return load_splits()["training"]

    def validation(self) -> FixedExamples:
        return load_splits()["validation"]

    def test(self) -> FixedExamples:
        return load_splits()["test"]

    def parse(self, text: str) -> Float[Tensor, "1 1 8 8"]:
        """A picture file of one digit. Any size; dark ink on light ground is turned round."""
        return torch.from_numpy(ink_of(open_grey(Path(text)))).view(1, 1, SIDE, SIDE)

    def about_inputs(self) -> dict[str, Any]:
        return super().about_inputs() | {"pixels": [0, 1], "ink": 1}

    def picture(self, inputs: Float[Tensor, "1 8 8"]) -> Float[np.ndarray, "height width"]:
        return inputs[0].numpy()

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        rows, columns = grid
        return rows, columns


def open_grey(path: Path) -> Image.Image:
    """Reads a picture as shades of grey; see-through parts are white.

    Raises:
        UserError: no such file, or not a picture.
    """
    with opened(path, prefix="input=", want="a picture of a digit") as image:
        return on_white(image).convert("L")


def ink_of(image: Image.Image) -> Float[np.ndarray, "8 8"]:
    """The digit as the data shows it: bright ink on black, filling 8x8.

    A picture of 8x8 is taken as it is. A larger one is cut to its ink and shrunk by averaging.
    """
    pixels = np.array(image, dtype=np.float32) / 255
    border = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    if border.mean() > 0.5:
        pixels = 1 - pixels
    if pixels.shape != (SIDE, SIDE):
        pixels = _cut_to_ink(pixels)
        shrunk = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
        pixels = np.array(shrunk, dtype=np.float32)
    return pixels


def _cut_to_ink(pixels: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "side side"]:
    """A square around everything brighter than half of the brightest."""
    rows, columns = np.nonzero(pixels > pixels.max() / 2)
    if not len(rows):
        return np.zeros((SIDE, SIDE), dtype=np.float32)
    ink = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    side = max(*ink.shape, SIDE)
    spare = [(side - size) // 2 for size in ink.shape]
    pads = [(before, side - size - before) for before, size in zip(spare, ink.shape, strict=True)]
    return np.pad(ink, pads)
