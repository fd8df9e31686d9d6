"""Running the commands as a user does, in an empty folder.

Most in the tests' own process: each process of its own takes seconds to import everything.
"""

import os
import runpy
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from ctm.app.command import BAD_INPUT

ROOT = Path(__file__).resolve().parents[2]
# a CTM so small that hundreds of steps take seconds; with dropout, so that random states matter
TINY = [
    "experiment=parity/quick", "task.length=8", "task.validation_size=32", "task.test_size=32",
    "model.neurons=16", "model.d_input=8", "model.heads=2", "model.ticks=3",
    "model.memory_length=3", "model.nlm_hidden=2", "model.sync_out=4", "model.sync_action=4",
    "model.dropout=0.1", "trainer.batch_size=8", "schedule.warmup=2", "run_dir=run",
]  # fmt: skip


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / script), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "HYDRA_FULL_ERROR": "0"}


def finished(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script to its end."""
    return subprocess.run(
        command(script, *arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_well(script: str, *arguments: str, cwd: Path, apart: bool = False) -> str:
    """Runs a script that must succeed. Returns what it printed.

    Args:
        apart: in a process of its own, free of the tests' shape and type checks.
    """
    done = (finished if apart else run_here)(script, *arguments, cwd=cwd)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def complaint(script: str, *arguments: str, cwd: Path, apart: bool = False) -> str:
    """Runs a script that must refuse. Returns its one line."""
    done = (finished if apart else run_here)(script, *arguments, cwd=cwd)
    assert done.returncode == BAD_INPUT, f"{arguments}: {done.returncode} {done.stderr}"
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def run_here(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script to its end in this process."""
    path = ROOT / "scripts" / script
    out, err = StringIO(), StringIO()
    status: str | int | None = 0
    with (
        patch.object(sys, "argv", [str(path), *arguments]),
        patch.dict(os.environ, environment()),
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    assert isinstance(status, int), status
    return subprocess.CompletedProcess(sys.argv, status, out.getvalue(), err.getvalue())


def start(script: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Starts a script and goes on."""
    return subprocess.Popen(
        command(script, *arguments),
        cwd=cwd,
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
