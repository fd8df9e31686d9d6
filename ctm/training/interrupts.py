"""Being asked to stop: Ctrl-C, SIGTERM from a scheduler, SIGHUP of a terminal that closes."""

import signal
from types import FrameType
from typing import Any, Self


class Interrupts:
    """While it is open, these signals are noted and nothing is torn; a second one kills.

    Those that are ignored stay so: `nohup` keeps a run going.

    Attributes:
        received: the signal that came, None so far.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._note)
            for number in self.SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
