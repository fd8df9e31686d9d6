"""What a person sees: a bar on a terminal, plain lines anywhere else."""

import time
from io import StringIO

import pytest
from rich.console import Console

from ctm.training.progress import ProgressReport, clock


class Watch:
    """A clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def plain() -> Console:
    return Console(file=StringIO(), width=40)


def terminal() -> Console:
    return Console(force_terminal=True, file=StringIO(), width=120, height=20)


def shown(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_file_gets_lines_with_rate_and_time_left(watch: Watch) -> None:
    console = plain()
    with ProgressReport(1000, 0, console) as report:
        watch.now += 10
        for step in range(1, 51):
            report.step(step)
        report.report(50, "loss 0.6931")
        watch.now += 10
        report.report(200, "loss 0.5000")
    assert shown(console).splitlines() == [
        "step 50/1000  5.0/s  3:10 left  loss 0.6931",
        "step 200/1000  10.0/s  1:20 left  loss 0.5000",
    ]


def test_the_rate_of_a_resumed_run_is_that_of_its_new_steps(watch: Watch) -> None:
    console = plain()
    with ProgressReport(1000, 900, console) as report:
        watch.now += 5
        report.report(950, "loss 0.1")
    assert shown(console) == "step 950/1000  10.0/s  0:05 left  loss 0.1\n"


def test_a_report_before_any_step_knows_no_rate(watch: Watch) -> None:
    console = plain()
    with ProgressReport(10, 3, console) as report:
        report.report(3, "note")
    assert shown(console) == "step 3/10  0.0/s  0:00 left  note\n"


def test_a_line_is_never_broken() -> None:
    console = plain()
    long = "validation accuracy 97.00%, " * 6
    with ProgressReport(10, 0, console) as report:
        report.say(long)
    assert shown(console) == f"{long}\n"


def test_a_file_gets_no_control_codes() -> None:
    console = plain()
    with ProgressReport(10, 0, console) as report:
        report.step(5)
        report.report(5, "loss 0.5")
        report.say("validation accuracy 50.00%")
    assert "\x1b" not in shown(console)
    assert "\r" not in shown(console)
    assert len(shown(console).splitlines()) == 2


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = terminal()
    with ProgressReport(80, 20, console) as report:
        report.step(40)
        report.report(40, "loss 0.6931")
        report.say("validation accuracy 50.00%")
        report.bar.refresh()
    text = shown(console)
    assert "40/80" in text
    assert "loss 0.6931" in text
    assert "/s" in text
    assert "━" in text
    assert "validation accuracy 50.00%" in text
    assert "step 40/80  " not in text  # no plain line beside the bar


def test_the_bar_ends_when_a_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(MemoryError), ProgressReport(80, 0, terminal()) as report:
        raise MemoryError
    assert report.bar.live.is_started is False


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (123, "2:03"), (3600, "1:00:00"),
     (3723.2, "1:02:03"), (360000, "100:00:00")],
)  # fmt: skip
def test_the_clock_shows_hours_only_if_there_are_any(seconds: float, text: str) -> None:
    assert clock(seconds) == text
