"""The learning rate, against its formula."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD

from ctm.errors import ConfigError
from ctm.training.schedule import WarmupCosine


def optimizer(*lrs: float) -> SGD:
    return SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs])


def rates(optimizer: SGD, schedule: WarmupCosine, steps: int) -> list[list[float]]:
    """The rates that each step is made with."""
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return found


def expected(step: int, lr: float, steps: int, warmup: int, final: float) -> float:
    if step < warmup:
        return lr * (step + 1) / warmup
    p = (step - warmup) / (steps - warmup)
    return final + (lr - final) * (1 + math.cos(math.pi * p)) / 2


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    steps=st.integers(1, 30),
    share=st.floats(0, 1),
    final=st.floats(0, 1e-3),
    lrs=st.lists(st.floats(1e-3, 1), min_size=1, max_size=3),
)
def test_rates_follow_the_formula(steps: int, share: float, final: float, lrs: list[float]) -> None:
    warmup = round(share * steps)
    trained = optimizer(*lrs)
    found = rates(trained, WarmupCosine(trained, steps=steps, warmup=warmup, final_lr=final), steps)
    for step, row in enumerate(found):
        assert row == pytest.approx([expected(step, lr, steps, warmup, final) for lr in lrs])


def test_the_full_rate_is_reached_and_the_final_one_kept() -> None:
    trained = optimizer(0.1)
    schedule = WarmupCosine(trained, steps=20, warmup=5, final_lr=1e-4)
    found = [row[0] for row in rates(trained, schedule, 30)]
    assert found[0] == pytest.approx(0.02)
    assert found[4] == found[5] == max(found) == pytest.approx(0.1)
    assert found[20:] == pytest.approx([1e-4] * 10)
    assert found[5:20] == sorted(found[5:20], reverse=True)


def test_a_run_without_warmup_starts_at_the_full_rate() -> None:
    trained = optimizer(0.1)
    assert rates(trained, WarmupCosine(trained, steps=10, warmup=0), 1) == [[0.1]]


def test_a_run_shorter_than_its_warmup_only_warms_up() -> None:
    trained = optimizer(0.1)
    found = [row[0] for row in rates(trained, WarmupCosine(trained, steps=4, warmup=8), 4)]
    assert found == pytest.approx([0.0125, 0.025, 0.0375, 0.05])


def test_a_restored_schedule_goes_on() -> None:
    whole = optimizer(0.1)
    wanted = rates(whole, WarmupCosine(whole, steps=12, warmup=4), 12)
    first = optimizer(0.1)
    schedule = WarmupCosine(first, steps=12, warmup=4)
    rates(first, schedule, 5)
    second = optimizer(0.1)
    after = WarmupCosine(second, steps=12, warmup=4)
    second.load_state_dict(first.state_dict())
    after.load_state_dict(schedule.state_dict())
    assert rates(second, after, 7) == wanted[5:]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"warmup": -1}, r"schedule\.warmup=-1: want a whole number of 0 or more steps"),
        ({"warmup": 2, "final_lr": -1e-3}, r"schedule\.final_lr=-0\.001: want 0 or more"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"\A{said}\Z"):
        WarmupCosine(optimizer(0.1), steps=10, **wrong)  # pyright: ignore[reportArgumentType]


def test_a_new_schedule_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = optimizer(0.1)
        rates(trained, WarmupCosine(trained, steps=3, warmup=1), 3)
