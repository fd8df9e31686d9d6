"""Where pictures come from: memory, files of a data set, or a person."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

from ctm.errors import UserError

# what Pillow raises for files that are no pictures, are cut off, or unpack to something huge
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)

LONGEST = 20  # sides of a person's picture to one another


@runtime_checkable
class Pictures(Protocol):
    """Pictures that can be asked for by number, and the class that each shows."""

    @property
    def targets(self) -> Int[Tensor, " pictures"]: ...

    def size(self, number: int) -> tuple[int, int]:
        """Height and width."""
        ...

    def __getitem__(self, number: int) -> Image.Image: ...


@dataclass(frozen=True)
class StoredPictures:
    """Pictures of one size, kept in memory as bytes."""

    pixels: UInt8[Tensor, "pictures channels height width"]
    targets: Int[Tensor, " pictures"]

    def size(self, number: int) -> tuple[int, int]:
        height, width = self.pixels.shape[2:]
        return height, width

    def __getitem__(self, number: int) -> Image.Image:
        return F.to_pil_image(self.pixels[number])


@dataclass(frozen=True)
class PictureFiles:
    """Pictures that are read from their files when they are asked for, in RGB.

    Args:
        paths: as bytes in one array, which all worker processes share; strings would be copied
            into each of them, since counting references writes to their memory.
    """

    paths: Shaped[np.ndarray, " pictures"]
    targets: Int[Tensor, " pictures"]

    def size(self, number: int) -> tuple[int, int]:
        with self._opened(number) as image:
            return image.height, image.width

    def __getitem__(self, number: int) -> Image.Image:
        with self._opened(number) as image:
            return image.convert("RGB")

    @contextmanager
    def _opened(self, number: int) -> Iterator[Image.Image]:
        path = os.fsdecode(self.paths[number])
        try:
            with Image.open(path) as image:
                yield image
        except UNREADABLE as error:
            raise UserError(
                f"{printable(path)}: not a picture that can be read ({first_line(error)}); "
                "replace it, or delete it"
            ) from None


def open_picture(text: str) -> Image.Image:
    """A person's picture in RGB; see-through parts are white.

    Raises:
        UserError: no such file, or not a picture.
    """
    try:
        with Image.open(text) as image:
            coloured = image.convert("RGBA")
    except FileNotFoundError:
        raise UserError(f"input={printable(text)}: no such file; want a picture") from None
    except UNREADABLE as error:
        raise UserError(
            f"input={printable(text)}: not a picture that can be read ({first_line(error)})"
        ) from None
    shorter, longer = sorted(coloured.size)
    if longer > LONGEST * shorter:  # scaled to a fixed shorter side it would fill the memory
        raise UserError(
            f"input={printable(text)}: {coloured.width}x{coloured.height} pixels; want a picture "
            f"at most {LONGEST} times as long as wide"
        )
    ground = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(ground, coloured).convert("RGB")


def printable(name: str) -> str:
    """A file's name on one line, whatever it holds."""
    return repr(name)[1:-1]


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n", 1)[0][:200]
