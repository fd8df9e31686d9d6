"""Synchronisation: the recurrence against the sum that it stands for, and the choice of pairs."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ctm.errors import ConfigError
from ctm.layers.sync import Pairing, Pairs, Synchronisation, draw_pairs, pair_count
from tests import textbook
from tests.build import generator, started

NEURONS = 7
PAIRED = [pairing for pairing in Pairing if pairing is not Pairing.none]


def past(ticks: int, seed: int = 0) -> list[Tensor]:
    random = generator(seed)
    return [torch.randn(3, NEURONS, generator=random, dtype=torch.float64) for _ in range(ticks)]


def synchronisation(pairing: Pairing = Pairing.semi_dense, seed: int = 0) -> Synchronisation:
    return started(Synchronisation(neurons=NEURONS, sync=4, pairing=pairing), seed).double()


def by_recurrence(sync: Synchronisation, seen: list[Tensor]) -> Tensor:
    sums = sync.start(seen[0])
    for z in seen[1:]:
        sums = sync.update(sums, z)
    return sync(sums)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(
    pairing=st.sampled_from(PAIRED),
    ticks=st.integers(2, 9),
    seed=st.integers(0, 100),
    decay=st.floats(0, 15),
)
def test_the_recurrence_is_the_decayed_sum_over_the_past(
    pairing: Pairing, ticks: int, seed: int, decay: float
) -> None:
    sync, seen = synchronisation(pairing, seed), past(ticks, seed)
    with torch.no_grad():
        sync.decay.copy_(torch.rand(sync.pairs, generator=generator(seed)) * decay)
    weights = {"s.left": sync.left, "s.right": sync.right, "s.decay": sync.decay}
    ours, expected = by_recurrence(sync, seen), textbook.synchronisation(weights, "s", seen)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    (ours_gradient,) = torch.autograd.grad(ours.square().sum(), sync.decay)
    (gradient,) = torch.autograd.grad(expected.square().sum(), sync.decay)
    torch.testing.assert_close(ours_gradient, gradient, rtol=1e-9, atol=1e-9)


def test_of_a_single_moment_it_is_the_product() -> None:
    sync, (z,) = synchronisation(), past(1)
    assert by_recurrence(sync, [z]).equal(z[:, sync.left] * z[:, sync.right])


def test_without_decay_all_of_the_past_counts_alike() -> None:
    sync, seen = synchronisation(Pairing.dense), past(5)
    total = torch.stack([z[:, sync.left] * z[:, sync.right] for z in seen]).sum(0)
    torch.testing.assert_close(by_recurrence(sync, seen), total / 5**0.5)
    torch.testing.assert_close(by_recurrence(sync, seen), by_recurrence(sync, seen[::-1]))


def test_under_the_strongest_decay_only_the_present_counts() -> None:
    sync, seen = synchronisation(Pairing.dense), past(5)
    with torch.no_grad():
        sync.decay.fill_(15)
    now = seen[-1][:, sync.left] * seen[-1][:, sync.right]
    torch.testing.assert_close(by_recurrence(sync, seen), now, rtol=1e-4, atol=1e-4)


def test_an_update_leaves_the_sums_it_was_given() -> None:
    sync, seen = synchronisation(), past(2)
    sums = sync.start(seen[0])
    before = [value.clone() for value in sums]
    sync.update(sums, seen[1])
    assert all(value.equal(kept) for value, kept in zip(sums, before, strict=True))


def test_sums_of_many_half_precision_terms_stay_exact() -> None:
    sync = synchronisation(Pairing.dense).bfloat16()
    seen = [torch.ones(1, NEURONS, dtype=torch.bfloat16)] * 1000
    expected = torch.full((1, sync.pairs), 1000**0.5)
    torch.testing.assert_close(by_recurrence(sync, seen), expected)


def test_products_of_half_precision_are_not_rounded() -> None:
    sync, z = synchronisation(Pairing.dense).bfloat16(), past(1)[0].bfloat16()
    exact = z.float()[:, sync.left] * z.float()[:, sync.right]
    assert not exact.equal(exact.bfloat16().float())
    assert sync.start(z).alpha.equal(exact)


# -- pairs -----------------------------------------------------------------------------------------


def test_the_upper_triangle_goes_row_by_row() -> None:
    pairs = Pairs.triangle(torch.tensor([4, 5, 6]), torch.tensor([1, 2, 3]))
    listed = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert listed == [(4, 1), (4, 2), (4, 3), (5, 2), (5, 3), (6, 3)]


@pytest.mark.parametrize("pairing", PAIRED)
@pytest.mark.parametrize("sync", [1, 2, 6])
def test_pairs_are_as_many_as_counted(pairing: Pairing, sync: int) -> None:
    drawn = draw_pairs(pairing, NEURONS, sync, generator=generator(0))
    expected = sync if pairing is Pairing.random else sum(range(sync + 1))
    assert len(drawn.left) == len(drawn.right) == pair_count(pairing, sync) == expected
    for side in drawn:
        assert side.dtype == torch.int64
        assert 0 <= side.min() <= side.max() < NEURONS


def test_dense_pairs_need_no_luck() -> None:
    one = draw_pairs(Pairing.dense, NEURONS, 3, generator=generator(0))
    other = draw_pairs(Pairing.dense, NEURONS, 3, generator=generator(1))
    assert one.left.equal(other.left)
    assert one.left.unique().tolist() == [0, 1, 2]
    last = draw_pairs(Pairing.dense, NEURONS, 3, from_end=True)
    assert last.left.unique().tolist() == [4, 5, 6]


def test_pairs_are_saved_with_the_weights() -> None:
    one, other = synchronisation(seed=0), synchronisation(seed=1)
    assert not one.left.equal(other.left)
    other.load_state_dict(one.state_dict())
    assert one.left.equal(other.left)
    assert one.right.equal(other.right)


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"pairing": Pairing.dense, "sync": 8}, "sync=8.*neurons=7"),
        ({"pairing": Pairing.random, "sync": 3, "self_pairs": 4}, "self_pairs=4.*at most.*3"),
        ({"pairing": Pairing.dense, "sync": 3, "self_pairs": 1}, "self_pairs=1.*at most.*0"),
    ],
)
def test_more_than_there_is_to_choose_from_is_refused(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Synchronisation(neurons=NEURONS, **settings_)
