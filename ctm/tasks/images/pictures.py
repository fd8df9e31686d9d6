"""Where pictures come from: memory, files of a data set, or a person."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

from ctm.errors import UserError
from ctm.tasks.opening import on_white, opened, printable

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

    def _opened(self, number: int) -> AbstractContextManager[Image.Image]:
        return opened(os.fsdecode(self.paths[number]), todo="replace it, or delete it")


def open_picture(text: str) -> Image.Image:
    """A person's picture in RGB; see-through parts are white.

    Raises:
        UserError: no such file, or not a picture.
    """
    with opened(text, prefix="input=") as image:
        shorter, longer = sorted(image.size)
        if longer > LONGEST * shorter:  # scaled to a fixed shorter side it would fill the memory
            raise UserError(
                f"input={printable(text)}: {image.width}x{image.height} pixels; want a picture "
                f"at most {LONGEST} times as long as wide"
            )
        return on_white(image)
