"""What is measured where questions of many lengths are asked (paper, section 5: Q&A MNIST)."""

from typing import Any

import torch

from ctm.interface import Batch, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification
from ctm.metrics.tally import Tally


class QuestionEvaluation:
    """One answer a question, given at the last ticks, after all was shown.

    - all of `Classification`, over the questions as long as those trained on; ticks are counted
      from the first that answers, so that questions of any length stand side by side.
    - grid: accuracy for each number of images (rows) and of operations (columns), by readout;
      longer questions than those trained on too. None where there was none.

    Every batch holds questions of one length.

    Args:
        images, operations: how many of each a question has that is as long as those trained on.
    """

    def __init__(
        self,
        spec: TaskSpec,
        *,
        images: range,
        operations: range,
        device: torch.device | str = "cpu",
    ) -> None:
        self.spec = spec
        self.images, self.operations = images, operations
        self.trained = Classification(spec, device)
        self.tally = Tally()

    def add(self, thoughts: Thoughts, batch: Batch) -> None:
        images, codes = batch.inputs
        shown = images.shape[1] // self.spec.image_ticks
        operations = codes.shape[1] // self.spec.code_ticks // 2  # between places
        self.tally.add((shown, operations), thoughts, batch)
        if shown in self.images and operations in self.operations:
            self.trained.add(thoughts.answers, batch)

    def result(self) -> dict[str, Any]:
        images, operations = (sorted(set(sizes)) for sizes in zip(*self.tally.asked, strict=True))
        return self.trained.result() | {
            "grid": {
                "images": images,
                "operations": operations,
                "accuracy": {
                    readout.value: [
                        [self.tally.share((shown, asked), readout) for asked in operations]
                        for shown in images
                    ]
                    for readout in Readout
                },
            }
        }
