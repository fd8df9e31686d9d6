"""What is measured where one answer follows a stream of any length."""

from typing import Any

import torch

from ctm.interface import Batch, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification
from ctm.metrics.tally import Tally


class LengthEvaluation:
    """One answer a stream, given at the last ticks, after all was shown.

    - all of `Classification`, over the streams as long as those trained on; ticks are counted from
      the first that answers, so that streams of any length stand side by side.
    - by_length: `lengths`, and under `accuracy` a list of one value a length for each readout;
      longer streams than those trained on too.

    Every batch holds streams of one length.

    Args:
        lengths: of the streams trained on.
    """

    def __init__(self, spec: TaskSpec, lengths: range, device: torch.device | str = "cpu") -> None:
        self.lengths = lengths
        self.trained = Classification(spec, device)
        self.tally = Tally()

    def add(self, thoughts: Thoughts, batch: Batch) -> None:
        length = batch.inputs.shape[1]
        self.tally.add(length, thoughts, batch)
        if length in self.lengths:
            self.trained.add(thoughts.answers, batch)

    def result(self) -> dict[str, Any]:
        lengths = sorted(self.tally.asked)
        accuracy = {
            readout.value: [self.tally.share(length, readout) for length in lengths]
            for readout in Readout
        }
        return self.trained.result() | {"by_length": {"lengths": lengths, "accuracy": accuracy}}
