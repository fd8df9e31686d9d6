"""What all picture tasks share: settings, splits, and how a person's picture comes in."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

from ctm.config import wanted
from ctm.metrics.images import ImageClassification
from ctm.tasks.images.examples import AugmentedImages, FittedImages, held_back
from ctm.tasks.images.pictures import Pictures, open_picture
from ctm.tasks.images.transforms import Fit, Normalisation, Transform
from ctm.tasks.task import Task


@dataclass
class ImageTask(Task):
    """Which one of some things does a picture show?

    Args:
        mean, std: of each channel, pixels being 0 to 1; inputs are (pixel - mean) / std.
        folder: where the data lies.
        validation_size: pictures of the training set that are held back and never trained on.
    """

    channels: ClassVar[int] = 3

    mean: list[float]
    std: list[float]
    folder: str = "data"
    validation_size: int = 5000

    def __post_init__(self) -> None:
        wanted(self.validation_size >= 1, "task.validation_size", self.validation_size, "1 or more")
        for name in ("mean", "std"):
            values = getattr(self, name)
            wanted(len(values) == self.channels, f"task.{name}", values,
                   f"{self.channels} number(s), one a channel")  # fmt: skip
        wanted(min(self.std) > 0, "task.std", self.std, "numbers above 0")

    @abstractmethod
    def pictures(self, train: bool) -> Pictures:
        """The official training or test set.

        Raises:
            UserError: it isn't there, or can't be read.
        """

    @property
    @abstractmethod
    def fit(self) -> Fit:
        """What is done to pictures that a model is tested on."""

    @property
    @abstractmethod
    def augmentation(self) -> Transform:
        """What is done to pictures that a model is trained on."""

    @property
    def normalisation(self) -> Normalisation:
        return Normalisation(tuple(self.mean), tuple(self.std))

    # -- data --------------------------------------------------------------------------------------

    def training(self) -> AugmentedImages:
        pictures = self.pictures(train=True)
        numbers, _ = self._split(pictures)
        return AugmentedImages(pictures, numbers, self.augmentation, self.normalisation)

    def validation(self) -> FittedImages:
        pictures = self.pictures(train=True)
        _, numbers = self._split(pictures)
        return FittedImages(pictures, numbers, self.fit, self.normalisation)

    def test(self) -> FittedImages:
        pictures = self.pictures(train=False)
        everything = torch.arange(len(pictures.targets))
        return FittedImages(pictures, everything, self.fit, self.normalisation)

    def _split(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        count = len(pictures.targets)
        wanted(self.validation_size < count, "task.validation_size", self.validation_size,
               f"fewer than the {count} pictures of the training set")  # fmt: skip
        return held_back(count, self.validation_size)

    def evaluation(self, device: torch.device | str = "cpu") -> ImageClassification:
        return ImageClassification(self.spec, device)

    def about_inputs(self) -> dict[str, Any]:
        return super().about_inputs() | {
            "pixels": [0, 1],
            "mean": list(self.mean),
            "std": list(self.std),
            "short_side": self.fit.side,
            "square": self.fit.square,
            "resampling": "bilinear",
        }

    # -- what people bring and see -----------------------------------------------------------------

    def parse(self, text: str) -> Float[Tensor, "1 channels height width"]:
        """The path of a picture of any size: it is fitted as the test set's pictures are."""
        image = self.fit(self.as_data_shows(open_picture(text)))
        return self.normalisation(F.pil_to_tensor(image).unsqueeze(0))

    def as_data_shows(self, image: Image.Image) -> Image.Image:
        """A person's picture in the colours of the data."""
        return image

    def picture(
        self, inputs: Float[Tensor, "channels height width"]
    ) -> Float[np.ndarray, "height width *rgb"]:
        pixels = self.normalisation.undone(inputs)
        return pixels[0].numpy() if self.channels == 1 else pixels.permute(1, 2, 0).numpy()

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        rows, columns = grid
        return rows, columns
