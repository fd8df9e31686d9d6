"""Pictures of digits to ask about: MNIST's (LeCun 1998) or those that come with scikit-learn."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ctm.errors import UserError
from ctm.tasks.digits import ink_of, load_splits, open_grey
from ctm.tasks.images.examples import held_back
from ctm.tasks.images.stored import MNIST, load

MNIST_SIDE = 28
MNIST_INK = 20  # the square that a digit of MNIST fills
VALIDATING = 12  # one in so many of MNIST's training pictures: 5,000 of 60,000


class DigitSource(StrEnum):
    mnist = "mnist"  # 55,000, 5,000 and 10,000 pictures of 28x28
    sklearn = "sklearn"  # 1,300, 137 and 360 pictures of 8x8, always at hand


class Part(StrEnum):
    """Which pictures a set of examples shows. No picture is in two of them."""

    training = "training"
    validation = "validation"
    test = "test"


@dataclass(frozen=True, eq=False)
class DigitPictures:
    """Pictures, bright ink on black, and which digit each shows.

    Args:
        pixels: as bytes, a quarter of what they take as numbers.
        digits: 0 to 9.
    """

    pixels: UInt8[Tensor, "count side side"]
    digits: Int[Tensor, " count"]

    def show(self, picks: Int[Tensor, "*picks"]) -> Float[Tensor, "*picks 1 side side"]:
        """The pictures of these numbers, 0 (ground) to 1 (ink)."""
        return self.pixels[picks].unsqueeze(-3).float() / 255

    def of_digit(self, digit: int, number: int) -> int:
        """Which picture is the `number`-th of a digit; from the last on it starts again."""
        (found,) = (self.digits == digit).nonzero(as_tuple=True)
        return int(found[number % len(found)])


@lru_cache(maxsize=4)
def load_pictures(
    source: DigitSource, side: int, folder: str, download: bool
) -> dict[Part, DigitPictures]:
    """All pictures of a source, resized to `side`.

    Args:
        folder, download: where MNIST's files are, and whether to fetch them if they aren't.

    Raises:
        UserError: there is no MNIST in the folder, or it is damaged.
    """
    loaded = _sklearn() if source is DigitSource.sklearn else _mnist(folder, download)
    return {
        part: DigitPictures((resized(pixels, side, side) * 255).round().byte(), digits)
        for part, (pixels, digits) in zip(Part, loaded, strict=True)
    }


def resized(
    pixels: Float[Tensor, "count old_height old_width"], height: int, width: int
) -> Float[Tensor, "count {height} {width}"]:
    """Bilinear, smoothed first where that makes them smaller."""
    size = [height, width]
    scaled = F.interpolate(pixels.unsqueeze(1), size, mode="bilinear", antialias=True)
    return scaled[:, 0].clamp(0, 1)  # rounding leaves a little over 1


Loaded = list[tuple[Tensor, Tensor]]  # pixels from 0 to 1 and digits, of each part


def _sklearn() -> Loaded:
    splits = load_splits()
    parts = (splits[part.value] for part in Part)
    return [(torch.as_tensor(part.inputs)[:, 0], part.targets) for part in parts]


def _mnist(folder: str, download: bool) -> Loaded:
    try:
        known, test = (load(MNIST.source, folder, train, download) for train in (True, False))
    except UserError as error:
        raise UserError(f"{error}; or set task.source=sklearn, which needs no files") from None
    kept, validating = held_back(len(known.targets), len(known.targets) // VALIDATING)
    return [
        (pictures.pixels[picks, 0] / 255, pictures.targets[picks])
        for pictures, picks in ((known, kept), (known, validating), (test, slice(None)))
    ]


def read_picture(path: Path, source: DigitSource, side: int) -> Float[Tensor, "1 side side"]:
    """A picture file of one digit, made to look like those of a source.

    Raises:
        UserError: no such file, or not a picture.
    """
    image = open_grey(path)
    like = ink_of(image) if source is DigitSource.sklearn else _like_mnist(image)
    return resized(torch.as_tensor(like).unsqueeze(0), side, side)


def _like_mnist(image: Image.Image) -> Float[Tensor, "28 28"]:
    """Bright ink on black, 20 pixels high or wide, in the middle of 28x28.

    A picture of 28x28 is taken as it is. (MNIST itself puts the centre of mass in the middle.)
    """
    bright = MNIST().as_data_shows(image)
    pixels = torch.from_numpy(np.array(bright, dtype=np.float32) / 255)
    framed = torch.zeros(MNIST_SIDE, MNIST_SIDE)
    inked = pixels > pixels.max() / 2
    if pixels.shape == framed.shape or not inked.any():
        return pixels if pixels.shape == framed.shape else framed
    rows, columns = inked.any(1).nonzero(), inked.any(0).nonzero()
    ink = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = (max(round(size * MNIST_INK / max(ink.shape)), 1) for size in ink.shape)
    top, left = (MNIST_SIDE - height) // 2, (MNIST_SIDE - width) // 2
    framed[top : top + height, left : left + width] = resized(ink.unsqueeze(0), height, width)[0]
    return framed
