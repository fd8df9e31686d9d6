"""Comparing the machine with other models on equal terms: `scripts/compare.py`."""

from collections.abc import Sequence

from rich.table import Table

from ctm.app.compare.matching import Size
from ctm.app.compare.plan import Contestant, contestants, parsed, runs
from ctm.app.compare.training import train_missing
from ctm.app.console import plain_console
from ctm.app.describe import si


def compare(words: Sequence[str]) -> int:
    """Trains what is missing, then writes the report. Returns the exit status."""
    console = plain_console()
    arguments = parsed(words)
    found = contestants(arguments)
    console.print(sizes_table(found))
    planned = list(runs(arguments, found))
    unfinished = train_missing(planned, arguments.jobs, console)
    return 1 if unfinished else 0


def sizes_table(found: Sequence[Contestant]) -> Table:
    """How well everyone is matched."""
    table = Table("model", "parameters", "FLOP an example", "matched")
    for contestant in found:
        size: Size = contestant.size
        table.add_row(
            contestant.name, f"{size.parameters:,}", si(size.flops), f"{contestant.error:+.2%}"
        )
    return table
