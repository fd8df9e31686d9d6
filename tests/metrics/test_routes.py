"""Every number about routes, against plain Python loops."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ctm.interface import Batch, InputKind, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification
from ctm.metrics.routes import RouteEvaluation, length_bins, length_names
from tests.build import generator

EXAMPLES, TICKS, STEPS, WAIT = 67, 3, 23, 4
SPEC = TaskSpec(InputKind.image, (3, 7, 7), (STEPS, 5))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@dataclass(frozen=True)
class Seen:
    """Random thoughts about random routes; many of their steps are right."""

    thoughts: Thoughts
    targets: Tensor

    @classmethod
    def of(cls, longest: int = STEPS) -> "Seen":
        moves = torch.randint(4, (EXAMPLES, STEPS), generator=generator(0))
        lengths = torch.randint(1, longest + 1, (EXAMPLES, 1), generator=generator(1))
        targets = torch.where(torch.arange(STEPS) < lengths, moves, WAIT)
        noise = torch.randn(EXAMPLES, TICKS, STEPS, 5, generator=generator(2))
        known = torch.tensor([0.5, 2.0, 4.0])[:, None, None]
        return cls(Thoughts.of(noise + known * torch.eye(5)[targets].unsqueeze(1)), targets)

    def evaluate(self, batch_size: int) -> dict[str, Any]:
        return self.measured(RouteEvaluation(SPEC), batch_size)

    def measured(self, evaluation: Any, batch_size: int) -> dict[str, Any]:
        for start in range(0, EXAMPLES, batch_size):
            part = slice(start, start + batch_size)
            some = Thoughts.of(self.thoughts.logits[part])
            evaluation.add(some, Batch(torch.zeros(len(some.logits), 3, 7, 7), self.targets[part]))
        return evaluation.result()

    def bin_of(self, example: int) -> str:
        """With 23 steps a bin has 3 lengths."""
        length = sum(move != WAIT for move in self.targets[example].tolist())
        first = 3 * ((length - 1) // 3) + 1
        return f"{first}-{min(first + 2, STEPS)}"

    def right(self, logits: Tensor, example: int) -> list[float]:
        answer = logits[example].argmax(-1).tolist()
        pairs = zip(answer, self.targets[example].tolist(), strict=True)
        return [float(said == true) for said, true in pairs]

    def by_bin(self, logits: Tensor, whole: bool) -> dict[str, float]:
        """The metric for each bin by loops, of (examples, steps, classes)."""
        values: dict[str, list[float]] = {}
        for example in range(EXAMPLES):
            right = self.right(logits, example)
            value = float(all(right)) if whole else mean(right)
            values.setdefault(self.bin_of(example), []).append(value)
        return {name: mean(some) for name, some in values.items()}


METRICS = pytest.mark.parametrize(
    ("metric", "whole"), [("accuracy", False), ("accuracy_whole", True)]
)


@METRICS
@pytest.mark.parametrize("batch_size", [1, 16, EXAMPLES])
def test_shares_by_length_and_readout_are_those_of_loops(
    metric: str, whole: bool, batch_size: int
) -> None:
    routes = Seen.of()
    found = routes.evaluate(batch_size)["by_length"][metric]
    assert set(found) == {readout.value for readout in Readout}
    for readout in Readout:
        expected = routes.by_bin(routes.thoughts.at(readout), whole)
        assert found[readout.value] == pytest.approx(expected)


@METRICS
def test_shares_by_length_and_tick_are_those_of_loops(metric: str, whole: bool) -> None:
    routes = Seen.of()
    found = routes.evaluate(16)["by_length"]["per_tick"][metric]
    for tick in range(TICKS):
        expected = routes.by_bin(routes.thoughts.logits[:, tick], whole)
        assert {name: values[tick] for name, values in found.items()} == pytest.approx(expected)
        assert all(len(values) == TICKS for values in found.values())


def test_whole_routes_are_some_but_not_all() -> None:
    """Else the comparisons above would say little."""
    whole = Seen.of().evaluate(16)["per_tick"]["accuracy_whole"]
    assert 0 < whole[-1] < 1


def test_bins_add_up_to_what_all_routes_give() -> None:
    result = Seen.of().evaluate(16)
    counts = result["by_length"]["examples"]
    assert sum(counts.values()) == result["examples"] == EXAMPLES
    for metric in ("accuracy", "accuracy_whole"):
        for readout in Readout:
            shares = result["by_length"][metric][readout.value]
            total = sum(shares[name] * count for name, count in counts.items())
            assert total / EXAMPLES == pytest.approx(result[metric][readout.value], abs=1e-6)


def test_everything_that_classification_measures_is_there() -> None:
    routes = Seen.of()
    found = routes.evaluate(16)
    del found["by_length"]
    assert found == routes.measured(Classification(SPEC), 16)


def test_bins_without_routes_are_left_out_and_all_is_plain_data() -> None:
    routes = Seen.of(longest=8)
    by_length = routes.evaluate(16)["by_length"]
    assert list(by_length["examples"]) == ["1-3", "4-6", "7-9"]
    assert list(by_length["accuracy"]["last"]) == ["1-3", "4-6", "7-9"]
    json.dumps(by_length, allow_nan=False)


def test_routes_longer_than_the_answer_are_in_the_last_bin() -> None:
    cut = torch.zeros(4, STEPS, dtype=torch.long)
    evaluation = RouteEvaluation(SPEC)
    logits = torch.zeros(4, TICKS, STEPS, 5)
    evaluation.add(Thoughts.of(logits), Batch(torch.zeros(4, 3, 7, 7), cut))
    assert evaluation.result()["by_length"]["examples"] == {"22-23": 4}


@pytest.mark.parametrize("longest", [1, 5, 10, 11, 50, 99, 100, 101])
def test_bins_are_at_most_ten_and_every_length_is_in_the_bin_of_its_name(longest: int) -> None:
    names = length_names(longest)
    assert len(names) <= 10
    lengths = torch.arange(1, longest + 1)
    for length, index in zip(lengths.tolist(), length_bins(lengths, longest).tolist(), strict=True):
        first, last = map(int, names[index].split("-"))
        assert first <= length <= last
