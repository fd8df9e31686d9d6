"""Synchronisation over a whole pass equals the sums kept tick by tick."""

import pytest
import torch
from torch import Tensor

from ctm.layers.fast.sync import RepeatedSync, _Fade
from ctm.layers.sync import Pairing, Synchronisation
from tests.build import generator, perturbed

NEURONS = 6
PAIRED = [pairing for pairing in Pairing if pairing is not Pairing.none]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def synchronisation(pairing: Pairing, sync: int = 3) -> Synchronisation:
    """Some of its decays lie outside of their range."""
    return perturbed(Synchronisation(neurons=NEURONS, sync=sync, pairing=pairing), seed=3)


def tick_by_tick(sync: Synchronisation, z: Tensor) -> Tensor:
    """S after each tick, of post-activations (ticks + 1, neurons, batch)."""
    sums, found = sync.start(z[0].t()), []
    for each in z[1:]:
        sums = sync.update(sums, each.t())
        found.append(sync(sums))
    return torch.stack(found, 1)


@pytest.mark.parametrize("pairing", PAIRED)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("ticks", [1, 2, 9])
def test_all_ticks_at_once_equal_one_after_the_other(
    pairing: Pairing, batch: int, ticks: int
) -> None:
    sync, z = synchronisation(pairing), random(ticks + 1, NEURONS, batch).requires_grad_()
    wanted, ours = tick_by_tick(sync, z), RepeatedSync(sync, ticks).all_ticks(z)
    torch.testing.assert_close(ours, wanted)
    direction = random(*wanted.shape, seed=5)
    leaves = [z, sync.decay]
    theirs = torch.autograd.grad(wanted, leaves, direction)
    for gradient, want in zip(torch.autograd.grad(ours, leaves, direction), theirs, strict=True):
        torch.testing.assert_close(gradient, want)


@pytest.mark.parametrize("pairing", PAIRED)
@pytest.mark.parametrize("ticks", [1, 2, 9])
def test_tick_by_tick_is_equal_with_neurons_as_rows(pairing: Pairing, ticks: int) -> None:
    sync, z = synchronisation(pairing), random(ticks + 1, NEURONS, 4).requires_grad_()
    fast = RepeatedSync(sync, ticks)
    alpha, found = fast.start(z[0]), []
    torch.testing.assert_close(fast.at(0, alpha), sync(sync.start(z[0].t())))
    for tick in range(ticks):
        alpha = fast.update(alpha, z[tick + 1])
        found.append(fast.at(tick + 1, alpha))
    ours, wanted = torch.stack(found, 1), tick_by_tick(sync, z)
    torch.testing.assert_close(ours, wanted)
    direction = random(*wanted.shape, seed=5)
    theirs = torch.autograd.grad(wanted, [z, sync.decay], direction)
    ours = torch.autograd.grad(ours, [z, sync.decay], direction)
    for gradient, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, want)


def test_the_gradient_of_fading_passes_gradcheck() -> None:
    products, keep = random(4, 5, 3).requires_grad_(), random(5, 1).sigmoid().requires_grad_()
    assert torch.autograd.gradcheck(_Fade.apply, (products, keep))


def test_no_pairs_are_no_synchronisation() -> None:
    sync = synchronisation(Pairing.random, sync=0)
    fast = RepeatedSync(sync, 2)
    assert fast.all_ticks(random(3, NEURONS, 4)).shape == (4, 2, 0)
    assert fast.at(1, fast.update(fast.start(random(NEURONS, 4)), random(NEURONS, 4))).shape == (
        4,
        0,
    )


def test_sums_of_half_precision_are_kept_in_float32() -> None:
    sync = synchronisation(Pairing.dense).bfloat16()
    fast = RepeatedSync(sync, 2)
    alpha = fast.start(random(NEURONS, 4).bfloat16())
    assert fast.update(alpha, random(NEURONS, 4).bfloat16()).dtype == torch.float32
    assert fast.all_ticks(random(3, NEURONS, 4).bfloat16()).dtype == torch.float32
