"""ImageNet (Deng 2009), or any data set laid out like it, read file by file."""

import os
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import find_classes
from torchvision.models import ResNet50_Weights
from torchvision.transforms import Compose, RandomHorizontalFlip, RandomResizedCrop

from ctm.config import wanted
from ctm.errors import UserError, first_line
from ctm.interface import InputKind, TaskSpec
from ctm.tasks.images.pictures import PictureFiles
from ctm.tasks.images.task import ImageTask
from ctm.tasks.images.transforms import Fit, Transform

IMAGENET_1K = 1000  # classes
TRAIN, TEST = "train", "val"  # the official validation set is the one that all report as test


@dataclass(frozen=True)
class Folder:
    """Pictures and the names of the folders that they lie in, which are the classes."""

    pictures: PictureFiles
    names: tuple[str, ...]


@cache  # listing a million files takes a while
def listed_files(folder: Path) -> Folder:
    """All pictures of `<folder>/<class>/`, sorted.

    Raises:
        UserError: there are none.
    """
    try:
        found = ImageFolder(folder)
    except OSError as error:
        raise UserError(
            f"task.folder={folder.parent}: no pictures in {folder} ({first_line(error)}); want "
            f"{TRAIN}/<class>/*.JPEG and {TEST}/<class>/*.JPEG there"
        ) from None
    paths = np.array([os.fsencode(path) for path, _ in found.samples])
    return Folder(PictureFiles(paths, torch.tensor(found.targets)), tuple(found.classes))


@dataclass
class ImageNet(ImageTask):
    """What does a photograph show? Test pictures keep their shape.

    Args:
        folder: has `train/<class>/*.JPEG` and `val/<class>/*.JPEG`; a class's folder has the name
            that ImageNet gives it, such as n01440764.
        classes: folders in each of the two; fewer than 1000 for a subset.
        crop: side of the square that training pictures are cut and scaled to.
        short_side: of test pictures, in pixels.
    """

    known: ClassVar[tuple[str, ...]] = ()  # names of the classes, if not those of the folders

    kind: str = "imagenet"
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    folder: str = "data/imagenet"
    validation_size: int = 10000
    classes: int = IMAGENET_1K
    crop: int = 224
    short_side: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("classes", 2), ("crop", 1), ("short_side", 1)):
            value = getattr(self, name)
            wanted(value >= least, f"task.{name}", value, f"{least} or more")

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(InputKind.image, (self.channels, 0, 0), (self.classes,))

    def pictures(self, train: bool) -> PictureFiles:
        return self._files(TRAIN if train else TEST).pictures

    def _files(self, part: str) -> Folder:
        place, train = Path(self.folder, part), Path(self.folder, TRAIN)
        found = listed_files(place)
        count = len(found.names)
        if count != self.classes:
            raise UserError(
                f"task.classes={self.classes}: {place} has folders of {count} classes; set "
                f"task.classes={count}, or task.folder"
            )
        # the test set can be used alone; beside the training set it must have the same classes
        if part == TEST and train.is_dir() and find_classes(train)[0] != list(found.names):
            raise UserError(
                f"task.folder={self.folder}: {place} and {train} have folders of different names; "
                "want the same classes in both"
            )
        return found

    @property
    def labels(self) -> tuple[str, ...]:
        """In words for the 1000 classes, whose order is that of their folders' names; else these.

        The words don't need the data: a trained model can be used anywhere.
        """
        if self.known:
            return self.known
        if self.classes == IMAGENET_1K:
            return tuple(ResNet50_Weights.IMAGENET1K_V2.meta["categories"])
        return self._files(TRAIN).names

    def knowing(self, labels: tuple[str, ...]) -> "ImageNet":
        """Where the folders of a subset, which name its classes, are somewhere else."""
        task = replace(self)
        vars(task)["known"] = labels
        return task

    @property
    def fit(self) -> Fit:
        return Fit(self.short_side, square=False)

    @property
    def augmentation(self) -> Transform:
        return Compose([RandomResizedCrop(self.crop), RandomHorizontalFlip()])
