"""Accuracy at each position, against plain Python loops."""

import pytest

from ctm.interface import Batch, Readout, Thoughts
from ctm.metrics.positions import PositionEvaluation
from tests.build import SIGNS
from tests.metrics.test_classification import EXAMPLES, TICKS, Seen, best

SEEN = Seen.of(SIGNS)


def evaluated(batch_size: int) -> dict:
    evaluation = PositionEvaluation(SIGNS)
    for start in range(0, EXAMPLES, batch_size):
        part = slice(start, start + batch_size)
        evaluation.add(
            Thoughts.of(SEEN.thoughts.logits[part]),
            Batch(SEEN.targets[part], SEEN.targets[part]),
        )
    return evaluation.result()


def shares(answers: list) -> list[float]:
    """Of (examples, positions, classes): how many are right at each position."""
    targets = SEEN.targets.tolist()
    return [
        sum(best(answers[k][place]) == targets[k][place] for k in range(EXAMPLES)) / EXAMPLES
        for place in range(SIGNS.positions)
    ]


@pytest.mark.parametrize("batch_size", [1, 10, EXAMPLES])
def test_each_position_is_counted_at_every_tick_and_readout(batch_size: int) -> None:
    found = evaluated(batch_size)["by_position"]
    for readout in Readout:
        expected = shares(SEEN.thoughts.at(readout).tolist())
        assert found["accuracy"][readout.value] == pytest.approx(expected)
    assert len(found["per_tick"]["accuracy"]) == TICKS
    for tick in range(TICKS):
        expected = shares(SEEN.thoughts.logits[:, tick].tolist())
        assert found["per_tick"]["accuracy"][tick] == pytest.approx(expected)


def test_the_mean_over_positions_is_the_accuracy() -> None:
    result = evaluated(10)
    for name, places in result["by_position"]["accuracy"].items():
        assert sum(places) / len(places) == pytest.approx(result["accuracy"][name])
        assert 0.2 < min(places) < max(places) < 1  # else this would say little
