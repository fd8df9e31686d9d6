"""Sorting: right targets, fixed sets, and what people type and see."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctm.errors import ConfigError, UserError
from ctm.interface import Batch, InputKind, Readout, Thoughts
from ctm.metrics.sorting import SortEvaluation
from ctm.tasks import TASKS
from ctm.tasks.sort import Sort, targets_of
from tests.build import generator


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.5]), min_size=1, max_size=12))
def test_targets_name_the_places_from_the_smallest_number_up(numbers: list[float]) -> None:
    expected = sorted(range(len(numbers)), key=lambda place: numbers[place])
    assert targets_of(torch.tensor([numbers])).tolist() == [expected]


@pytest.mark.parametrize("length", [1, 2, 7, 30])
def test_all_splits_have_the_shapes_of_the_spec_and_right_targets(length: int) -> None:
    task = Sort(length=length, validation_size=40, test_size=50)
    assert task.spec.input_kind is InputKind.vector
    assert (task.spec.input_shape, task.spec.output_shape) == ((length,), (length + 1,))
    assert len(task.labels) == task.spec.classes
    assert task.training().size is None
    batch = task.training().take(torch.arange(30), generator(0))
    assert isinstance(batch.inputs, torch.Tensor)
    held_back = task.validation(), task.test()
    for part, count in ((batch, 30), (held_back[0], 40), (held_back[1], 50)):
        assert isinstance(part.inputs, torch.Tensor)
        assert part.inputs.shape == part.targets.shape == (count, length)
        assert (part.inputs.dtype, part.targets.dtype) == (torch.float32, torch.int64)
        assert (part.inputs.gather(1, part.targets).diff(dim=1) >= 0).all()
        assert (part.targets.sort(dim=1).values == torch.arange(length)).all()


def test_the_numbers_are_standard_normal() -> None:
    numbers = Sort(length=20).training().take(torch.arange(5000), generator(0)).inputs
    assert isinstance(numbers, torch.Tensor)
    count = numbers.numel()
    assert abs(numbers.mean()) < 5 / count**0.5
    assert abs(numbers.var() - 1) < 5 * (2 / count) ** 0.5
    within = ((numbers.abs() < 1).float().mean() - 0.6827).abs()
    assert within < 5 * 0.47 / count**0.5


def test_training_depends_on_its_generator_alone() -> None:
    examples = Sort(length=9).training()
    first, again, other = (examples.take(torch.arange(4), generator(k)) for k in (3, 3, 4))
    assert torch.equal(first.targets, again.targets)
    assert isinstance(first.inputs, torch.Tensor)
    assert isinstance(again.inputs, torch.Tensor)
    assert isinstance(other.inputs, torch.Tensor)
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)


def test_validation_and_test_are_fixed_and_share_no_number() -> None:
    task = Sort(length=12, validation_size=64, test_size=64)
    sets = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        sets.append((task.validation().inputs, task.test().inputs))
        assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, *sets))
    validation, test = sets[0]
    assert not torch.isin(validation, test).any()


def test_it_is_a_task_of_that_name() -> None:
    assert TASKS["sort"] is Sort
    assert Sort().kind == "sort"
    assert isinstance(Sort().evaluation(), SortEvaluation)


@pytest.mark.parametrize("name", ["length", "validation_size", "test_size"])
def test_a_size_below_1_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\Atask\.{name}=0: want 1 or more\Z"):
        replace(Sort(), **{name: 0})


# -- what people type and see ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["0.3 -1.2 2", "0.3,-1.2,2", "0.3, -1.2, 2", " 3e-1\t-12e-1\n+2.0 ", "0.3,,-1.2 , 2,"]
)
def test_numbers_are_read_whatever_stands_between_them(text: str) -> None:
    parsed = Sort(length=3).parse(text)
    assert parsed.shape == (1, 3)
    torch.testing.assert_close(parsed, torch.tensor([[0.3, -1.2, 2.0]]))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "0 numbers"),
        ("1 2", "2 numbers"),
        ("1 2 3 4", "4 numbers"),
        ("1 2 x", "'x' is no number"),
        ("1 2 nan", "'nan' is no number"),
        ("1 inf 3", "'inf' is no number"),
        ("1 2 1e999", "'1e999' is no number"),
        ("1 2 1e39", "'1e39' is no number"),
        ("1;2;3", "'1;2;3' is no number"),
        ("1 2 \u200b3", "'\\u200b3' is no number"),
        ("7 " * 5000, "5000 numbers"),
        ("z" * 5000, "is no number"),
    ],
)
def test_a_wrong_input_is_refused_in_one_line(text: str, found: str) -> None:
    said = r"\Ainput=.*; want 3 numbers with commas or spaces between them\Z"
    with pytest.raises(UserError, match=said) as refused:
        Sort(length=3).parse(text)
    assert found in str(refused.value)
    assert len(str(refused.value)) < 160


def test_a_picture_is_one_row_that_grows_brighter_with_the_numbers() -> None:
    task = Sort(length=4)
    picture = task.picture(torch.tensor([-50.0, 0.0, 1.0, 50.0]))
    assert task.token_grid((4,)) == picture.shape == (1, 4)
    assert picture[0].tolist() == pytest.approx([0, 0.5, 0.8413447, 1])


def test_a_tick_answers_by_a_place_or_says_nothing() -> None:
    ticks = torch.eye(4)[torch.tensor([2, 3, 0])]
    assert [Sort(length=3).answer(logits) for logits in ticks] == ["2", "·", "0"]


@pytest.mark.parametrize(
    ("labels", "conclusion"),
    [
        ([3, 1, 1, 3, 0, 2, 2], "1 0 2: -1.20 0.30 2.00"),
        ([2, 3, 2], "2 2: 2.00 2.00"),
        ([3, 3], "nothing"),
    ],
)
def test_a_whole_thought_is_told_in_places_and_numbers(labels: list[int], conclusion: str) -> None:
    task = Sort(length=3)
    logits = torch.eye(4)[torch.tensor(labels)]
    thoughts, numbers = Thoughts.of(logits.unsqueeze(0)), torch.tensor([[0.3, -1.2, 2.0]])
    assert task.conclusion(thoughts, numbers, Readout.certain) == conclusion


def test_saying_the_targets_one_after_the_other_is_exactly_right() -> None:
    task = Sort(length=5, validation_size=20, test_size=1)
    examples, evaluation = task.validation(), task.evaluation()
    logits = 50 * torch.eye(6)[examples.targets]
    evaluation.add(Thoughts.of(logits), Batch(examples.inputs, examples.targets))
    assert evaluation.result()["accuracy_whole"] == {"ctc": 1}
