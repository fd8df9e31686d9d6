"""Readouts and certainty against their definitions, and the sizes of tasks."""

import math

import pytest
import torch
from torch import Tensor

from ctm.errors import ConfigError
from ctm.interface import Batch, InputKind, Readout, TaskSpec, Thoughts, certainty
from tests import textbook
from tests.build import generator

SHAPES = {"one position": (3, 5, 4), "positions": (3, 5, 6, 2), "a plane": (2, 4, 3, 2, 5)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))


def logits_of(shape: tuple[int, ...], scale: float = 2.0) -> Tensor:
    return scale * torch.randn(shape, generator=generator(0))


# -- certainty -------------------------------------------------------------------------------------


@each_shape
def test_certainty_is_one_minus_the_mean_normalised_entropy(shape: tuple[int, ...]) -> None:
    logits = logits_of(shape)
    expected = textbook.certainties(logits.double()).float()
    assert certainty(logits).shape == shape[:2]
    torch.testing.assert_close(certainty(logits), expected)


def test_certainty_goes_from_zero_to_one() -> None:
    uniform, sure = torch.zeros(1, 1, 8), torch.tensor([[[200.0] + [0.0] * 7]])
    assert certainty(uniform).item() == pytest.approx(0, abs=1e-6)
    assert certainty(sure).item() == pytest.approx(1)


def test_certainty_of_two_positions_is_their_mean() -> None:
    sure_and_not = torch.tensor([[[[200.0, 0.0], [0.0, 0.0]]]])
    assert certainty(sure_and_not).item() == pytest.approx(0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_certainty_is_float32_whatever_the_logits(dtype: torch.dtype) -> None:
    assert certainty(logits_of((3, 5, 4)).to(dtype)).dtype == torch.float32


def test_certainty_is_finite_where_a_class_is_impossible() -> None:
    logits = torch.tensor([[[0.0, 0.0, -1e4], [1e4, -1e4, 0.0]]])
    expected = [[1 - math.log(2) / math.log(3), 1.0]]
    torch.testing.assert_close(certainty(logits), torch.tensor(expected))


# -- readouts --------------------------------------------------------------------------------------


@each_shape
def test_certain_is_the_most_certain_tick_of_each_example(shape: tuple[int, ...]) -> None:
    logits = logits_of(shape)
    chosen = [textbook.first_largest(row) for row in textbook.certainties(logits).tolist()]
    assert len(set(chosen)) > 1
    expected = torch.stack([logits[row, tick] for row, tick in enumerate(chosen)])
    assert Thoughts.of(logits).at("certain").equal(expected)
    assert Thoughts.of(logits).chosen("certain").tolist() == chosen


@each_shape
def test_last_is_the_last_tick(shape: tuple[int, ...]) -> None:
    thoughts = Thoughts.of(logits_of(shape))
    assert thoughts.at("last").equal(thoughts.logits[:, -1])
    assert thoughts.chosen("last").tolist() == [shape[1] - 1] * shape[0]


@each_shape
def test_mean_is_the_mean_over_ticks(shape: tuple[int, ...]) -> None:
    thoughts = Thoughts.of(logits_of(shape))
    total = sum(thoughts.logits.unbind(1), torch.zeros(()))
    torch.testing.assert_close(thoughts.at("mean"), total / shape[1])


@each_shape
def test_weighted_is_the_mean_by_certainty(shape: tuple[int, ...]) -> None:
    logits = logits_of(shape)
    sure = textbook.certainties(logits.double()).tolist()
    expected = torch.stack(
        [
            sum((c * tick for c, tick in zip(row, example, strict=True)), torch.zeros(()))
            / sum(row)
            for row, example in zip(sure, logits, strict=True)
        ]
    )
    torch.testing.assert_close(Thoughts.of(logits).at("weighted"), expected)


@pytest.mark.parametrize("classes", [2, 3, 5, 10, 1000])
@pytest.mark.parametrize("level", [0.0, 3.7, -250.0])
def test_weighted_of_uniform_predictions_is_uniform(classes: int, level: float) -> None:
    weighted = Thoughts.of(torch.full((2, 6, classes), level)).at("weighted")
    assert weighted.isfinite().all()
    share = weighted.softmax(-1)
    torch.testing.assert_close(share, torch.full_like(share, 1 / classes))


@pytest.mark.parametrize("classes", [2, 3, 5, 10, 1000])
def test_weighted_of_nearly_uniform_predictions_lies_among_them(classes: int) -> None:
    """Rounding must not make a weight negative, nor great."""
    logits = 1e-4 * torch.randn(50, 6, classes, generator=generator(1))
    weighted = Thoughts.of(logits).at("weighted")
    assert (weighted <= logits.amax(1).clamp_min(0) + 1e-6).all()
    assert (weighted >= logits.amin(1).clamp_max(0) - 1e-6).all()


@pytest.mark.parametrize("readout", Readout)
def test_readouts_are_named_by_string_or_by_member(readout: Readout) -> None:
    thoughts = Thoughts.of(logits_of((3, 5, 4)))
    assert thoughts.at(readout.value).equal(thoughts.at(readout))
    assert thoughts.at(readout).shape == (3, 4)


@pytest.mark.parametrize("readout", Readout)
def test_of_a_single_tick_every_readout_is_that_tick(readout: Readout) -> None:
    thoughts = Thoughts.of(logits_of((3, 1, 4)))
    torch.testing.assert_close(thoughts.at(readout), thoughts.logits[:, 0])


def test_an_unknown_readout_is_refused_with_the_known() -> None:
    with pytest.raises(ConfigError, match=r"readout=first: .*certain, last, mean, weighted"):
        Thoughts.of(logits_of((3, 5, 4))).at("first")


@pytest.mark.parametrize("readout", ["mean", "weighted"])
def test_readouts_of_all_ticks_choose_none(readout: str) -> None:
    with pytest.raises(ConfigError, match=f"readout={readout}.*certain and last"):
        Thoughts.of(logits_of((3, 5, 4))).chosen(readout)


def test_last_ticks_are_the_thoughts_of_those_ticks() -> None:
    thoughts = Thoughts.of(logits_of((3, 5, 4)))
    late = thoughts.last_ticks(2)
    assert late.logits.equal(thoughts.logits[:, 3:])
    assert late.certainty.equal(thoughts.certainty[:, 3:])
    assert late.ticks == 2


# -- tasks and batches -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output_shape", "classes", "positions"),
    [((10,), 10, 1), ((64, 2), 2, 64), ((3, 4, 5), 5, 12)],
)
def test_sizes_of_a_task_follow_from_its_output_shape(
    output_shape: tuple[int, ...], classes: int, positions: int
) -> None:
    spec = TaskSpec(InputKind.vector, (3,), output_shape)
    assert (spec.classes, spec.positions) == (classes, positions)


