"""How much memory a training step takes at its peak, each in a process of its own.

`measure_memory` starts `python -m ctm.benchmark.memory --row ...`, which prints what it measured as
JSON.
"""

import argparse
import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from ctm.allocator import keep_freed_memory
from ctm.benchmark.contenders import CONTENDERS, Runner
from ctm.benchmark.rows import ROWS, Row
from ctm.errors import UserError

MEGA = 1e6
STATUS = Path("/proc/self/status")
PEAK = Path("/proc/self/clear_refs")  # writing 5 makes VmHWM start anew


@dataclass
class Memory:
    """Bytes.

    Args:
        peak: the most that is held during a training step: on a CPU resident memory of the process,
            on a GPU what torch has allocated.
        before: the same before the first step, weights and inputs included.
    """

    peak: int
    before: int

    @property
    def step(self) -> int:
        """What training adds: activations, gradients, the optimiser's state, room to work."""
        return self.peak - self.before


def measure_memory(row: Row, contender: str, device: str) -> Memory:
    """Of a row of the table, whose batch, ticks and chunks may be others, in a fresh process.

    Raises:
        torch.OutOfMemoryError: the step does not fit, into a GPU or into this machine.
        UserError: the process failed otherwise.
    """
    command = [sys.executable, "-m", "ctm.benchmark.memory", "--row", row.name]
    command += ["--contender", contender, "--device", device, "--batch", str(row.batch)]
    command += ["--ticks", str(row.config.ticks), "--checkpoint-ticks", str(row.checkpoint_ticks)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        if "OutOfMemoryError" in last or done.returncode == -signal.SIGKILL:
            raise torch.OutOfMemoryError(last)
        raise UserError(f"memory of {row.name}, {contender}: its process ended with {last}")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


@runtime_checkable
class Trains(Protocol):
    """What can do a training step."""

    def train(self) -> object: ...


def second_step(runner: Trains, device: str) -> Memory:
    """Measured in this process, which must have done nothing else before.

    The first step is a warm-up: the optimiser makes its state, and torch may compile.
    """
    on_gpu = torch.device(device).type == "cuda"
    before = torch.cuda.memory_allocated() if on_gpu else kilobytes("VmRSS") * 1024
    runner.train()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):  # where that is forbidden, the warm-up counts as well
            PEAK.write_text("5")
    runner.train()
    peak = torch.cuda.max_memory_allocated() if on_gpu else kilobytes("VmHWM") * 1024
    return Memory(peak, before)


def kilobytes(name: str) -> int:
    """Of this process, as Linux counts them."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        raise UserError(f"{STATUS}: not there; memory on a CPU is measured on Linux only") from None
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ctm.benchmark.memory")
    parser.add_argument("--row", required=True, choices=ROWS)
    parser.add_argument("--contender", required=True, choices=CONTENDERS)
    parser.add_argument("--device", default="cpu")
    for name in ("--batch", "--ticks", "--checkpoint-ticks"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    keep_freed_memory()
    row = ROWS[given.row].resized(batch=given.batch, ticks=given.ticks)
    row = row.chunked(given.checkpoint_ticks)
    runner = Runner(CONTENDERS[given.contender], row, given.device)
    sys.stdout.write(json.dumps(asdict(second_step(runner, given.device))) + "\n")


if __name__ == "__main__":
    main()
