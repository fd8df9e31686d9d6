"""Training data: batch number k depends on the seed and on k, and on nothing else."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ctm.errors import UserError
from ctm.interface import Batch
from ctm.tasks.parity import EndlessParity
from ctm.tasks.task import Examples, FixedExamples
from ctm.training.stream import CONTENT, ORDER, Stream, generator_for
from tests.training.build import assert_same

derandomized = settings(derandomize=True, deadline=None, max_examples=30)


def numbered(size: int) -> FixedExamples:
    """Examples that are their own numbers."""
    return FixedExamples(torch.arange(size), torch.arange(size))


@dataclass(frozen=True)
class Endless:
    """Shows the indices it was asked for."""

    size: int | None = None

    def take(self, indices: Tensor, generator: torch.Generator) -> Batch:
        return Batch(indices, indices)


def taken(stream: Stream, batches: range) -> list[int]:
    return torch.cat([stream[k].targets for k in batches]).tolist()


def pairs(batches: list[Batch]) -> list[tuple[Tensor, Tensor]]:
    return [(inputs(batch), batch.targets) for batch in batches]


def inputs(batch: Batch) -> Tensor:
    assert isinstance(batch.inputs, Tensor)
    return batch.inputs


SETS: dict[str, Examples] = {"fixed": numbered(13), "endless": EndlessParity(12)}
each_set = pytest.mark.parametrize("name", SETS)


@each_set
def test_a_batch_is_a_function_of_seed_and_number(name: str) -> None:
    one = Stream(SETS[name], batch_size=4, seed=3)
    forwards = [one[k] for k in range(8)]
    again = Stream(SETS[name], batch_size=4, seed=3)
    backwards = [again[k] for k in reversed(range(8))]
    assert_same(pairs(backwards[::-1]), pairs(forwards))
    other = Stream(SETS[name], batch_size=4, seed=4)
    assert any(not torch.equal(inputs(other[k]), inputs(forwards[k])) for k in range(8))
    assert all(len(batch) == 4 for batch in forwards)


@each_set
@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_same_batches_from_anywhere(name: str, start: int, workers: int) -> None:
    stream = Stream(SETS[name], batch_size=4, seed=3)
    loaded = list(stream.batches(start, 9, workers=workers, pin=False))
    assert_same(pairs(loaded), pairs([stream[k] for k in range(start, 9)]))


def test_a_loader_past_its_end_is_empty() -> None:
    stream = Stream(numbered(5), batch_size=2, seed=0)
    assert list(stream.batches(7, 7, workers=0, pin=False)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mistake_in_the_data_stays_one_line(workers: int) -> None:
    class Damaged(EndlessParity):
        def take(self, indices: Tensor, generator: torch.Generator) -> Batch:
            raise UserError("train/0001.png: not a picture")

    batches = Stream(Damaged(9), batch_size=2, seed=0).batches(0, 3, workers=workers, pin=False)
    with pytest.raises(UserError, match=r"\Atrain/0001\.png: not a picture\Z"):
        next(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_leaves_the_global_generator_alone(workers: int) -> None:
    before = torch.get_rng_state()
    list(Stream(EndlessParity(9), batch_size=2, seed=0).batches(0, 3, workers=workers, pin=False))
    list(Stream(numbered(9), batch_size=2, seed=0).batches(0, 3, workers=workers, pin=False))
    assert torch.equal(torch.get_rng_state(), before)


@derandomized
@given(size=st.integers(1, 20), batch_size=st.integers(1, 25), seed=st.integers(0, 2**40))
def test_each_epoch_holds_every_example_once(size: int, batch_size: int, seed: int) -> None:
    stream = Stream(numbered(size), batch_size=batch_size, seed=seed)
    row = taken(stream, range(-(-3 * size // batch_size)))
    for epoch in range(3):
        assert sorted(row[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_each_epoch_has_an_order_of_its_own() -> None:
    row = taken(Stream(numbered(50), batch_size=50, seed=0), range(4))
    orders = {tuple(row[start : start + 50]) for start in range(0, 200, 50)}
    assert len(orders) == 4
    assert tuple(range(50)) not in orders


@derandomized
@given(
    size=st.one_of(st.none(), st.integers(1, 40)),
    ranks=st.integers(1, 4),
    batch_size=st.integers(1, 6),
    k=st.integers(0, 30),
)
def test_ranks_together_make_one_larger_batch(
    size: int | None, ranks: int, batch_size: int, k: int
) -> None:
    examples = Endless() if size is None else numbered(size)
    parts = [
        Stream(examples, batch_size=batch_size, seed=1, rank=rank, ranks=ranks)[k].targets
        for rank in range(ranks)
    ]
    whole = Stream(examples, batch_size=batch_size * ranks, seed=1)[k].targets
    assert torch.equal(torch.cat(parts), whole)


def test_ranks_never_meet_within_an_epoch() -> None:
    ranks = [Stream(numbered(40), batch_size=5, seed=2, rank=r, ranks=2) for r in range(2)]
    first, second = (set(taken(stream, range(4))) for stream in ranks)
    assert first.isdisjoint(second)
    assert first | second == set(range(40))


def test_ranks_make_up_different_examples() -> None:
    examples = EndlessParity(30)
    ranks = [Stream(examples, batch_size=5, seed=2, rank=r, ranks=2) for r in range(2)]
    assert not torch.equal(inputs(ranks[0][0]), inputs(ranks[1][0]))


def test_every_key_has_a_generator_of_its_own() -> None:
    keys = [(seed, purpose, 0, k) for seed in (0, 1, 2**40) for purpose in (ORDER, CONTENT)
            for k in range(20)]  # fmt: skip
    first = {generator_for(*key).initial_seed() for key in keys}
    assert len(first) == len(keys)
    # an epoch's order and a batch's content: shorter keys count as if they ended in zeros
    assert generator_for(0, ORDER, 1).initial_seed() != generator_for(0, CONTENT, 1).initial_seed()


@each_set
def test_so_many_examples_alone_come_again_and_again(name: str) -> None:
    stream = Stream(SETS[name], batch_size=4, seed=0, only=8)
    batches = [stream[k] for k in range(6)]
    distinct = {str(row.tolist()) for batch in batches for row in inputs(batch)}
    assert len(distinct) == 8
    again = [str(row.tolist()) for batch in batches[2:4] for row in inputs(batch)]
    assert len(set(again)) == 8  # an epoch later all of them once more


def test_the_first_examples_are_those_that_are_kept() -> None:
    stream = Stream(numbered(13), batch_size=5, seed=0, only=5)
    assert sorted(taken(stream, range(2))) == sorted(2 * list(range(5)))


def test_more_examples_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match=r"trainer.examples=14: there are 13 to train on"):
        Stream(numbered(13), batch_size=5, seed=0, only=14)


def test_made_up_examples_come_in_whole_batches() -> None:
    with pytest.raises(UserError, match=r"trainer.examples=10: want a multiple of 4, whole"):
        Stream(EndlessParity(12), batch_size=4, seed=0, only=10)
