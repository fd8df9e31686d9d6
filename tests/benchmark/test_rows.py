"""Rows are the paper's machines; contenders compute the same function on them."""

import pytest
import torch

from ctm.benchmark.contenders import CONTENDERS
from ctm.benchmark.equality import distance, measure_equality
from ctm.benchmark.rows import CIFAR10, IMAGENET, MAZES, PARITY, ROWS, TINY, Row
from ctm.benchmark.speed import count_flops

# of the paper's table of settings
PARAMETERS = [
    (PARITY, 5_719_714), (CIFAR10, 1_032_648), (MAZES, 31_998_330), (IMAGENET, 185_989_886),
]  # fmt: skip


@pytest.mark.parametrize(("row", "parameters"), PARAMETERS, ids=lambda value: str(value)[:12])
def test_a_row_has_the_parameters_of_the_paper(row: Row, parameters: int) -> None:
    model = CONTENDERS["eager"].build(row, "meta")
    assert sum(weight.numel() for weight in model.parameters()) == parameters


@pytest.mark.parametrize("name", ["parity", "tiny", "medium"])
def test_a_resized_row_still_fits_its_task(name: str) -> None:
    row = ROWS[name].resized(batch=3, tokens=6, ticks=2, neurons=32)
    assert row.inputs().shape == (3, 6)
    assert row.inputs().abs().eq(1).all()
    assert row.targets().shape == (3, 6)
    with torch.no_grad():
        assert CONTENDERS["fast"].build(row)(row.inputs()).logits.shape == (3, 2, 6, 2)
    assert ROWS[name].config.ticks != 2


def test_inputs_are_the_same_each_time() -> None:
    assert torch.equal(MAZES.inputs(), MAZES.inputs())
    assert torch.equal(MAZES.targets(), MAZES.targets())


def test_contenders_give_the_same_numbers() -> None:
    names = ["textbook", "eager", "fast", "checkpointed", "bf16"]
    found = measure_equality(TINY, [CONTENDERS[name] for name in names], "cpu")
    assert list(found) == names
    for name in ("eager", "fast", "checkpointed"):
        assert found[name].logits < 1e-5 * found[name].largest
    for name in ("fast", "checkpointed"):
        gradients = found[name].gradients
        assert gradients is not None
        assert gradients < 1e-4
        assert found[name].compared > 10
    assert found["textbook"].gradients is None
    assert found["bf16"].logits > found["fast"].logits


def test_gradients_of_rounding_are_not_compared() -> None:
    theirs = {"weight": torch.tensor([3.0, 4.0]), "bias": torch.tensor([1e-9])}
    ours = {"weight": torch.tensor([3.0, 4.5]), "bias": torch.tensor([-1e-9])}
    assert distance(ours, theirs) == {"weight": pytest.approx(0.1)}


def test_flops_of_the_answer_and_of_training() -> None:
    one, two = (count_flops(TINY.resized(ticks=ticks)) for ticks in (1, 2))
    three = count_flops(TINY.resized(ticks=3))
    for mode in ("inference", "training"):
        assert three[mode] - two[mode] == two[mode] - one[mode] > 0
    # a product has two gradients, each as expensive as itself
    assert 2 < two["training"] / two["inference"] <= 3
