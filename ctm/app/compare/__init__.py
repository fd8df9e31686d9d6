"""Comparing the machine with other models on equal terms: `scripts/compare.py`."""

import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ctm.allocator import keep_freed_memory
from ctm.app.compare.arguments import Arguments, parsed
from ctm.app.compare.budget import equal_time
from ctm.app.compare.comparison import Comparison
from ctm.app.compare.matching import Match
from ctm.app.compare.outcomes import finished, underway
from ctm.app.compare.plan import Contestant, Name, Run, contestants, runs
from ctm.app.compare.records import Records
from ctm.app.compare.report import write_report
from ctm.app.compare.speed import measure
from ctm.app.compare.training import train_missing, unfinished
from ctm.app.compare.tuning import results, trials, tuned
from ctm.app.console import plain_console
from ctm.app.describe import si
from ctm.errors import UserError
from ctm.tasks import Task

SPEED = "speed.json"


def compare(words: Sequence[str]) -> int:
    """Trains what is missing, measures, and writes the report. Returns the exit status."""
    console = plain_console()
    keep_freed_memory()  # as in training
    arguments = parsed(words)
    found = contestants(arguments)
    if arguments.describe:
        console.print(sizes_table(found))
        console.print(counted_runs(arguments, found))
        return 0
    records = Records(arguments.out)
    if arguments.match is Match.time:
        found = equal_time(arguments, found, console)
    console.print(sizes_table(found))

    def trained(runs: Sequence[Run]) -> tuple[signal.Signals | None, list[Run]]:
        """Trains; what stopped it, and the runs that have not finished."""
        stopped = train_missing(runs, records, arguments.jobs, console)
        records.write(o.record for o in [*finished(runs, records), *underway(runs, records)])
        return stopped, unfinished(runs, records)

    short = list(trials(arguments, found))
    if short:
        console.print("short runs, to find every model's learning rate")
    stopped, missing = trained(short)
    if stopped is not None or missing:
        return ended(stopped, missing, console)
    tried = results(finished(short, records))
    found = [tuned(contestant, tried) for contestant in found]

    planned = list(runs(arguments, found))
    stopped, missing = trained(planned)
    harder, notes = larger_problems(found[0].experiment.task)
    command = shlex.join(["python", "scripts/compare.py", *words])

    def write(speed: dict[str, Any] | None, harder: Task | None) -> Path:
        done, begun = finished(planned, records, harder), underway(planned, records)
        records.write(outcome.record for outcome in done)
        return write_report(
            Comparison(arguments, found, done, missing, begun, speed, command, tried, notes)
        )

    page = write(None, None)
    if stopped is None:
        console.print("asking about larger problems; then everyone's speed, by turns")
        page = write(None, harder)
        first = [run for run in planned if run.name == Name(run.name.model, arguments.seeds[0])]
        there = [run for run in first if run not in missing]
        page = write(measure(there, arguments.out / SPEED) if there else None, harder)
    console.print(f"report  {page}")
    return ended(stopped, missing, console)


def counted_runs(arguments: Arguments, found: Sequence[Contestant]) -> str:
    """How many runs the comparison is made of."""
    short = len(list(trials(arguments, found)))
    return f"{len(list(runs(arguments, found)))} runs" + (
        f", and before them {short} short ones, to find every model's learning rate"
        if short
        else ""
    )


def ended(stopped: signal.Signals | None, missing: Sequence[Run], console: Console) -> int:
    """Says what is missing; the exit status."""
    if missing:
        console.print(f"not finished: {'; '.join(map(str, missing))}; the same command goes on")
    return 128 + stopped if stopped is not None else int(bool(missing))


def larger_problems(task: Task) -> tuple[Task | None, list[str]]:
    """The task of larger problems, if its data are there; what is to be said if not."""
    harder = task.harder()
    if harder is None or harder == task:
        return None, []
    try:
        harder.test()
    except UserError as error:
        return None, [f"Larger problems were not measured: {error}."]
    return harder, []


def sizes_table(found: Sequence[Contestant]) -> Table:
    """How well everyone is matched."""
    table = Table("model", "parameters", "FLOP an example", "matched")
    for contestant in found:
        size = contestant.size
        table.add_row(
            contestant.name, f"{size.parameters:,}", si(size.flops), f"{contestant.error:+.2%}"
        )
    return table
