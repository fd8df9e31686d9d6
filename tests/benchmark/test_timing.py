"""Contenders take turns; exponents of known curves; memory of a process of its own."""

import pytest

from ctm.benchmark.curves import Curve, exponent, measure_curves, values_around
from ctm.benchmark.memory import measure_memory
from ctm.benchmark.profile import measure_profile
from ctm.benchmark.rows import MEDIUM, TINY
from ctm.benchmark.timing import WARM_UP, alternate
from ctm.errors import UserError


def test_works_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    works = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = alternate(works, repeats=2)
    assert calls == ["a", "b", "c"] * (WARM_UP + 2)
    assert {name: len(rounds) for name, rounds in times.items()} == {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    values = [1, 2, 4, 8]
    assert exponent(values, [3e-3 * value**power for value in values]) == pytest.approx(power)


def test_the_last_doubling_shows_what_a_constant_hides() -> None:
    curve = Curve("ticks", [1, 2, 4, 8, 16, 32])
    for value in curve.values:
        curve.note({("training", "fast"): [10.0 + value] * 3})
    assert 0 < curve.slope("training", "fast") < curve.last_slope("training", "fast") < 1


def test_one_value_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="two values"):
        exponent([1], [1])


def test_values_are_halved_and_doubled() -> None:
    assert values_around(20) == [10, 20, 40, 80, 160]


def test_every_size_has_a_curve_of_both_contenders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctm.benchmark.curves.DOUBLINGS", 1)
    said: list[str] = []
    curves = measure_curves(TINY, 1, "cpu", said.append)
    assert [curve.size for curve in curves] == [
        "ticks", "neurons", "memory_length", "batch", "tokens", "neuron-level models alone",
    ]  # fmt: skip
    assert len(said) == sum(len(curve.values) for curve in curves)
    for curve in curves:
        assert {"textbook", "fast"} <= set(curve.training) == set(curve.inference)
        for points in [*curve.training.values(), *curve.inference.values()]:
            assert len(points) == len(curve.values)
            assert all(rounds[0] > 0 for rounds in points)


def test_memory_of_a_step_counts_its_activations() -> None:
    row = MEDIUM.resized(batch=64, ticks=40)
    memory = measure_memory(row, "textbook", "cpu")
    histories = row.batch * row.config.neurons * row.config.memory_length * 4
    assert memory.step > row.config.ticks * histories / 2
    assert memory.peak > memory.before


def test_a_process_that_fails_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(UserError, match="memory of tiny, fast: its process ended with status 1"):
        measure_memory(TINY, "fast", "cpu")


def test_a_profile_names_operators_by_their_time() -> None:
    profile = measure_profile(TINY, "cpu")
    times = [operator.milliseconds for operator in profile.operators]
    assert times == sorted(times, reverse=True)
    assert sum(operator.share for operator in profile.operators) <= 1 + 1e-6
    assert 0 < sum(times) <= profile.busy * (1 + 1e-6)
