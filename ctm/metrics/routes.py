"""What is measured where the answer is a route: moves, then waiting at the goal."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.interface import Batch, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification
from ctm.metrics.evaluation import add_up

BINS = 10  # of route lengths


def bin_width(longest: int) -> int:
    """Lengths that share a bin: at most `BINS` bins take all from 1 to the longest."""
    return -(-longest // BINS)


def length_names(longest: int) -> list[str]:
    """`1-10`, `11-20`, ...: the bins of route lengths."""
    width = bin_width(longest)
    firsts = range(1, longest + 1, width)
    return [f"{first}-{min(first + width - 1, longest)}" for first in firsts]


def length_bins(lengths: Int[Tensor, " batch"], longest: int) -> Int[Tensor, " batch"]:
    """The number of each length's bin."""
    return (lengths.clamp_min(1) - 1) // bin_width(longest)


class RouteEvaluation:
    """What `Classification` measures, and the same by the length of the route.

    - accuracy: share of right steps; waiting at the goal counts as a step.
    - accuracy_whole: share of routes with every step right.
    - by_length: both, and the examples, for routes of about the same length: by readout, and per
      tick. Routes longer than the answer are of its length. Bins without examples are left out.

    The last class is waiting.
    """

    def __init__(self, spec: TaskSpec, device: torch.device | str = "cpu") -> None:
        self.steps = Classification(spec, device)
        (self.longest,) = spec.output_shape[:-1]
        self.wait = spec.classes - 1
        self.names = length_names(self.longest)
        self.examples = torch.zeros(len(self.names), device=device)
        self.tick_sums: dict[str, Tensor] = {}
        self.readout_sums: dict[Readout, dict[str, Tensor]] = {name: {} for name in Readout}

    def add(self, thoughts: Thoughts, batch: Batch) -> None:
        self.steps.add(thoughts, batch)
        targets = batch.targets
        bins = length_bins((targets != self.wait).sum(1), self.longest)
        member = torch.nn.functional.one_hot(bins, len(self.names)).float()
        self.examples += member.sum(0)
        add_up(self.tick_sums, _scores(thoughts.logits, targets, member))
        for name in Readout:
            logits = thoughts.at(name).unsqueeze(1)
            add_up(self.readout_sums[name], _scores(logits, targets, member))

    def result(self) -> dict[str, Any]:
        counts = dict(zip(self.names, self.examples.int().tolist(), strict=True))
        by_length: dict[str, Any] = {"examples": {name: n for name, n in counts.items() if n}}
        for metric in ("accuracy", "accuracy_whole"):
            by_length[metric] = {
                readout.value: {bin: value[0] for bin, value in self._shares(sums[metric]).items()}
                for readout, sums in self.readout_sums.items()
            }
        by_length["per_tick"] = {
            metric: self._shares(sums) for metric, sums in self.tick_sums.items()
        }
        return self.steps.result() | {"by_length": by_length}

    def _shares(self, sums: Float[Tensor, "ticks bins"]) -> dict[str, list[float]]:
        """For each bin that has examples, a share a tick."""
        shares = (sums / self.examples).T.tolist()
        counts = self.examples.tolist()
        return {name: share for name, share, n in zip(self.names, shares, counts, strict=True) if n}


def _scores(
    logits: Float[Tensor, "batch ticks steps classes"],
    targets: Int[Tensor, "batch steps"],
    member: Float[Tensor, "batch bins"],
) -> dict[str, Tensor]:
    """Sums over the examples of each bin, for each tick."""
    right = (logits.argmax(-1) == targets.unsqueeze(1)).float()
    scores = {"accuracy": right.mean(2), "accuracy_whole": right.amin(2)}
    return {name: torch.einsum("bt,bl->tl", score, member) for name, score in scores.items()}
