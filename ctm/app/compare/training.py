"""Training what is missing: each run in a process of its own, some side by side."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ctm.app.compare.plan import Run
from ctm.app.compare.records import Records
from ctm.app.compose import CONFIGS
from ctm.app.folder import claimed
from ctm.app.provenance import cores
from ctm.app.result import RESULT, read_result
from ctm.interface import Readout
from ctm.metrics.evaluation import by
from ctm.training.interrupts import Interrupts

TRAIN = CONFIGS.parent / "scripts" / "train.py"
LOG = "train.log"


@dataclass
class Job:
    run: Run
    process: subprocess.Popen[bytes]
    began: float


def train_missing(
    runs: Sequence[Run], records: Records, jobs: int, console: Console
) -> signal.Signals | None:
    """Trains all runs that have no result, `jobs` at a time.

    What asks to stop (`Interrupts`) is handed on: every run saves, and the same command goes on.
    The signal is returned.

    Raises:
        UserError: a folder holds a run with other settings, or another process trains there.
    """
    if not runs:
        return None
    waiting = unfinished(runs, records)
    for run in runs:
        if run.folder.exists() or not records.is_finished(run):
            with claimed(run.folder, run.experiment.plain):
                pass
    gone = sum(not run.folder.exists() for run in runs)
    console.print(
        f"{len(runs)} runs, {len(runs) - len(waiting)} of them finished before"
        + (f" ({gone} known from {records.file} alone: their folders are gone)" if gone else "")
    )
    threads = max(cores() // jobs, 1)
    working: list[Job] = []
    try:
        with Interrupts() as interrupts:
            while (waiting and interrupts.received is None) or working:
                while waiting and len(working) < jobs and interrupts.received is None:
                    working.append(start(waiting.pop(0), threads))
                if interrupts.received is not None:
                    end(working)
                for job in [job for job in working if job.process.poll() is not None]:
                    working.remove(job)
                    console.print(outcome(job))
                time.sleep(0.1)
            return interrupts.received
    finally:  # whatever happens here, nothing trains on unseen
        end(working)


def unfinished(runs: Sequence[Run], records: Records) -> list[Run]:
    return [run for run in runs if not records.is_finished(run)]


def end(jobs: Sequence[Job]) -> None:
    """Asks runs to save and to end, and waits for it."""
    for job in jobs:
        job.process.terminate()
    for job in jobs:
        job.process.wait()


def start(run: Run, threads: int) -> Job:
    """Out of reach of the terminal's signals: they are handed on once."""
    environment = {"OMP_NUM_THREADS": str(threads)} | os.environ
    with (run.folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(TRAIN), f"run={run.folder}"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Job(run, process, time.perf_counter())


def outcome(job: Job) -> str:
    """A finished or failed run in one line."""
    seconds = time.perf_counter() - job.began
    if (job.run.folder / RESULT).exists():
        result = read_result(job.run.folder)
        accuracy = by(Readout(result["readout"]), result["test"]["accuracy"])
        return f"{job.run}: {accuracy:.2%} in {result['seconds']:.0f} s of training"
    said = last_line(job.run.folder / LOG)
    return f"{job.run}: stopped after {seconds:.0f} s, status {job.process.returncode}: {said}"


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
