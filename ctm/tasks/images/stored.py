"""Data sets that torchvision knows how to fetch and read, small enough to be kept in memory."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from pickle import PickleError
from typing import ClassVar

import torch
from PIL import Image, ImageOps, ImageStat
from torchvision import datasets
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from ctm.errors import UserError, first_line
from ctm.interface import InputKind, TaskSpec
from ctm.tasks.images.labels import CIFAR10_LABELS, CIFAR100_LABELS, MNIST_LABELS
from ctm.tasks.images.pictures import StoredPictures
from ctm.tasks.images.task import ImageTask
from ctm.tasks.images.transforms import Fit, Transform, unchanged

# what torchvision's readers raise for damaged files, and fetching without a network
FAILURES = (OSError, RuntimeError, ValueError, TypeError, LookupError, AssertionError, EOFError,
            PickleError)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A data set of torchvision.

    Args:
        name: as people call it.
        place: its folder, below the one that a task is given.
        side: of its square pictures, in pixels.
    """

    name: str
    dataset: type[datasets.CIFAR10] | type[datasets.MNIST]
    place: str
    side: int
    channels: int
    labels: tuple[str, ...]


@cache  # pixels are kept once, whoever asks for them
def load(source: Source, folder: str, train: bool, download: bool) -> StoredPictures:
    """The official training or test set.

    CIFAR's files are pickles, which could run code: torchvision opens only those whose sums are
    the official ones.

    Raises:
        UserError: it isn't there, can't be fetched, or is damaged.
    """
    place = Path(folder, source.place)
    if not download and not place.is_dir():
        raise UserError(
            f"task.folder={folder}: no {source.name} there (want {place}); add task.download=true "
            "to the command to fetch it, or set task.folder"
        )
    try:
        found = source.dataset(folder, train=train, download=download)
        return _checked(found, source)
    except FAILURES as error:
        raise UserError(
            f"task.folder={folder}: {place} can't be {'fetched or ' if download else ''}read "
            f"({first_line(error)}); delete it, then add task.download=true to fetch it"
        ) from None


def _checked(found: datasets.CIFAR10 | datasets.MNIST, source: Source) -> StoredPictures:
    """As this code keeps it. (Of MNIST's files torchvision checks neither sums nor sizes.)"""
    pixels, targets = torch.as_tensor(found.data), torch.as_tensor(found.targets)
    if len(pixels) != len(targets) or not len(targets):
        raise ValueError(f"{len(pixels)} pictures, {len(targets)} labels")
    if not 0 <= int(targets.min()) <= int(targets.max()) < len(source.labels):
        raise ValueError(
            f"a label is {int(targets.max())}, the last class {len(source.labels) - 1}"
        )
    by_channel = pixels.view(len(targets), source.side, source.side, source.channels)
    return StoredPictures(by_channel.permute(0, 3, 1, 2).contiguous(), targets)


@dataclass
class StoredImageTask(ImageTask):
    """A picture task whose data torchvision fetches.

    Args:
        download: fetch the data if they aren't in `folder`.
    """

    source: ClassVar[Source]

    download: bool = False

    def pictures(self, train: bool) -> StoredPictures:
        return load(self.source, self.folder, train, self.download)

    @property
    def spec(self) -> TaskSpec:
        shape = (self.channels, self.source.side, self.source.side)
        return TaskSpec(InputKind.image, shape, (len(self.labels),))

    @property
    def labels(self) -> tuple[str, ...]:
        return self.source.labels

    @property
    def fit(self) -> Fit:
        return Fit(self.source.side, square=True)

    @property
    def augmentation(self) -> Transform:
        return unchanged


@dataclass
class CIFARTask(StoredImageTask):
    """32x32 photographs.

    Args:
        augment: AutoAugment with the policy found for CIFAR-10 (Cubuk 2019), neither crop nor flip.
    """

    augment: bool = True

    @property
    def augmentation(self) -> Transform:
        return AutoAugment(AutoAugmentPolicy.CIFAR10) if self.augment else unchanged


@dataclass
class CIFAR10(CIFARTask):
    """10 classes of 6,000 photographs each (Krizhevsky 2009)."""

    source: ClassVar[Source] = Source(
        "CIFAR-10", datasets.CIFAR10, "cifar-10-batches-py", 32, 3, CIFAR10_LABELS
    )

    kind: str = "cifar10"
    mean: list[float] = field(default_factory=lambda: [0.4914, 0.4822, 0.4465])
    std: list[float] = field(default_factory=lambda: [0.2470, 0.2435, 0.2616])


@dataclass
class CIFAR100(CIFARTask):
    """100 classes of 600 photographs each (Krizhevsky 2009)."""

    source: ClassVar[Source] = Source(
        "CIFAR-100", datasets.CIFAR100, "cifar-100-python", 32, 3, CIFAR100_LABELS
    )

    kind: str = "cifar100"
    mean: list[float] = field(default_factory=lambda: [0.5071, 0.4865, 0.4409])
    std: list[float] = field(default_factory=lambda: [0.2673, 0.2564, 0.2762])


@dataclass
class MNIST(StoredImageTask):
    """70,000 handwritten digits, bright ink on black (LeCun 1998). Trained on as they are."""

    channels: ClassVar[int] = 1
    source: ClassVar[Source] = Source("MNIST", datasets.MNIST, "MNIST/raw", 28, 1, MNIST_LABELS)

    kind: str = "mnist"
    mean: list[float] = field(default_factory=lambda: [0.1307])
    std: list[float] = field(default_factory=lambda: [0.3081])

    def as_data_shows(self, image: Image.Image) -> Image.Image:
        """In grey; dark ink on light ground is turned round."""
        grey = image.convert("L")
        return ImageOps.invert(grey) if _border_brightness(grey) > 0.5 else grey


def _border_brightness(grey: Image.Image) -> float:
    """Mean of the outermost pixels, 0 to 1."""
    border = Image.new("1", grey.size, 1)
    if min(grey.size) > 2:
        border.paste(0, (1, 1, grey.width - 1, grey.height - 1))
    return ImageStat.Stat(grey, border.convert("L")).mean[0] / 255
