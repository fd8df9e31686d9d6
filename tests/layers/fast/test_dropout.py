"""Dropout by 16 random bits: the share that is kept, and what is made of it."""

import pytest
import torch

from ctm.layers.fast.dropout import LEVELS, Dropout

CPU = torch.device("cpu")
DRAWS = 200_000


def masks(p: float, draws: int = DRAWS, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    dropout = Dropout(p)
    drawn = dropout.draw(draws, CPU)
    assert drawn is not None
    return dropout.mask(drawn, torch.float64)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.999])
def test_the_share_that_is_kept_is_the_one_it_says(p: float) -> None:
    kept = Dropout(p).kept
    assert abs(kept - (1 - p)) <= 0.5 / LEVELS + 1e-12
    mask = masks(p)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    error = (kept * (1 - kept) / DRAWS) ** 0.5
    assert abs(mask.mean().item() - kept) < 4 * error


@pytest.mark.parametrize("p", [0.1, 0.5, 0.999])
def test_what_is_kept_makes_up_for_what_is_dropped(p: float) -> None:
    """In the mean, to the rounding of the sum and not of the probability."""
    kept = Dropout(p).kept
    error = ((1 - kept) / kept / DRAWS) ** 0.5
    assert abs((masks(p) / kept).mean().item() - 1) < 4 * error


def test_each_of_the_four_values_of_a_word_is_kept_as_often_and_apart() -> None:
    mask = masks(0.5).view(-1, 4)
    error = (0.25 / len(mask)) ** 0.5
    assert (mask.mean(0) - 0.5).abs().max() < 4 * error
    correlation = torch.corrcoef(mask.T) - torch.eye(4)
    assert correlation.abs().max() < 5 / len(mask) ** 0.5
    following = torch.corrcoef(torch.stack((mask[1:].flatten(), mask[:-1].flatten())))[0, 1]
    assert abs(following) < 5 / mask.numel() ** 0.5


@pytest.mark.parametrize("p", [0.0, 1e-9])
def test_where_nothing_is_dropped_nothing_is_drawn(p: float) -> None:
    before = torch.get_rng_state()
    assert Dropout(p).draw(10, CPU) is None
    assert Dropout(p).kept == 1
    assert torch.get_rng_state().equal(before)


def test_the_rarest_value_is_kept_now_and_then() -> None:
    dropout = Dropout(1 - 1e-9)
    assert dropout.kept == 1 / LEVELS
    assert 0 < masks(1 - 1e-9, 2_000_000).sum() < 100


def test_limits_of_the_bits_are_dropped_and_kept_as_counted() -> None:
    """Of all 2^16 values exactly those below the limit are kept."""
    every = torch.arange(-LEVELS // 2, LEVELS // 2).to(torch.int16)
    for p in (0.1, 0.5, 0.999, 1 / LEVELS):
        dropout = Dropout(p)
        assert dropout.mask(every, torch.float64).sum().item() == dropout.kept * LEVELS


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 1001])
def test_as_many_values_are_drawn_as_are_asked_for(size: int) -> None:
    drawn = Dropout(0.5).draw(size, CPU)
    assert drawn is not None
    assert drawn.shape == (size,)


def test_equal_seeds_draw_equal_masks_and_others_others() -> None:
    assert masks(0.3, seed=1).equal(masks(0.3, seed=1))
    assert not masks(0.3, seed=1).equal(masks(0.3, seed=2))
