"""Comparing the machine with other models on equal terms: `scripts/compare.py`."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ctm.app.compare.budget import equal_time
from ctm.app.compare.matching import Match
from ctm.app.compare.outcomes import outcomes
from ctm.app.compare.plan import Arguments, Contestant, Run, contestants, parsed, runs
from ctm.app.compare.report import Report
from ctm.app.compare.speed import measure
from ctm.app.compare.training import train_missing
from ctm.app.console import plain_console
from ctm.app.describe import si

SPEED = "speed.json"


def compare(words: Sequence[str]) -> int:
    """Trains what is missing, measures, and writes the report. Returns the exit status."""
    console = plain_console()
    arguments = parsed(words)
    found = contestants(arguments)
    if arguments.match is Match.time:
        found = equal_time(arguments, found, console)
    console.print(sizes_table(found))
    planned = list(runs(arguments, found))
    unfinished = train_missing(planned, arguments.jobs, console)
    speed = None if unfinished else speed_of(arguments, planned, console)
    command = shlex.join(["python", "scripts/compare.py", *words])
    report = Report(arguments, found, outcomes(planned), unfinished, speed, command)
    console.print(f"report  {report.write()}")
    if unfinished:
        console.print(f"not finished: {'; '.join(map(str, unfinished))}; the same command goes on")
    return 1 if unfinished else 0


def speed_of(arguments: Arguments, planned: Sequence[Run], console: Console) -> dict[str, Any]:
    """Measured once, on the first seed's runs, when nothing else of the comparison is at work."""
    file: Path = arguments.out / SPEED
    first = [run for run in planned if run.seed == arguments.seeds[0] and run.examples is None]
    if file.exists():
        found = json.loads(file.read_text())
        if found["speed"].keys() >= {run.name for run in first}:
            return found
    console.print("measuring speed and memory, one model after the other, again and again")
    arguments.out.mkdir(parents=True, exist_ok=True)
    return measure(first, file)


def sizes_table(found: Sequence[Contestant]) -> Table:
    """How well everyone is matched."""
    table = Table("model", "parameters", "FLOP an example", "matched")
    for contestant in found:
        size = contestant.size
        table.add_row(
            contestant.name, f"{size.parameters:,}", si(size.flops), f"{contestant.error:+.2%}"
        )
    return table
