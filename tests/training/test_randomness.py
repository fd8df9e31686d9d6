"""Random states: taken as plain data, put back to the same draws."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from ctm.training.randomness import random_states, restore_random_states, seed_everything
from tests.training.build import assert_same, leaves


def draws() -> list[object]:
    return [
        [random.random(), random.gauss(0, 1), random.randrange(10**9)],
        np.random.rand(5).tolist(),  # noqa: NPY002 - what other libraries draw from
        np.random.randn(3).tolist(),  # noqa: NPY002
        torch.rand(5),
        torch.randn(3),
        torch.nn.functional.dropout(torch.ones(20)),
    ]


def test_restored_states_give_the_same_draws() -> None:
    seed_everything(3)
    draws()  # an odd number of normal draws: one is kept back for next time
    states = random_states()
    expected = draws()
    draws()
    restore_random_states(states)
    assert_same(draws(), expected)


def test_states_are_plain_data(tmp_path: Path) -> None:
    seed_everything(3)
    draws()
    states = random_states()
    expected = draws()
    torch.save(states, tmp_path / "states.pt")
    loaded = torch.load(tmp_path / "states.pt", weights_only=True)
    plain = (int, float, str, torch.Tensor, type(None))
    assert all(isinstance(value, plain) for _, value in leaves(loaded))
    restore_random_states(loaded)
    assert_same(draws(), expected)


def test_taking_states_draws_nothing() -> None:
    first = random_states()
    assert_same(random_states(), first)


def test_states_do_not_follow_later_draws() -> None:
    states = random_states()
    copied = [value.clone() if isinstance(value, torch.Tensor) else value
              for _, value in leaves(states)]  # fmt: skip
    draws()
    assert_same([value for _, value in leaves(states)], copied)


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**40 + 1])
def test_a_seed_fixes_all_draws(seed: int) -> None:
    seed_everything(seed)
    expected = draws()
    seed_everything(seed)
    assert_same(draws(), expected)


def test_seeds_differ() -> None:
    seed_everything(0)
    first = draws()
    seed_everything(1)
    assert all(str(ours) != str(theirs) for ours, theirs in zip(draws(), first, strict=True))


def test_states_of_a_machine_with_other_gpus_are_accepted() -> None:
    states = random_states()
    expected = draws()
    restore_random_states({**states, "cuda": [torch.zeros(16, dtype=torch.uint8)] * 9})
    assert_same(draws(), expected)
