"""Questions of many lengths: each length scored alone, and all that were trained on together."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
import torch

from ctm.interface import Batch, InputKind, Readout, TaskSpec, Thoughts
from ctm.metrics.classification import Classification
from ctm.metrics.questions import QuestionEvaluation
from tests.build import generator

ANSWERING = 3  # ticks
SPEC = TaskSpec(InputKind.questions, (1, 4, 4), (10,), image_ticks=2, code_ticks=3)
IMAGES, OPERATIONS = range(1, 3), range(1, 4)  # trained on
# images, operations and examples of each batch: two of one length, and two longer than any trained
BATCHES = [(1, 1, 40), (2, 3, 30), (2, 3, 11), (1, 2, 25), (3, 3, 20), (2, 4, 15)]


def seen() -> Iterator[tuple[Thoughts, Batch]]:
    for number, (images, operations, count) in enumerate(BATCHES):
        random = generator(number)
        pictures = torch.rand(count, images * SPEC.image_ticks, 1, 4, 4, generator=random)
        codes = torch.zeros(count, (2 * operations + 1) * SPEC.code_ticks, dtype=torch.long)
        ticks = pictures.shape[1] + codes.shape[1] + ANSWERING
        targets = torch.randint(10, (count,), generator=random)
        logits = 2 * torch.randn(count, ticks, 10, generator=random)
        logits[:, :-ANSWERING] *= 9  # surest while it is still being asked
        knows = torch.rand(count, 1, generator=random) < 0.6
        logits[:, -ANSWERING:] += 3 * knows[..., None] * torch.eye(10)[targets].unsqueeze(1)
        yield Thoughts.of(logits, answering=ANSWERING), Batch((pictures, codes), targets)


def evaluated() -> dict[str, Any]:
    evaluation = QuestionEvaluation(SPEC, images=IMAGES, operations=OPERATIONS)
    for thoughts, batch in seen():
        evaluation.add(thoughts, batch)
    return evaluation.result()


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("readout", Readout)
def test_the_grid_is_the_accuracy_of_each_length(readout: Readout) -> None:
    hits: dict[tuple[int, int], list[bool]] = {}
    for (images, operations, _), (thoughts, batch) in zip(BATCHES, seen(), strict=True):
        answers = thoughts.at(readout).argmax(-1).tolist()
        right = [a == b for a, b in zip(answers, batch.targets.tolist(), strict=True)]
        hits.setdefault((images, operations), []).extend(right)
    grid = evaluated()["grid"]
    assert (grid["images"], grid["operations"]) == ([1, 2, 3], [1, 2, 3, 4])
    assert grid["accuracy"][readout.value] == [
        [near(fmean(hits[cell])) if (cell := (images, asked)) in hits else None
         for asked in (1, 2, 3, 4)]
        for images in (1, 2, 3)
    ]  # fmt: skip


def test_all_other_metrics_are_of_the_answering_ticks_of_lengths_trained_on() -> None:
    expected = Classification(SPEC)
    for (images, operations, _), (thoughts, batch) in zip(BATCHES, seen(), strict=True):
        if images in IMAGES and operations in OPERATIONS:
            logits = thoughts.logits[:, -ANSWERING:]
            expected.add(Thoughts.of(logits), replace(batch, inputs=batch.targets))
    result = evaluated()
    del result["grid"]
    assert result == expected.result()
    assert result["examples"] == 106
    assert 1 <= result["mean_tick"] <= ANSWERING
    assert all(len(values) == ANSWERING for values in result["per_tick"].values())


def test_the_surest_tick_is_looked_for_among_those_that_answer() -> None:
    for thoughts, _ in seen():
        assert (thoughts.certainty[:, 0] > thoughts.answers.certainty.amax(1)).float().mean() > 0.5
    assert evaluated()["accuracy"]["certain"] > 0.4  # chance is 0.1
