"""Every number of an evaluation, against plain Python loops."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ctm.interface import Batch, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import CALIBRATION_BINS, Classification
from tests.build import SIGNS, VECTOR, generator

EXAMPLES, TICKS = 23, 4
Logits = list[list[float]]  # positions, classes

each_spec = pytest.mark.parametrize("spec", [VECTOR, SIGNS], ids=["one_answer", "positions"])


def softmax(logits: Sequence[float]) -> list[float]:
    powers = [math.exp(value - max(logits)) for value in logits]
    return [power / sum(powers) for power in powers]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda index: values[index])


def certainty_of(answer: Logits) -> float:
    """1 - normalised entropy, averaged over the positions."""
    entropies = [-sum(p * math.log(p) for p in softmax(row)) for row in answer]
    return mean([1 - entropy / math.log(len(answer[0])) for entropy in entropies])


@dataclass(frozen=True)
class Seen:
    """Random thoughts and targets, and the same as nested lists."""

    spec: TaskSpec
    thoughts: Thoughts
    targets: Tensor

    @classmethod
    def of(cls, spec: TaskSpec) -> "Seen":
        logits = 2 * torch.randn(EXAMPLES, TICKS, *spec.output_shape, generator=generator(0))
        shape = (EXAMPLES, *spec.output_shape[:-1])
        likely = torch.rand(shape, generator=generator(1)) < 0.5
        random = torch.randint(spec.classes, shape, generator=generator(2))
        targets = torch.where(likely, logits.mean(1).argmax(-1), random)
        return cls(spec, Thoughts.of(logits), targets)

    def evaluate(self, batch_size: int) -> dict[str, Any]:
        evaluation = Classification(self.spec)
        for start in range(0, EXAMPLES, batch_size):
            part = slice(start, start + batch_size)
            evaluation.add(
                Thoughts.of(self.thoughts.logits[part]),
                Batch(self.targets[part], self.targets[part]),
            )
        return evaluation.result()

    def answers(self) -> list[list[Logits]]:
        """Examples, ticks, positions, classes."""
        shape = (EXAMPLES, TICKS, self.spec.positions, self.spec.classes)
        return self.thoughts.logits.double().reshape(shape).tolist()

    def rows(self) -> list[list[int]]:
        return self.targets.reshape(EXAMPLES, -1).tolist()

    def read(self, readout: Readout) -> list[Logits]:
        """One answer an example."""
        return [READ[readout](answers) for answers in self.answers()]


def weighted_sum(answers: list[Logits], weights: list[float]) -> Logits:
    positions, classes = range(len(answers[0])), range(len(answers[0][0]))
    return [
        [sum(w * answer[o][c] for w, answer in zip(weights, answers, strict=True)) for c in classes]
        for o in positions
    ]


def by_certainty(answers: list[Logits]) -> list[float]:
    sure = [certainty_of(answer) for answer in answers]
    return [value / sum(sure) for value in sure]


READ: dict[Readout, Callable[[list[Logits]], Logits]] = {
    Readout.certain: lambda answers: answers[best([certainty_of(a) for a in answers])],
    Readout.last: lambda answers: answers[-1],
    Readout.mean: lambda answers: weighted_sum(answers, [1 / len(answers)] * len(answers)),
    Readout.weighted: lambda answers: weighted_sum(answers, by_certainty(answers)),
}


def right(answer: Logits, target: list[int]) -> list[float]:
    return [float(best(row) == wanted) for row, wanted in zip(answer, target, strict=True)]


def loss(answer: Logits, target: list[int]) -> float:
    each = [-math.log(softmax(row)[wanted]) for row, wanted in zip(answer, target, strict=True)]
    return mean(each)


def scores(answers: list[Logits], targets: list[list[int]]) -> dict[str, float]:
    hits = [right(answer, target) for answer, target in zip(answers, targets, strict=True)]
    losses = [loss(answer, target) for answer, target in zip(answers, targets, strict=True)]
    return {
        "accuracy": mean([mean(row) for row in hits]),
        "accuracy_whole": mean([min(row) for row in hits]),
        "loss": mean(losses),
    }


def calibration_error(answers: list[Logits], targets: list[list[int]]) -> float:
    """Guo 2017: over bins of confidence, share of answers x |accuracy - confidence|."""
    bins: list[list[tuple[float, float]]] = [[] for _ in range(CALIBRATION_BINS)]
    for answer, target in zip(answers, targets, strict=True):
        for row, hit in zip(answer, right(answer, target), strict=True):
            confidence = max(softmax(row))
            bins[min(int(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1)].append(
                (confidence, hit)
            )
    total = sum(map(len, bins))
    return sum(
        len(held) / total * abs(mean([c for c, _ in held]) - mean([hit for _, hit in held]))
        for held in bins
        if held
    )


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-4, abs=1e-5)


def names(spec: TaskSpec) -> list[str]:
    return ["accuracy", "loss"] + ["accuracy_whole"] * (spec.positions > 1)


@each_spec
@pytest.mark.parametrize("readout", Readout)
def test_each_readout_equals_a_slow_loop(spec: TaskSpec, readout: Readout) -> None:
    seen = Seen.of(spec)
    result, answers = seen.evaluate(EXAMPLES), seen.read(readout)
    expected = scores(answers, seen.rows())
    for name in names(spec):
        assert result[name][readout.value] == near(expected[name])
    assert result["calibration_error"][readout.value] == near(
        calibration_error(answers, seen.rows())
    )
    assert 0 < result["accuracy"][readout.value] < 1


@each_spec
def test_each_tick_equals_a_slow_loop(spec: TaskSpec) -> None:
    seen = Seen.of(spec)
    result = seen.evaluate(EXAMPLES)
    assert set(result["per_tick"]) == {*names(spec), "certainty"}
    for tick in range(TICKS):
        answers = [answers[tick] for answers in seen.answers()]
        expected = scores(answers, seen.rows())
        expected["certainty"] = mean([certainty_of(answer) for answer in answers])
        for name, values in result["per_tick"].items():
            assert len(values) == TICKS
            assert values[tick] == near(expected[name])


@each_spec
def test_the_mean_tick_is_the_most_certain_one_counted_from_1(spec: TaskSpec) -> None:
    seen = Seen.of(spec)
    chosen = [1 + best([certainty_of(a) for a in answers]) for answers in seen.answers()]
    assert seen.evaluate(EXAMPLES)["mean_tick"] == near(mean(chosen))


@each_spec
@pytest.mark.parametrize("batch_size", [1, 4, 22])
def test_results_do_not_depend_on_the_batches(spec: TaskSpec, batch_size: int) -> None:
    seen = Seen.of(spec)
    whole, parts = seen.evaluate(EXAMPLES), seen.evaluate(batch_size)
    assert whole["examples"] == parts["examples"] == EXAMPLES
    assert parts.pop("mean_tick") == near(whole.pop("mean_tick"))
    for name, values in whole.pop("per_tick").items():
        assert parts["per_tick"][name] == near(values)
    del parts["per_tick"]
    assert parts == {name: near(value) for name, value in whole.items()}


def test_only_tasks_of_several_positions_have_whole_answers() -> None:
    assert "accuracy_whole" in Seen.of(SIGNS).evaluate(EXAMPLES)
    assert "accuracy_whole" not in Seen.of(VECTOR).evaluate(EXAMPLES)


def test_sure_and_right_answers_have_no_loss_and_no_calibration_error() -> None:
    targets = torch.tensor([0, 2, 1])
    logits = 100 * torch.eye(3)[targets].unsqueeze(1).repeat(1, 2, 1)
    evaluation = Classification(VECTOR)
    evaluation.add(Thoughts.of(logits), Batch(targets, targets))
    result = evaluation.result()
    perfect = {readout.value: near(1.0) for readout in Readout}
    none = {readout.value: near(0.0) for readout in Readout}
    assert (result["accuracy"], result["loss"]) == (perfect, none)
    assert result["calibration_error"] == none
