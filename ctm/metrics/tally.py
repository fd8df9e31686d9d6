"""Right answers by the size of what was asked."""

from collections import Counter
from typing import Any

from torch import Tensor

from ctm.interface import Batch, Readout, Thoughts


class Tally:
    """Accuracy for each size and readout."""

    def __init__(self) -> None:
        self.asked: Counter[Any] = Counter()
        self.right: dict[Any, dict[Readout, Tensor]] = {}

    def add(self, size: Any, thoughts: Thoughts, batch: Batch) -> None:
        """Takes a batch of examples of one size into account."""
        self.asked[size] += len(batch)
        sums = self.right.setdefault(size, {})
        for readout in Readout:
            right = (thoughts.at(readout).argmax(-1) == batch.targets).sum()
            sums[readout] = sums[readout] + right if readout in sums else right

    def share(self, size: Any, readout: Readout) -> float | None:
        """None where none was asked."""
        return self.right[size][readout].item() / self.asked[size] if size in self.asked else None