@pytest.mark.parametrize(
    ("kind", "input_shape"),
    [
        (InputKind.signs, ()),
        (InputKind.signs, (0,)),
        (InputKind.signs, (3, 8, 8)),
        (InputKind.vector, (4, 4)),
        (InputKind.vector, (-1,)),
        (InputKind.image, (3,)),
        (InputKind.image, (0, 8, 8)),
        (InputKind.image, (3, -8, 8)),
    ],
)
def test_an_input_shape_of_another_kind_is_refused(
    kind: InputKind, input_shape: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError) as refusal:
        TaskSpec(kind, input_shape, (2,))
    assert f"input_shape={input_shape}" in str(refusal.value)
    assert kind in str(refusal.value)


@pytest.mark.parametrize("output_shape", [(), (1,), (0,), (5, 1), (0, 2), (-1, 2)])
def test_an_output_shape_without_a_choice_is_refused(output_shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError) as refusal:
        TaskSpec(InputKind.vector, (3,), output_shape)
    assert f"output_shape={output_shape}" in str(refusal.value)
    assert "2 or more classes" in str(refusal.value)


def test_blank_inputs_have_the_shape_of_a_batch() -> None:
    spec = TaskSpec(InputKind.image, (3, 4, 5), (2,))
    assert spec.blank_inputs(7, "meta").shape == (7, 3, 4, 5)


def test_a_batch_has_a_length_and_moves_whole() -> None:
    batch = Batch(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long))
    moved = batch.to("meta")
    assert len(batch) == len(moved) == 4
    assert {moved.inputs.device.type, moved.targets.device.type} == {"meta"}
