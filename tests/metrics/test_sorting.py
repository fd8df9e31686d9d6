"""Sorting's numbers, against plain Python loops over one tick after the other."""

from dataclasses import dataclass
from itertools import pairwise
from statistics import correlation, fmean
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ctm.interface import Batch, InputKind, TaskSpec, Thoughts
from ctm.metrics.sorting import GAP_EDGES, SortEvaluation, said
from tests.build import generator

EXAMPLES, LENGTH, TICKS = 200, 4, 9
BLANK = LENGTH
SPEC = TaskSpec(InputKind.vector, (LENGTH,), (LENGTH + 1,))


def spoken(labels: list[int], blank: int = BLANK) -> list[tuple[int, int]]:
    """Greedy decoding: each label with its tick, counted from 1."""
    before, heard = blank, []
    for tick, label in enumerate(labels, 1):
        if label not in (blank, before):
            heard.append((label, tick))
        before = label
    return heard


@dataclass(frozen=True)
class Seen:
    """Thoughts that are often nearly right."""

    logits: Tensor
    numbers: Tensor
    targets: Tensor

    @classmethod
    def of(cls, ticks: int = TICKS) -> "Seen":
        random = generator(0)
        numbers = torch.randn(EXAMPLES, LENGTH, generator=random)
        targets = numbers.argsort(1)
        # the targets in order, each said once or more with blanks thrown in, then some noise
        place = torch.rand(EXAMPLES, ticks, generator=random).mul(LENGTH).long().sort(1).values
        labels = targets.gather(1, place)
        noise = torch.rand(EXAMPLES, ticks, generator=random)
        labels = labels.where(noise > 0.2, torch.tensor(BLANK))
        strange = torch.randint(LENGTH + 1, labels.shape, generator=random)
        labels = labels.where(noise < 0.95, strange)
        logits = torch.randn(EXAMPLES, ticks, LENGTH + 1, generator=random)
        return cls(logits + 9 * F.one_hot(labels, LENGTH + 1), numbers, targets)

    def evaluate(self, batch_size: int = EXAMPLES) -> dict[str, Any]:
        evaluation = SortEvaluation(SPEC)
        for start in range(0, EXAMPLES, batch_size):
            part = slice(start, start + batch_size)
            batch = Batch(self.numbers[part], self.targets[part])
            evaluation.add(Thoughts.of(self.logits[part]), batch)
        return evaluation.result()

    def labels(self) -> list[list[int]]:
        return self.logits.argmax(2).tolist()


def right_neighbours(seen: Seen) -> list[tuple[int, int, float | None]]:
    """Place, wait and gap (None for the first) wherever an element and the one before are right."""
    found = []
    for labels, target, numbers in zip(
        seen.labels(), seen.targets.tolist(), seen.numbers.tolist(), strict=True
    ):
        heard = spoken(labels)
        for place in range(min(len(heard), LENGTH)):
            label, tick = heard[place]
            if label != target[place]:
                continue
            if place == 0:
                found.append((0, tick, None))
            elif heard[place - 1][0] == target[place - 1]:
                gap = numbers[target[place]] - numbers[target[place - 1]]
                found.append((place, tick - heard[place - 1][1], gap))
    return found


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-5, abs=1e-6)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=15))
def test_blanks_and_repeats_are_dropped(labels: list[int]) -> None:
    logits = torch.eye(4)[torch.tensor(labels)]
    assert said(logits) == [label for label, _ in spoken(labels, blank=3)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 1], [0, 1]),
        ([0, 3, 0], [0, 0]),
        ([3, 3], []),
        ([2, 2, 3, 3, 2, 1], [2, 2, 1]),
    ],
)
def test_decoding_by_hand(labels: list[int], expected: list[int]) -> None:
    assert said(torch.eye(4)[torch.tensor(labels)]) == expected


def test_each_tick_scores_what_was_said_up_to_it() -> None:
    seen = Seen.of()
    per_tick = seen.evaluate()["per_tick"]
    certainty = Thoughts.of(seen.logits).certainty.mean(0).tolist()
    assert per_tick["certainty"] == near(certainty)
    for tick in range(1, TICKS + 1):
        elements, whole = [], []
        for labels, target in zip(seen.labels(), seen.targets.tolist(), strict=True):
            heard = [label for label, _ in spoken(labels[:tick])]
            elements += [heard[k : k + 1] == target[k : k + 1] for k in range(LENGTH)]
            whole.append(heard == target)
        assert per_tick["accuracy"][tick - 1] == near(fmean(elements))
        assert per_tick["accuracy_whole"][tick - 1] == near(fmean(whole))


