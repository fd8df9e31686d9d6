"""Losses against the textbook's loops, and which ticks they teach."""

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ctm.errors import ConfigError
from ctm.interface import Thoughts
from ctm.losses import MazeLoss, SortLoss, TwoTickLoss, cross_entropy
from tests import textbook
from tests.build import generator

derandomized = settings(derandomize=True, deadline=None, max_examples=40)


def problem(shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (batch, ticks, *positions, classes), ready for gradients, and targets."""
    random = generator(seed)
    logits = 2 * torch.randn(shape, generator=random, dtype=torch.float64)
    targets = torch.randint(shape[-1], (shape[0], *shape[2:-1]), generator=random)
    return logits.requires_grad_(), targets


def assert_equal_with_gradient(ours: Tensor, theirs: Tensor, logits: Tensor) -> None:
    """To the float32 that losses are computed in."""
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-6)
    (our_gradient,) = torch.autograd.grad(ours, logits)
    (their_gradient,) = torch.autograd.grad(theirs, logits)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-5, atol=1e-6)


@derandomized
@given(
    batch=st.integers(1, 4),
    ticks=st.integers(1, 6),
    positions=st.lists(st.integers(1, 4), max_size=2),
    classes=st.integers(2, 5),
    readout=st.sampled_from(["certain", "last"]),
    last=st.none() | st.integers(1, 8),
    seed=st.integers(0, 1000),
)
def test_the_two_tick_loss_equals_the_textbook(
    batch: int,
    ticks: int,
    positions: list[int],
    classes: int,
    readout: str,
    last: int | None,
    seed: int,
) -> None:
    logits, targets = problem((batch, ticks, *positions, classes), seed)
    ours = TwoTickLoss(readout=readout, last=last)(Thoughts.of(logits), targets)
    theirs = textbook.two_tick_loss(logits, targets, readout, last)
    assert_equal_with_gradient(ours, theirs, logits)


def beginnings(logits: Tensor, known: list[int]) -> Tensor:
    """Targets that tick 1 has right up to the `known` step of each example, and wrong there."""
    steps, classes = logits.shape[2:]
    answers = logits[:, 1].argmax(-1)
    targets = answers.clone()
    for example, count in enumerate(known):
        wrong = torch.arange(steps) >= count
        targets[example, wrong] = (answers[example, wrong] + 1) % classes
    return targets


@derandomized
@given(
    known=st.lists(st.integers(0, 8), min_size=1, max_size=4),
    ticks=st.integers(2, 5),
    lookahead=st.integers(1, 10),
    readout=st.sampled_from(["certain", "last"]),
    seed=st.integers(0, 1000),
)
def test_the_maze_loss_equals_the_textbook(
    known: list[int], ticks: int, lookahead: int, readout: str, seed: int
) -> None:
    logits, _ = problem((len(known), ticks, 8, 5), seed)
    targets = beginnings(logits, known)
    loss, thoughts = MazeLoss(lookahead, readout), Thoughts.of(logits)
    upto = [
        textbook.maze_upto(example, target, lookahead)
        for example, target in zip(logits, targets, strict=True)
    ]
    assert loss.upto(thoughts, targets).tolist() == upto
    theirs = textbook.maze_loss(logits, targets, lookahead, readout)
    assert_equal_with_gradient(loss(thoughts, targets), theirs, logits)


@pytest.mark.parametrize(
    ("known", "lookahead", "upto"),
    [(0, 5, 5), (1, 5, 5), (2, 5, 6), (4, 2, 5), (9, 5, 12), (12, 5, 12), (0, 20, 12)],
)
def test_a_route_is_taught_a_little_further_than_it_is_known(
    known: int, lookahead: int, upto: int
) -> None:
    logits = torch.zeros(1, 2, 12, 5)
    logits[..., 1] = 1  # both ticks answer 1 everywhere
    targets = torch.full((1, 12), 2)
    targets[:, :known] = 1
    assert MazeLoss(lookahead).upto(Thoughts.of(logits), targets).tolist() == [upto]


def test_what_any_tick_knows_is_known() -> None:
    logits = torch.zeros(1, 3, 6, 5)
    targets = torch.ones(1, 6, dtype=torch.long)
    logits[0, 0, :2, 1] = 1
    logits[0, 1, :4, 1] = 1
    logits[0, 2, 1:, 1] = 1  # later steps without the first are no beginning
    assert MazeLoss(1).upto(Thoughts.of(logits), targets).tolist() == [4]


def test_steps_beyond_the_curriculum_have_no_gradient() -> None:
    logits, targets = problem((3, 4, 10, 5))
    loss, thoughts = MazeLoss(lookahead=2), Thoughts.of(logits)
    (gradient,) = torch.autograd.grad(loss(thoughts, targets), logits)
    for example, upto in enumerate(loss.upto(thoughts, targets).tolist()):
        assert upto < 10
        assert gradient[example, :, :upto].any()
        assert not gradient[example, :, upto:].any()


@pytest.mark.parametrize("loss", [TwoTickLoss(), TwoTickLoss("last"), MazeLoss(3)])
def test_two_ticks_of_an_example_are_taught(loss: TwoTickLoss) -> None:
    logits, targets = problem((6, 7, 4, 5), seed=3)
    thoughts = Thoughts.of(logits)
    per_tick = loss.per_tick(thoughts, targets)
    (gradient,) = torch.autograd.grad(loss(thoughts, targets), logits)
    least = per_tick.argmin(1).tolist()
    chosen = thoughts.chosen(loss.readout).tolist()
    assert least != chosen
    taught = [{tick for tick in range(7) if gradient[example, tick].any()} for example in range(6)]
    assert taught == [set(two) for two in zip(least, chosen, strict=True)]


@pytest.mark.parametrize("last", [1, 2, 9])
def test_ticks_in_which_inputs_still_come_never_take_part(last: int) -> None:
    logits, targets = problem((6, 7, 5), seed=3)
    loss = TwoTickLoss(last=last)(Thoughts.of(logits, answering=2), targets)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[:, :5].any()
    assert gradient[:, 5:].any()


def test_only_the_last_ticks_take_part_where_so_told() -> None:
    logits, targets = problem((6, 7, 5), seed=3)
    loss = TwoTickLoss(last=3)(Thoughts.of(logits), targets)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[:, :4].any()
    assert gradient[:, 4:].flatten(1).any(1).all()
    of_three = TwoTickLoss()(Thoughts.of(logits[:, 4:]), targets)
    torch.testing.assert_close(loss, of_three)


def test_losses_are_the_same_whatever_the_order_of_examples() -> None:
    logits, targets = problem((6, 7, 4, 5))
    for loss in (TwoTickLoss(), MazeLoss(2)):
        forth = loss(Thoughts.of(logits), targets)
        back = loss(Thoughts.of(logits.flip(0)), targets.flip(0))
        torch.testing.assert_close(forth, back)


def test_cross_entropy_of_half_precision_is_float32() -> None:
    logits, targets = problem((2, 3, 4, 5))
    losses = cross_entropy(logits.bfloat16(), targets)
    assert losses.shape == (2, 3, 4)
    assert losses.dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "settings_", "said"),
    [
        (TwoTickLoss, {"readout": "mean"}, "readout=mean: want certain or last"),
        (TwoTickLoss, {"readout": "first"}, "readout=first: want certain or last"),
        (TwoTickLoss, {"last": 0}, "last=0: want 1 or more"),
        (MazeLoss, {"lookahead": 0}, "lookahead=0: want 1 or more"),
        (MazeLoss, {"readout": "weighted"}, "readout=weighted: want certain or last"),
    ],
)
def test_a_setting_out_of_range_is_refused(
    make: type[TwoTickLoss], settings_: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        make(**settings_)


# -- sequences of labels ---------------------------------------------------------------------------


def spoken(labels: tuple[int, ...], blank: int) -> list[int]:
    """What is left of a label a tick when repeats and then blanks are dropped."""
    kept = [label for tick, label in enumerate(labels) if tick == 0 or label != labels[tick - 1]]
    return [label for label in kept if label != blank]


def probability_of_saying(logits: Tensor, target: list[int]) -> Tensor:
    """The sum over every way to label the ticks that says the target."""
    ticks, classes = logits.shape
    probabilities = logits.softmax(-1)
    total = logits.new_zeros(())
    for labels in product(range(classes), repeat=ticks):
        if spoken(labels, blank=classes - 1) == target:
            total = total + probabilities[torch.arange(ticks), list(labels)].prod()
    return total


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 3),
    spare=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
def test_the_sort_loss_sums_over_all_ways_to_say_the_target(
    batch: int, length: int, spare: int, seed: int
) -> None:
    logits, _ = problem((batch, length + spare, length + 1), seed)
    targets = torch.rand(batch, length, generator=generator(seed)).argsort(1)
    pairs = zip(logits, targets.tolist(), strict=True)
    theirs = [-probability_of_saying(ticks, target).log() / length for ticks, target in pairs]
    loss, thoughts = SortLoss(), Thoughts.of(logits)
    each = loss.per_example(thoughts, targets)
    torch.testing.assert_close(each.double(), torch.stack(theirs), rtol=1e-5, atol=1e-6)
    assert_equal_with_gradient(loss(thoughts, targets), torch.stack(theirs).mean(), logits)


def test_saying_the_same_label_twice_takes_a_blank_between() -> None:
    logits, _ = problem((1, 4, 3), seed=5)
    targets = torch.tensor([[1, 1]])
    expected = -probability_of_saying(logits[0], [1, 1]).log() / 2
    assert_equal_with_gradient(SortLoss()(Thoughts.of(logits), targets), expected, logits)


def test_sure_and_right_labels_have_no_sort_loss() -> None:
    labels = torch.tensor([[3, 0, 0, 3, 2, 1]])
    logits = 100 * torch.eye(4)[labels]
    torch.testing.assert_close(
        SortLoss()(Thoughts.of(logits), torch.tensor([[0, 2, 1]])), torch.tensor(0.0)
    )


def test_the_sort_loss_of_half_precision_is_float32() -> None:
    logits, _ = problem((2, 5, 4))
    targets = torch.tensor([[0, 1, 2], [2, 0, 1]])
    loss = SortLoss()(Thoughts.of(logits.bfloat16()), targets)
    assert loss.dtype == torch.float32


def test_fewer_ticks_than_labels_are_refused() -> None:
    logits, _ = problem((2, 3, 5))
    targets = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
    with pytest.raises(ConfigError, match=r"model\.ticks=3: want 4 or more to say 4 labels"):
        SortLoss()(Thoughts.of(logits), targets)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5)])
def test_the_sort_loss_is_refused_where_answers_are_no_sequence(shape: tuple[int, ...]) -> None:
    logits, targets = problem(shape)
    with pytest.raises(ConfigError, match="loss=sort: it is for sequences of labels"):
        SortLoss()(Thoughts.of(logits), targets)
