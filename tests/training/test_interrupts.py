"""Signals: the first is noted, the second does what it did before."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from ctm.training.interrupts import Interrupts
from ctm.training.stream import ignore_signals

each_signal = pytest.mark.parametrize("number", Interrupts.SIGNALS)


class Outer:
    """The handler that was there before."""

    def __init__(self) -> None:
        self.caught: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.caught.append(number)


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert interrupts.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def outer() -> Iterator[Outer]:
    handler = Outer()
    before = {number: signal.signal(number, handler) for number in Interrupts.SIGNALS}
    yield handler
    for number, old in before.items():
        signal.signal(number, old)


def test_without_a_signal_nothing_is_noted(outer: Outer) -> None:
    with Interrupts() as interrupts:
        assert interrupts.received is None
    assert outer.caught == []


@each_signal
def test_the_first_signal_is_noted_and_nothing_is_torn(
    outer: Outer, number: signal.Signals
) -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(number)
        assert interrupts.received is number
    assert outer.caught == []


@each_signal
def test_the_second_signal_does_what_it_did_before(outer: Outer, number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.received is number
        assert outer.caught == [signal.SIGTERM]


@each_signal
def test_handlers_are_as_before_afterwards(outer: Outer, number: signal.Signals) -> None:
    with Interrupts():
        pass
    signal.raise_signal(number)
    assert outer.caught == [number]


def test_handlers_are_as_before_after_an_error(outer: Outer) -> None:
    with pytest.raises(MemoryError), Interrupts():
        raise MemoryError
    assert all(signal.getsignal(number) is outer for number in Interrupts.SIGNALS)


def test_data_workers_leave_all_of_these_signals_to_the_training_process(outer: Outer) -> None:
    ignore_signals(0)
    assert all(signal.getsignal(number) is signal.SIG_IGN for number in Interrupts.SIGNALS)
