"""What is done to a picture before a model sees it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import functional as F

Transform = Callable[[Image.Image], Image.Image]


def unchanged(image: Image.Image) -> Image.Image:
    return image


@dataclass(frozen=True)
class Fit:
    """Brings a picture to the size that models are tested on (bilinear, with antialiasing).

    Args:
        side: length of its shorter side, in pixels.
        square: it is first cut to the square in its middle.
    """

    side: int
    square: bool

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the fitted picture."""
        if self.square:
            return self.side, self.side
        longer = self.side * max(height, width) // min(height, width)
        return (self.side, longer) if height <= width else (longer, self.side)

    def __call__(self, image: Image.Image) -> Image.Image:
        height, width = self.size(image.height, image.width)
        if self.square:
            return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        return image.resize((width, height), Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class Normalisation:
    """(pixel - mean) / std, channel by channel, pixels being 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(
        self, pixels: UInt8[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return F.normalize(pixels.float() / 255, list(self.mean), list(self.std))

    def undone(
        self, inputs: Float[Tensor, "channels height width"]
    ) -> Float[Tensor, "channels height width"]:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (inputs * std + mean).clamp(0, 1)


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Makes torchvision's transforms depend on a generator of the caller's.

    They draw from torch's global generator of the CPU: inside it is seeded by `generator`,
    afterwards it is as it was.
    """
    seed = int(torch.randint(2**63 - 1, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the GPUs' generators too, which dropout draws from
        torch.default_generator.manual_seed(seed)
        yield
