"""What is measured where an answer is a sequence of labels, said one a tick (paper, section 5)."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ctm.interface import Batch, TaskSpec, Thoughts
from ctm.losses import SortLoss

READ_AS = "ctc"  # the one way to read all ticks: greedy decoding
GAP_EDGES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # between bins of the gap of two neighbouring numbers


def says_something(
    logits: Float[Tensor, "batch ticks classes"],
) -> tuple[Int[Tensor, "batch ticks"], Bool[Tensor, "batch ticks"]]:
    """The likeliest label of each tick, and where it counts.

    Greedy decoding (Graves 2006): a label that stands for several ticks is said once, at the first
    of them; the last class says nothing.
    """
    labels = logits.argmax(2)
    repeats = torch.zeros_like(labels, dtype=torch.bool)
    repeats[:, 1:] = labels[:, 1:] == labels[:, :-1]
    return labels, (labels != logits.shape[2] - 1) & ~repeats


def said(logits: Float[Tensor, "ticks classes"]) -> list[int]:
    """The sequence of labels that one example's ticks say."""
    labels, counts = says_something(logits.unsqueeze(0))
    return labels[counts].tolist()


@dataclass(frozen=True)
class Decoded:
    """What examples said, beside what they should have said.

    Args:
        right: at each tick, whether it says a label that is right at its place in the sequence.
        spoken: labels said up to each tick.
        tick: at which each place's label was said, counted from 1; 0: never.
        right_at: whether the label said for each place is right.
    """

    right: Bool[Tensor, "batch ticks"]
    spoken: Int[Tensor, "batch ticks"]
    tick: Int[Tensor, "batch length"]
    right_at: Bool[Tensor, "batch length"]

    @classmethod
    def of(
        cls, logits: Float[Tensor, "batch ticks classes"], targets: Int[Tensor, "batch length"]
    ) -> "Decoded":
        length, ticks = targets.shape[1], logits.shape[1]
        labels, counts = says_something(logits)
        spoken = counts.cumsum(1)
        fits = counts & (spoken <= length)
        # what is not said, or said once too often, goes to a place past the end
        place = torch.where(fits, spoken - 1, length)
        right = fits & (labels == targets.gather(1, place.clamp_max(length - 1)))
        numbers = torch.arange(1, ticks + 1, device=logits.device).expand_as(place)
        empty = numbers.new_zeros(len(targets), length + 1)
        return cls(
            right=right,
            spoken=spoken,
            tick=empty.scatter(1, place, numbers)[:, :length],
            right_at=empty.scatter(1, place, right.long())[:, :length].bool(),
        )

    @property
    def elements(self) -> Float[Tensor, "batch ticks"]:
        """Share of the elements that are right, of all said up to each tick."""
        return self.right.cumsum(1) / self.tick.shape[1]

    @property
    def whole(self) -> Bool[Tensor, "batch ticks"]:
        """Whether exactly the right sequence was said up to each tick."""
        length = self.tick.shape[1]
        return (self.right.cumsum(1) == length) & (self.spoken == length)

    def waits(self) -> tuple[Int[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
        """Ticks from one element to the next, and which count: both are right."""
        before = torch.zeros_like(self.tick[:, :1])
        waits = self.tick.diff(dim=1, prepend=before)
        first = torch.ones_like(self.right_at[:, :1])
        return waits, self.right_at & torch.cat([first, self.right_at[:, :-1]], 1)


class SortEvaluation:
    """Sequences of labels, said one a tick with blanks between; decoded greedily.

    - accuracy: share of elements that are right at their place.
    - accuracy_whole: share of examples whose sequence is exactly right.
    - loss: connectionist temporal classification, nats an element.
    - per_tick: accuracy and accuracy_whole of what was said up to a tick, and the tick's certainty.
    - waiting: ticks between right neighbours, by place and by the gap between their numbers.
    """

    def __init__(self, spec: TaskSpec, device: torch.device | str = "cpu") -> None:
        self.length = spec.classes - 1
        self.ctc = SortLoss()
        self.examples = 0
        self.loss = torch.zeros((), device=device)
        self.tick_sums: dict[str, Tensor] = {}
        self.by_place = torch.zeros(2, self.length, dtype=torch.long, device=device)
        self.by_gap = torch.zeros(2, len(GAP_EDGES) + 1, dtype=torch.long, device=device)
        self.edges = torch.tensor(GAP_EDGES, device=device)
        # sums of the products of 1, gap and wait: all that a correlation needs
        self.moments = torch.zeros(3, 3, dtype=torch.float64, device=device)

    def add(self, thoughts: Thoughts, batch: Batch) -> None:
        decoded = Decoded.of(thoughts.logits, batch.targets)
        self.examples += len(batch)
        self.loss += self.ctc.per_example(thoughts, batch.targets).sum()
        for name, values in (
            ("accuracy", decoded.elements),
            ("accuracy_whole", decoded.whole.float()),
            ("certainty", thoughts.certainty),
        ):
            self.tick_sums[name] = self.tick_sums.get(name, 0) + values.double().sum(0)
        assert isinstance(batch.inputs, Tensor)
        self._add_waits(*decoded.waits(), batch.inputs.gather(1, batch.targets))

    def _add_waits(
        self,
        waits: Int[Tensor, "batch length"],
        counts: Bool[Tensor, "batch length"],
        ascending: Float[Tensor, "batch length"],
    ) -> None:
        self.by_place += torch.stack([(waits * counts).sum(0), counts.sum(0)])
        gaps = ascending.diff(dim=1).flatten()
        waits, counts = waits[:, 1:].flatten(), counts[:, 1:].flatten()
        bins = torch.bucketize(gaps, self.edges, right=True)
        self.by_gap[0].index_add_(0, bins, waits * counts)
        self.by_gap[1].index_add_(0, bins, counts.long())
        rows = torch.stack([torch.ones_like(gaps), gaps, waits]).double() * counts
        self.moments += rows @ rows.T

    def result(self) -> dict[str, Any]:
        """All metrics as plain data; what nothing was counted for is None."""
        per_tick = {name: (sums / self.examples).tolist() for name, sums in self.tick_sums.items()}
        return {
            "examples": self.examples,
            "accuracy": {READ_AS: per_tick["accuracy"][-1]},
            "accuracy_whole": {READ_AS: per_tick["accuracy_whole"][-1]},
            "loss": {READ_AS: (self.loss / self.examples).item()},
            "per_tick": per_tick,
            "waiting": {
                "ticks_by_place": _means(self.by_place),
                "gap_edges": list(GAP_EDGES),
                "ticks_by_gap": _means(self.by_gap),
                "counted_by_gap": self.by_gap[1].tolist(),
                "correlation_with_gap": _correlation(self.moments),
            },
        }


def _means(sums: Int[Tensor, "2 groups"]) -> list[float | None]:
    return [total / count if count else None for total, count in zip(*sums.tolist(), strict=True)]


def _correlation(moments: Float[Tensor, "3 3"]) -> float | None:
    """Pearson's, of the sums of all products of 1, x and y; None where one never changes."""
    (count, _, _), *_ = moments.tolist()
    if not count:
        return None
    means = moments / count
    covariance = means - torch.outer(means[0], means[0])
    (_, _, _), (_, xx, xy), (_, _, yy) = covariance.tolist()
    smallest = 1e-12  # of rounding
    return xy / (xx * yy) ** 0.5 if min(xx, yy) > smallest else None
