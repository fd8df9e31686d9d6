"""Time and memory of the contestants: times by turns in one process, memory in one process each."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from lightning.fabric import Fabric

from ctm.allocator import keep_freed_memory
from ctm.app.compare.plan import Run
from ctm.app.compose import Experiment, reopened
from ctm.app.folder import save_settings
from ctm.app.provenance import hardware, provenance
from ctm.app.result import read_json, write_json
from ctm.app.train import prepare, start_fabric
from ctm.benchmark.memory import second_step
from ctm.benchmark.timing import alternate, free, median
from ctm.config import to_plain
from ctm.interface import Batch
from ctm.models.build import build_model
from ctm.training.evaluation import evaluating
from ctm.training.stream import Stream

ROUNDS = 7


@dataclass(frozen=True)
class Speed:
    """Examples a second and bytes.

    Args:
        training: whole steps, the optimiser's included.
        inference: batches of the same size.
        memory: the most that the process holds during a training step.
    """

    training: float
    inference: float
    memory: int | None  # None where it can't be measured


class Worker:
    """One contestant at work, on batches of its experiment."""

    def __init__(self, experiment: Experiment, fabric: Fabric) -> None:
        model = build_model(experiment.model, experiment.task.spec, seed=experiment.seed)
        self.trainee = prepare(experiment, fabric, model)
        self.fabric = fabric
        self.batches = [batch.to(fabric.device) for batch in usual_batches(experiment)]

    @property
    def examples(self) -> int:
        return sum(map(len, self.batches))

    def train(self) -> None:
        trainee = self.trainee
        for batch in self.batches:
            self.fabric.backward(trainee.loss(trainee.model(batch.inputs), batch.targets))
            trainee.clipper(self.fabric, trainee.model, trainee.optimizer)
            trainee.optimizer.step()
            trainee.optimizer.zero_grad()

    def infer(self) -> None:
        with evaluating(self.trainee.model), torch.inference_mode():
            for batch in self.batches:
                self.trainee.model(batch.inputs)


def usual_batches(experiment: Experiment) -> list[Batch]:
    """Batches to time: two of training; where each has a length of its own, one of every length."""
    task, size = experiment.task, experiment.trainer.batch_size
    if len(task.blank_sizes(1, "meta")) == 1:
        stream = Stream(task.training(), batch_size=size, seed=experiment.seed)
        return [stream[0], stream[1]]
    largest: dict[tuple[torch.Size, ...], Batch] = {}
    for batch in task.validation().batches(size):
        inputs = (batch.inputs,) if isinstance(batch.inputs, torch.Tensor) else batch.inputs
        length = tuple(values.shape[1:] for values in inputs)
        if length not in largest or len(batch) > len(largest[length]):
            largest[length] = batch
    return list(largest.values())


def measure(runs: Sequence[Run], file: Path) -> dict[str, Any]:
    """Measures one run of each contestant on this machine and keeps what it found in a file."""
    made_of = {
        "models": {run.name.model: to_plain(run.experiment.model) for run in runs},
        "threads": torch.get_num_threads(),
        "hardware": hardware(),
    }
    kept = read_json(file)
    if isinstance(kept, dict) and kept.get("of") == made_of:
        return kept
    rates = rates_of({run.name.model: run.experiment for run in runs})
    found = {
        "of": made_of,
        "rounds": ROUNDS,
        **provenance(),
        "speed": {
            run.name.model: asdict(Speed(*rates[run.name.model], memory=memory_of(run)))
            for run in runs
        },
    }
    write_json(file, found)
    return found


class Rates(NamedTuple):
    """Examples a second."""

    training: float
    inference: float


def rates_of(experiments: Mapping[str, Experiment]) -> dict[str, Rates]:
    """Of every contestant, by turns."""
    fabric = start_fabric(next(iter(experiments.values())))
    workers = {name: Worker(experiment, fabric) for name, experiment in experiments.items()}
    works = {(name, "training"): worker.train for name, worker in workers.items()}
    works |= {(name, "inference"): worker.infer for name, worker in workers.items()}
    times = alternate(works, ROUNDS, fabric.device.type)
    free(fabric.device.type)
    return {
        name: Rates(
            worker.examples / median(times[name, "training"]),
            worker.examples / median(times[name, "inference"]),
        )
        for name, worker in workers.items()
    }


def memory_of(run: Run) -> int | None:
    """Peak memory of a training step, in a fresh process; None where its system doesn't tell."""
    with TemporaryDirectory() as folder:
        save_settings(Path(folder), run.experiment.plain)
        command = [sys.executable, "-m", "ctm.app.compare.speed", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode else int(done.stdout.split()[-1])


def main() -> None:
    keep_freed_memory()
    experiment = reopened(Path(sys.argv[1]))
    fabric = start_fabric(experiment)
    peak = second_step(Worker(experiment, fabric), fabric.device.type).peak
    print(peak)  # noqa: T201 - read by `memory_of`


if __name__ == "__main__":
    main()
