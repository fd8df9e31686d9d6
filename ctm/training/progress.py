"""How far a run is: a bar on a terminal, plain lines in a file."""

import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressReport:
    """Shows steps, rate and time left.

    Args:
        total: steps of the run.
        start: steps that were done before.
        console: a terminal gets a bar; anything else a line at each report.
    """

    def __init__(self, total: int, start: int, console: Console) -> None:
        self.total, self.start, self.console = total, start, console
        self.began = time.monotonic()
        self.bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),  # all of it fits 80 columns
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=total, completed=start, rate=0.0, note="")

    def step(self, step: int) -> None:
        self.bar.update(self.task, completed=step, rate=self._rate(step))

    def report(self, step: int, note: str) -> None:
        """What a reader should know at this step."""
        self.bar.update(self.task, completed=step, note=note)
        if not self.console.is_terminal:
            rate = self._rate(step)
            left = (self.total - step) / rate if rate else 0.0
            self.say(f"step {step}/{self.total}  {rate:.1f}/s  {clock(left)} left  {note}")

    def say(self, line: str) -> None:
        """A line of its own, above the bar."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def _rate(self, step: int) -> float:
        return (step - self.start) / max(time.monotonic() - self.began, 1e-9)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
