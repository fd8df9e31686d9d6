"""State tracking: right products, words kept back, and what people type and see."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctm.errors import ConfigError, UserError
from ctm.interface import InputKind, Thoughts
from ctm.tasks.parity import targets_of as parities
from ctm.tasks.parts import Part, part_of
from ctm.tasks.state_tracking import StateTracking, draw_words, products, targets_of
from tests.build import generator

each_group = pytest.mark.parametrize("items", [2, 3, 4, 5])


def done_by_hand(word: list[int], items: int) -> int:
    """Carries things from place to place, one permutation after the other."""
    everything = list(permutations(range(items)))
    place_of = list(range(items))
    for symbol in word:
        place_of = [everything[symbol][place] for place in place_of]
    return everything.index(tuple(place_of))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(2, 5), st.lists(st.integers(0, 10**6), min_size=1, max_size=12))
def test_targets_are_the_permutations_done_one_after_the_other(
    items: int, numbers: list[int]
) -> None:
    word = [number % math.factorial(items) for number in numbers]
    assert targets_of(torch.tensor([word]), items).tolist() == [done_by_hand(word, items)]


@each_group
def test_products_make_a_group(items: int) -> None:
    table = products(items)
    symbols = torch.arange(math.factorial(items))
    assert torch.equal(table[0], symbols)  # the first does nothing
    assert torch.equal(table[:, 0], symbols)
    assert torch.equal(table.sort(dim=0).values, symbols.unsqueeze(1).expand_as(table))
    a, b, c = torch.randint(len(symbols), (3, 50), generator=generator(0))
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])
    assert torch.equal(table, table.T) == (items == 2)  # order matters from three on


def test_two_items_are_parity_one_bit_at_a_time() -> None:
    words = draw_words(200, 9, 2, Part.training, generator(1))
    assert torch.equal(targets_of(words, 2), parities(1 - 2 * words.float())[:, -1])


@each_group
def test_words_have_the_shapes_of_the_spec(items: int) -> None:
    task = StateTracking(items=items, length=4, symbol_ticks=3, validation_each=5, test_each=6)
    symbols = math.factorial(items)
    assert task.spec.input_kind is InputKind.symbols
    assert (task.spec.symbols, task.spec.output_shape) == (symbols, (symbols,))
    assert len(set(task.labels)) == symbols
    lengths = set()
    for k in range(40):
        batch = task.training().take(torch.arange(7), generator(k))
        lengths.add(batch.inputs.shape[1])
        assert torch.equal(batch.targets, targets_of(batch.inputs, items))
    assert lengths == {1, 2, 3, 4}
    for examples, each in ((task.validation(), 5), (task.test(), 6)):
        batches = list(examples.batches(4))
        assert sum(map(len, batches)) == examples.size == 4 * each
        assert {batch.inputs.shape[1] for batch in batches} == lengths


def test_no_word_that_tests_is_trained_on() -> None:
    task = StateTracking(items=3, length=6, validation_each=50, test_each=50)
    for examples, part in ((task.validation(), Part.validation), (task.test(), Part.test)):
        for batch in examples.batches(64):
            many = 6 ** batch.inputs.shape[1] >= 256
            assert bool((part_of(batch.inputs) == part.value).all()) == many
    for k in range(30):
        words = task.training().take(torch.arange(64), generator(k)).inputs
        if words.shape[1] >= 4:
            assert bool((part_of(words) == Part.training.value).all())


def test_fixed_words_can_be_taken_and_do_not_depend_on_other_lengths() -> None:
    short, long = StateTracking(length=3, test_each=8), StateTracking(length=5, test_each=8)
    by_length = {
        batch.inputs.shape[1]: batch.inputs for task in (short,) for batch in task.test().batches(8)
    }
    for batch in long.test().batches(8):
        length = batch.inputs.shape[1]
        assert length > 3 or torch.equal(batch.inputs, by_length[length])
    first = next(long.test().batches(8))
    taken = long.test().take(torch.tensor([2, 5]), generator(0))
    assert torch.equal(taken.inputs, first.inputs[[2, 5]])
    with pytest.raises(ValueError, match="want words of one length"):
        long.test().take(torch.tensor([2, 12]), generator(0))


def test_longer_words_than_trained_are_reported_and_count_nowhere_else() -> None:
    task = StateTracking(length=2, test_length=4, test_each=10)
    evaluation = task.evaluation()
    for batch in task.test().batches(10):
        right = batch.inputs.shape[1] <= 2  # wrong on all that are longer
        answers = batch.targets if right else (batch.targets + 1) % 6
        logits = torch.nn.functional.one_hot(answers, 6).float().mul(9).unsqueeze(1)
        evaluation.add(Thoughts.of(logits), batch)
    result = evaluation.result()
    assert (result["examples"], result["accuracy"]["certain"]) == (20, 1.0)
    assert result["by_length"]["lengths"] == [1, 2, 3, 4]
    assert result["by_length"]["accuracy"]["last"] == [1.0, 1.0, 0.0, 0.0]


def test_the_harder_task_has_words_four_times_as_long() -> None:
    task = StateTracking(length=3)
    assert task.harder().test_length == 12
    assert task.harder().spec == task.spec


def test_a_word_is_typed_and_seen_symbol_by_symbol() -> None:
    task = StateTracking(items=3, symbol_ticks=2)
    word = task.parse("213 132  321")
    assert word.tolist() == [[2, 1, 5]]
    assert task.picture(word[0]).shape == (3, 9)
    moments = task.moments(word[0], ticks=8)
    assert [text for _, text in moments] == ["213", "213", "132", "132", "321", "321", "= ?", "= ?"]
    assert np.array_equal(moments[0][0], [[0, 1, 0], [1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "nothing; want permutations of 123"),
        ("213 214", "'214' is none; want permutations of 123 with spaces between them"),
    ],
)
def test_what_is_no_word_is_refused(text: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        StateTracking(items=3).parse(text)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"items": 7}, "task.items=7: want 2 to 6"),
        ({"length": 0}, "task.length=0: want 1 or more"),
        ({"test_length": 2}, "task.test_length=2: want task.length=8 or more, or null"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, int], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        StateTracking(**change)  # pyright: ignore
