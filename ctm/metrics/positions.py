"""What is measured where the answer is a row of classes in which some are harder than others."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ctm.interface import Batch, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification
from ctm.metrics.evaluation import add_up


class PositionEvaluation:
    """What `Classification` measures, and the accuracy at each position.

    - accuracy: share of right positions.
    - accuracy_whole: share of examples with every position right.
    - by_position.accuracy: at each position, by readout; by_position.per_tick.accuracy: at each
      tick a list of the positions.
    """

    def __init__(self, spec: TaskSpec, device: torch.device | str = "cpu") -> None:
        self.together = Classification(spec, device)
        self.sums: dict[str, Tensor] = {}  # right answers by readout, and of every tick

    def add(self, thoughts: Thoughts, batch: Batch) -> None:
        self.together.add(thoughts, batch)
        targets = batch.targets.unsqueeze(1)
        add_up(self.sums, {"ticks": _right(thoughts.logits, targets)})
        for name in Readout:
            add_up(self.sums, {name.value: _right(thoughts.at(name).unsqueeze(1), targets)[0]})

    def result(self) -> dict[str, Any]:
        result = self.together.result()
        shares = {name: (sums / result["examples"]).tolist() for name, sums in self.sums.items()}
        per_tick = shares.pop("ticks")
        by_position = {"accuracy": shares, "per_tick": {"accuracy": per_tick}}
        return result | {"by_position": by_position}


def _right(
    logits: Float[Tensor, "batch ticks positions classes"], targets: Tensor
) -> Float[Tensor, "ticks positions"]:
    """Examples that are right, at each tick and position."""
    return (logits.argmax(-1) == targets).float().sum(0)