def test_the_metrics_are_those_of_all_ticks() -> None:
    seen = Seen.of()
    result = seen.evaluate()
    for name in ("accuracy", "accuracy_whole"):
        assert result[name] == {"ctc": result["per_tick"][name][-1]}
        assert 0.1 < result[name]["ctc"] < 0.9
    assert "mean_tick" not in result


def test_the_loss_is_of_an_element() -> None:
    seen = Seen.of()
    of_all = F.ctc_loss(
        seen.logits.double().log_softmax(2).transpose(0, 1),
        seen.targets,
        torch.full((EXAMPLES,), TICKS),
        torch.full((EXAMPLES,), LENGTH),
        blank=BLANK,
        reduction="sum",
    )
    expected = of_all.item() / EXAMPLES / LENGTH
    assert seen.evaluate()["loss"] == {"ctc": near(expected)}


def test_waiting_times_are_between_right_neighbours() -> None:
    seen = Seen.of()
    found, waiting = right_neighbours(seen), seen.evaluate()["waiting"]
    by_place = [[wait for at, wait, _ in found if at == place] for place in range(LENGTH)]
    assert min(map(len, by_place)) > 10
    assert waiting["ticks_by_place"] == near([fmean(waits) for waits in by_place])


def test_waiting_times_are_set_against_the_gap() -> None:
    seen = Seen.of()
    found, waiting = right_neighbours(seen), seen.evaluate()["waiting"]
    pairs = [(gap, wait) for _, wait, gap in found if gap is not None]
    edges = [0.0, *GAP_EDGES, float("inf")]
    bins = [[wait for gap, wait in pairs if low <= gap < high] for low, high in pairwise(edges)]
    assert waiting["counted_by_gap"] == [len(waits) for waits in bins]
    assert min(map(len, bins)) > 0
    assert waiting["ticks_by_gap"] == near([fmean(waits) for waits in bins])
    gaps, waits = zip(*pairs, strict=True)
    assert waiting["correlation_with_gap"] == near(correlation(gaps, waits))


def test_waits_that_follow_the_gap_correlate_with_it() -> None:
    numbers = torch.tensor([[0.0, 0.1, 0.3, 0.6]])
    labels = torch.tensor([[0, 1, BLANK, 2, BLANK, BLANK, 3]])  # waits 1, 2, 3
    evaluation = SortEvaluation(SPEC)
    logits = 9 * F.one_hot(labels, LENGTH + 1).float()
    evaluation.add(Thoughts.of(logits), Batch(numbers, numbers.argsort(1)))
    waiting = evaluation.result()["waiting"]
    assert waiting["ticks_by_place"] == [1, 1, 2, 3]
    assert waiting["correlation_with_gap"] == near(1)


@pytest.mark.parametrize("ticks", [LENGTH, 5, 20])
def test_any_number_of_ticks_that_suffices_is_scored(ticks: int) -> None:
    seen = Seen.of(ticks)
    hits = [
        [label for label, _ in spoken(labels)] == target
        for labels, target in zip(seen.labels(), seen.targets.tolist(), strict=True)
    ]
    assert seen.evaluate()["accuracy_whole"]["ctc"] == near(fmean(hits))


@pytest.mark.parametrize("batch_size", [1, 7, 199])
def test_results_do_not_depend_on_the_batches(batch_size: int) -> None:
    seen = Seen.of()
    whole, parts = seen.evaluate(), seen.evaluate(batch_size)
    for group in ("accuracy", "accuracy_whole", "loss"):
        assert parts[group] == near(whole[group])
    for group in ("per_tick", "waiting"):
        assert parts[group].keys() == whole[group].keys()
        for name, values in whole[group].items():
            assert parts[group][name] == near(values)


def test_what_nothing_was_counted_for_is_none() -> None:
    evaluation = SortEvaluation(SPEC)
    silent = 9 * F.one_hot(torch.full((3, TICKS), BLANK), LENGTH + 1).float()
    numbers = torch.randn(3, LENGTH, generator=generator(0))
    evaluation.add(Thoughts.of(silent), Batch(numbers, numbers.argsort(1)))
    result = evaluation.result()
    assert result["accuracy"] == result["accuracy_whole"] == {"ctc": 0}
    waiting = result["waiting"]
    assert waiting["ticks_by_place"] == [None] * LENGTH
    assert set(waiting["ticks_by_gap"]) == {None}
    assert waiting["correlation_with_gap"] is None
