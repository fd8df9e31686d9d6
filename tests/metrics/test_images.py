"""What pictures add to classification, against plain Python loops."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from ctm.interface import Batch, InputKind, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification
from ctm.metrics.images import ImageClassification
from tests.build import generator

EXAMPLES, TICKS, CLASSES = 41, 4, 9
PICTURES = TaskSpec(InputKind.image, (3, 8, 8), (CLASSES,))


def seen() -> tuple[Tensor, Tensor]:
    """Logits, and targets that are often near the top; nothing of the last class."""
    logits = torch.randn(EXAMPLES, TICKS, CLASSES, generator=generator(0))
    likely = torch.rand(EXAMPLES, generator=generator(1)) < 0.5
    random = torch.randint(CLASSES - 1, (EXAMPLES,), generator=generator(2))
    best = logits.mean(1)[:, :-1].argmax(1)
    return logits, torch.where(likely, best, random)


def evaluated(batch_size: int, spec: TaskSpec = PICTURES) -> dict[str, Any]:
    logits, targets = seen()
    evaluation = ImageClassification(spec)
    for part in torch.arange(EXAMPLES).split(batch_size):
        evaluation.add(Thoughts.of(logits[part]), Batch(targets[part], targets[part]))
    return evaluation.result()


def among_best(logits: list[float], target: int, guesses: int) -> bool:
    ranked = sorted(range(len(logits)), key=lambda index: -logits[index])
    return target in ranked[:guesses]


def share(rows: list[list[float]], targets: list[int], guesses: int) -> float:
    hits = [among_best(row, target, guesses) for row, target in zip(rows, targets, strict=True)]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("readout", Readout)
def test_top5_of_each_readout_equals_a_slow_loop(readout: Readout) -> None:
    logits, targets = seen()
    rows = Thoughts.of(logits).at(readout).tolist()
    result = evaluated(EXAMPLES)
    assert result["accuracy_top5"][readout.value] == pytest.approx(share(rows, targets.tolist(), 5))
    assert result["accuracy"][readout.value] == pytest.approx(share(rows, targets.tolist(), 1))
    assert result["accuracy"][readout.value] < result["accuracy_top5"][readout.value] < 1


def test_top5_of_each_tick_equals_a_slow_loop() -> None:
    logits, targets = seen()
    expected = [share(logits[:, t].tolist(), targets.tolist(), 5) for t in range(TICKS)]
    assert evaluated(EXAMPLES)["per_tick"]["accuracy_top5"] == pytest.approx(expected)


def test_accuracy_per_class_equals_a_slow_loop() -> None:
    logits, targets = seen()
    answers = Thoughts.of(logits).at(Readout.certain).argmax(1).tolist()
    expected: list[float | None] = []
    for number in range(CLASSES):
        own = [a for a, target in zip(answers, targets.tolist(), strict=True) if target == number]
        expected.append(sum(a == number for a in own) / len(own) if own else None)
    assert expected[-1] is None
    assert len(set(expected)) > 3
    assert evaluated(EXAMPLES)["per_class"]["accuracy"] == expected


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_results_do_not_depend_on_the_batches(batch_size: int) -> None:
    whole, parts = evaluated(EXAMPLES), evaluated(batch_size)
    assert parts["per_class"] == whole["per_class"]
    assert parts["accuracy_top5"] == pytest.approx(whole["accuracy_top5"])
    for name, values in whole["per_tick"].items():
        assert parts["per_tick"][name] == pytest.approx(values, abs=1e-5)


def test_all_that_classification_measures_stays_as_it_is() -> None:
    logits, targets = seen()
    plain = Classification(PICTURES)
    plain.add(Thoughts.of(logits), Batch(targets, targets))
    result, expected = evaluated(EXAMPLES), plain.result()
    assert set(result) - set(expected) == {"accuracy_top5", "per_class"}
    del result["per_tick"]["accuracy_top5"]
    assert {name: result[name] for name in expected} == expected


def test_results_are_plain_data() -> None:
    result = evaluated(EXAMPLES)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_five_classes_have_no_top5() -> None:
    logits = torch.randn(6, 2, 5, generator=generator(0))
    targets = torch.arange(6) % 5
    evaluation = ImageClassification(TaskSpec(InputKind.image, (1, 8, 8), (5,)))
    evaluation.add(Thoughts.of(logits), Batch(targets, targets))
    result = evaluation.result()
    assert "accuracy_top5" not in result
    assert "accuracy_top5" not in result["per_tick"]
    assert len(result["per_class"]["accuracy"]) == 5
