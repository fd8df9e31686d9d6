"""Which values dropout keeps, drawn with 16 random bits each.

At small batches drawing them takes longer than the products they thin out. The probability is
rounded to a multiple of 2^-16; `Dropout.kept` is the rounded one, so expectations stay exact.
"""

import torch
from jaxtyping import Float, Int16
from torch import Tensor

LEVELS = 2**16


class Dropout:
    """Keeps values with a probability of about 1 - p.

    Args:
        p: 0 <= p < 1.
    """

    def __init__(self, p: float) -> None:
        self.below = max(1, round((1 - p) * LEVELS))
        self.kept = self.below / LEVELS

    def draw(self, size: int, device: torch.device) -> Int16[Tensor, " size"] | None:
        """What decides for each value; None: all are kept."""
        if self.below == LEVELS:
            return None
        words = torch.empty(-(-size // 4), dtype=torch.int64, device=device)
        return words.random_(-(2**63), None).view(torch.int16)[:size]

    def scaled_mask(
        self, drawn: Int16[Tensor, "*shape"], dtype: torch.dtype
    ) -> Float[Tensor, "*shape"]:
        """What values are multiplied by, so that their expectations stay."""
        return self.mask(drawn, dtype).div_(self.kept)

    def mask(self, drawn: Int16[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
        """1 where a value is kept, 0 elsewhere."""
        ones = torch.empty_like(drawn, dtype=dtype)
        return torch.lt(drawn, self.below - LEVELS // 2, out=ones)
