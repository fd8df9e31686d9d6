"""What is measured where each picture shows one of some classes."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.interface import Batch, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification

GUESSES = 5


class ImageClassification(Classification):
    """Classification of whole examples. Beside what `Classification` measures:

    - accuracy_top5: share of examples whose class is among the five likeliest (six classes or
      more).
    - per_class: accuracy of the examples of each class, by the most certain tick; None for a class
      without any.
    """

    def __init__(self, spec: TaskSpec, device: torch.device | str = "cpu") -> None:
        super().__init__(spec, device)
        self.seen = torch.zeros(spec.classes, dtype=torch.long, device=device)
        self.right = torch.zeros_like(self.seen)

    def add(self, thoughts: Thoughts, batch: Batch) -> None:
        super().add(thoughts, batch)
        targets = batch.targets
        right = thoughts.at(Readout.certain).argmax(1) == targets
        self.seen.index_add_(0, targets, torch.ones_like(targets))
        self.right.index_add_(0, targets, right.long())

    def _score(
        self, logits: Float[Tensor, "batch ticks classes"], targets: Int[Tensor, " batch"]
    ) -> dict[str, Tensor]:
        sums = super()._score(logits, targets)
        if self.spec.classes > GUESSES:
            guesses = logits.topk(GUESSES, dim=2).indices
            among = (guesses == targets.view(-1, 1, 1)).any(2)
            sums["accuracy_top5"] = among.float().sum(0)
        return sums

    def result(self) -> dict[str, Any]:
        pairs = zip(self.right.tolist(), self.seen.tolist(), strict=True)
        accuracy = [right / seen if seen else None for right, seen in pairs]
        return super().result() | {"per_class": {"accuracy": accuracy}}
