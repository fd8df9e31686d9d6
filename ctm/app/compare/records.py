"""What a comparison keeps of its runs, so that its page outlives their folders."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ctm.app.compare.plan import Name, Run
from ctm.app.folder import differences
from ctm.app.result import RESULT, read_json, write_whole
from ctm.config import to_plain
from ctm.errors import UserError, listed
from ctm.tasks import Task

RECORDS = "runs.json"


class Point(NamedTuple):
    """Of a learning curve."""

    examples: int  # seen so far
    accuracy: float  # on the validation examples


@dataclass(frozen=True)
class Harder:
    """What a run was asked about larger problems; no metrics: it can't do them."""

    task: dict[str, Any]
    metrics: dict[str, Any] | None

    def is_of(self, task: Task) -> bool:
        return self.task == to_plain(task)


@dataclass(frozen=True)
class Record:
    """A run without its weights.

    Args:
        run: its name.
        settings: that it ran with.
        result: its `result.json`; None: it has not finished.
        curve: on the validation examples.
        harder: None where it was not asked.
    """

    run: Name
    settings: dict[str, Any]
    result: dict[str, Any] | None
    curve: list[Point]
    harder: Harder | None = None


class Records:
    """Those that an earlier report left in its folder; none where there was no report."""

    def __init__(self, out: Path) -> None:
        """
        Raises:
            UserError: nothing can be written there, or it holds records that can't be read.
        """
        try:
            out.mkdir(parents=True, exist_ok=True)
            if not os.access(out, os.W_OK):
                raise PermissionError("no right to write there")
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"out={out}: not writable ({reason}); choose another") from None
        self.file = out / RECORDS
        self.kept = read(self.file) if self.file.exists() else {}

    def of(self, run: Run) -> Record | None:
        """
        Raises:
            UserError: the record is of a run with other settings.
        """
        record = self.kept.get(run.name)
        if record is None:
            return None
        differing = differences(record.settings, run.experiment.plain)
        if differing:
            raise UserError(
                f"{self.file}: holds {run} with other settings: {listed(differing)}; choose "
                "another out=..."
            )
        return record

    def is_finished(self, run: Run) -> bool:
        """By its folder, or by what is kept here."""
        kept = self.of(run)
        return (run.folder / RESULT).exists() or (kept is not None and kept.result is not None)

    def write(self, records: Iterable[Record]) -> None:
        """These in the place of those of the same runs; the others stay."""
        self.kept |= {record.run: record for record in records}
        lines = ",\n".join(json.dumps(to_json(record)) for record in self.kept.values())
        write_whole(self.file, f"[\n{lines}\n]\n")  # a run a line


def read(file: Path) -> dict[Name, Record]:
    """
    Raises:
        UserError: it is not what a report leaves.
    """
    entries = read_json(file)
    try:
        if not isinstance(entries, list):
            raise TypeError("want a list")
        return {record.run: record for record in map(from_json, entries)}
    except (TypeError, KeyError):
        raise UserError(
            f"{file}: not the runs of a comparison; delete it: runs that have a folder are read "
            "again"
        ) from None


def to_json(record: Record) -> dict[str, Any]:
    return {**asdict(record), "run": record.run._asdict()}


def from_json(entry: dict[str, Any]) -> Record:
    if not isinstance(entry["settings"], dict):
        raise TypeError("want settings by their names")
    run, curve = Name(**entry["run"]), [Point(*point) for point in entry["curve"]]
    harder = Harder(**entry["harder"]) if entry["harder"] else None
    return Record(**{**entry, "run": run, "curve": curve, "harder": harder})
