"""Parity: right answers, and sequences that are never trained on."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ctm.errors import ConfigError, UserError
from ctm.interface import InputKind
from ctm.tasks.parity import EndlessParity, Parity, draw_signs, targets_of
from ctm.tasks.parts import Part, part_of
from tests.build import generator

LENGTHS = (1, 7, 8, 63, 64, 200)
each_length = pytest.mark.parametrize("length", LENGTHS)


def every_sequence(length: int) -> Tensor:
    return torch.tensor(list(product((-1.0, 1.0), repeat=length)))


def codes(signs: Tensor) -> Tensor:
    """A number for each sequence."""
    return ((signs < 0).long() << torch.arange(signs.shape[1])).sum(1)


def assert_unbiased(signs: Tensor) -> None:
    """Each sign and each answer is a fair coin."""
    spread = 0.5 / math.sqrt(len(signs))
    for bits in (signs < 0, targets_of(signs)):
        assert (bits.float().mean(0) - 0.5).abs().max() < 5 * spread


def drawn_in_training(length: int, batches: int, size: int) -> Tensor:
    examples = EndlessParity(length)
    taken = [examples.take(torch.arange(size), generator(k)) for k in range(batches)]
    return torch.cat([batch.inputs for batch in taken])


def is_held_out(signs: Tensor) -> Tensor:
    return part_of((signs < 0).long()) != Part.training.value


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_targets_count_the_minus_ones_so_far(turns: list[bool]) -> None:
    signs = torch.tensor([[-1.0 if turn else 1.0 for turn in turns]])
    expected, odd = [], 0
    for turn in turns:
        odd = 1 - odd if turn else odd
        expected.append(odd)
    assert targets_of(signs).tolist() == [expected]


@each_length
def test_all_splits_have_the_shapes_of_the_spec_and_right_targets(length: int) -> None:
    task = Parity(length=length, validation_size=40, test_size=50)
    assert task.spec.input_kind is InputKind.signs
    assert (task.spec.input_shape, task.spec.output_shape) == ((length,), (length, 2))
    batch = task.training().take(torch.arange(30), generator(0))
    held_back = task.validation(), task.test()
    for part, count in ((batch, 30), (held_back[0], 40), (held_back[1], 50)):
        assert part.inputs.shape == part.targets.shape == (count, length)
        assert set(part.inputs.unique().tolist()) <= {-1.0, 1.0}
        torch.testing.assert_close(part.targets, targets_of(part.inputs), rtol=0, atol=0)


@each_length
def test_all_of_validation_and_test_is_held_out_from_8_bits_on(length: int) -> None:
    task = Parity(length=length, validation_size=200, test_size=200)
    for examples, part in ((task.validation(), Part.validation), (task.test(), Part.test)):
        assert bool((part_of((examples.inputs < 0).long()) == part.value).all()) == (length >= 8)
    trained = drawn_in_training(length, batches=4, size=100)
    assert length < 8 or not is_held_out(trained).any()


def test_training_never_meets_validation_or_test_at_16_bits() -> None:
    task = Parity(length=16)
    trained = set(codes(drawn_in_training(16, batches=200, size=1000)).tolist())
    kept = torch.cat([task.validation().inputs, task.test().inputs])
    assert trained.isdisjoint(codes(kept).tolist())
    # nearly all others are met, so the two sets not meeting is no accident
    assert len(trained) > 0.9 * 2**16 * 15 / 16


def test_training_validation_and_test_part_all_sequences_of_8_bits() -> None:
    trained = set(codes(drawn_in_training(8, batches=20, size=500)).tolist())
    everything, tested = every_sequence(8), set[int]()
    for part in (Part.validation, Part.test):
        drawn = set(codes(draw_signs(2000, 8, generator(0), part)).tolist())
        assert drawn == set(
            codes(everything[part_of((everything < 0).long()) == part.value]).tolist()
        )
        assert drawn
        assert drawn.isdisjoint(tested)
        tested |= drawn
    assert trained == set(range(256)) - tested


def test_the_held_out_share_of_all_sequences_of_16_bits_is_a_sixteenth_and_unbiased() -> None:
    everything = every_sequence(16)
    kept = everything[is_held_out(everything)]
    assert len(kept) / len(everything) == pytest.approx(1 / 16, rel=0.05)
    assert_unbiased(kept)


@pytest.mark.parametrize("length", [20, 63, 64, 200])
def test_the_held_out_share_of_random_sequences_is_a_sixteenth_and_unbiased(length: int) -> None:
    signs = torch.randint(0, 2, (40_000, length), generator=generator(0)).float() * 2 - 1
    kept = signs[is_held_out(signs)]
    assert len(kept) / len(signs) == pytest.approx(1 / 16, rel=0.1)
    assert_unbiased(kept)


def test_whether_a_sequence_is_held_out_does_not_depend_on_its_batch() -> None:
    signs = torch.randint(0, 2, (300, 20), generator=generator(0)).float() * 2 - 1
    alone = torch.cat([is_held_out(row.unsqueeze(0)) for row in signs])
    torch.testing.assert_close(is_held_out(signs), alone)


def test_validation_and_test_are_fixed_and_differ() -> None:
    task = Parity(length=20, validation_size=64, test_size=64)
    torch.manual_seed(1)
    first = task.validation().inputs, task.test().inputs
    torch.manual_seed(2)
    again = task.validation().inputs, task.test().inputs
    assert all(map(torch.equal, first, again))
    assert not torch.equal(*first)


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    task = Parity(length=16, validation_size=10, test_size=10)
    for examples in (task.validation(), task.test(), task.training()):
        examples.take(torch.arange(5), generator(0))
    assert torch.equal(torch.get_rng_state(), before)


# -- what people type and see ----------------------------------------------------------------------


def test_a_string_of_bits_is_read_as_signs() -> None:
    parsed = Parity(length=6).parse("010110")
    assert parsed.tolist() == [[1.0, -1.0, 1.0, -1.0, -1.0, 1.0]]
    assert targets_of(parsed).tolist() == [[0, 1, 1, 0, 1, 1]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "0 characters"),
        ("010", "3 characters"),
        ("01011", "5 characters"),
        ("0" * 5000, "5000 characters"),
        ("01a0", "characters ['a']"),
        ("0 10", "characters [' ']"),
        ("+-+-", r"characters ['+', '-']"),
        ("01\n0", r"characters ['\n']"),
        ("01\u0662\u0661", "characters ['\u0661', '\u0662']"),
    ],
)
def test_a_wrong_string_is_refused_in_one_line(text: str, found: str) -> None:
    with pytest.raises(UserError, match=r"\Ainput=.*; want 4 characters 0 or 1\Z") as refused:
        Parity(length=4).parse(text)
    assert found in str(refused.value)
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize("name", ["length", "validation_size", "test_size"])
def test_a_size_below_1_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\Atask\.{name}=0: want 1 or more\Z"):
        replace(Parity(), **{name: 0})


@pytest.mark.parametrize(("length", "grid"), [(1, (1, 1)), (7, (1, 7)), (12, (3, 4)), (64, (8, 8))])
def test_a_picture_shows_the_sequence_in_rows(length: int, grid: tuple[int, int]) -> None:
    task = Parity(length=length)
    text = "01" * (length // 2) + "1" * (length % 2)
    picture = task.picture(task.parse(text)[0])
    assert task.token_grid((length,)) == picture.shape == grid
    assert "".join(str(int(bit)) for bit in picture.flatten()) == text


def test_an_answer_is_one_bit_a_place() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]])
    assert Parity(length=3).answer(logits) == "011"
