"""From pictures to batches."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

from ctm.interface import Batch
from ctm.tasks.images.pictures import Pictures
from ctm.tasks.images.transforms import Fit, Normalisation, Transform, drawing_from
from ctm.tasks.task import WHOLE, Share

Numbers = Int[Tensor, " examples"]  # of pictures


def held_back(
    pictures: int, size: int
) -> tuple[Int[Tensor, " training"], Int[Tensor, " validation"]]:
    """The pictures to train on, and the `size` that are held back: for all seeds the same."""
    order = torch.randperm(pictures, generator=torch.Generator().manual_seed(0))
    return order[size:], order[:size]


def stacked(images: Iterable[Image.Image]) -> UInt8[Tensor, "batch channels height width"]:
    return torch.stack([F.pil_to_tensor(image) for image in images])


@dataclass(frozen=True)
class AugmentedImages:
    """Examples that look different each time they are taken.

    Args:
        numbers: of the pictures that are used.
        augment: draws from torch's global generator, as torchvision's transforms do.
    """

    pictures: Pictures
    numbers: Numbers
    augment: Transform
    normalise: Normalisation

    @property
    def size(self) -> int:
        return len(self.numbers)

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        numbers = self.numbers[indices]
        with drawing_from(generator):
            pixels = stacked(self.augment(self.pictures[number]) for number in numbers.tolist())
        return Batch(self.normalise(pixels), self.pictures.targets[numbers])


@dataclass(frozen=True)
class FittedImages:
    """Examples to measure a model on.

    Args:
        numbers: of the pictures that are used.
    """

    pictures: Pictures
    numbers: Numbers
    fit: Fit
    normalise: Normalisation

    @property
    def size(self) -> int:
        return len(self.numbers)

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        """Those examples; they must have one size. Nothing is random about them."""
        return self._batch(self.numbers[indices])

    def batches(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        """All examples once, pictures of one size together."""
        parts = [part for numbers in self._by_size for part in numbers.split(batch_size)]
        yield from map(self._batch, share.of(parts))

    def _batch(self, numbers: Numbers) -> Batch:
        with ThreadPoolExecutor() as threads:  # Pillow decodes and resizes without Python's lock
            pixels = stacked(threads.map(self._fitted, numbers.tolist()))
        return Batch(self.normalise(pixels), self.pictures.targets[numbers])

    def _fitted(self, number: int) -> Image.Image:
        return self.fit(self.pictures[number])

    @cached_property
    def _by_size(self) -> list[Numbers]:
        """Sizes are known from the heads of the files, so one batch at a time is in memory."""
        if self.fit.square:
            return [self.numbers]
        groups: dict[tuple[int, int], list[int]] = {}
        for number in self.numbers.tolist():
            size = self.fit.size(*self.pictures.size(number))
            groups.setdefault(size, []).append(number)
        return [torch.tensor(numbers) for numbers in groups.values()]
