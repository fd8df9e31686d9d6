"""What the runs of a comparison came to, from their folders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scipy import stats

from ctm.app.compare.plan import Run
from ctm.app.result import RESULT, read_json, read_result, write_json
from ctm.app.train import METRICS
from ctm.config import to_plain
from ctm.interface import Readout
from ctm.metrics.evaluation import by
from ctm.models.feedforward import FeedForward, Head
from ctm.models.pretrained import open_pretrained
from ctm.tasks import Task
from ctm.training.evaluation import evaluate

HARDER = "harder.json"


class BySize(NamedTuple):
    """Accuracy against the size of the problem."""

    what: str  # is counted
    sizes: list[str]
    accuracy: list[float]
    trained: int | None  # so many of the sizes were trained on; None: all


class Point(NamedTuple):
    """Of a learning curve."""

    examples: int  # seen so far
    accuracy: float  # on the validation examples


class Estimate(NamedTuple):
    """Mean, standard deviation and a 95 % interval of the mean by Student's t."""

    mean: float
    deviation: float | None  # None of a single value
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        mean = sum(values) / len(values)
        if len(values) < 2:
            return cls(mean, None, None, None)
        deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
        half = float(stats.t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
        return cls(mean, deviation, mean - half, mean + half)


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    run: Run
    result: dict[str, Any]
    curve: list[Point]
    harder: dict[str, Any] | None  # what it measures on larger problems

    @property
    def readout(self) -> Readout:
        return Readout(self.result["readout"])

    @property
    def accuracy(self) -> float:
        return by(self.readout, self.result["test"]["accuracy"])

    def metric(self, name: str) -> float | None:
        """By the readout; None where the task has no such."""
        values = self.result["test"].get(name)
        return by(self.readout, values) if isinstance(values, dict) else values

    @property
    def per_tick(self) -> list[float]:
        return self.result["test"]["per_tick"]["accuracy"]

    @property
    def by_size(self) -> BySize | None:
        return by_size(self.result["test"], self.result["task"], self.readout)

    @property
    def by_harder_size(self) -> BySize | None:
        return by_size(self.harder, self.result["task"], self.readout) if self.harder else None


def finished(runs: Sequence[Run], harder: Task | None = None) -> list[Outcome]:
    """Those of the runs that have a result.

    Args:
        harder: the task of larger problems to ask about too; those asked before are remembered.
    """
    return [outcome(run, harder) for run in runs if (run.folder / RESULT).exists()]


def outcome(run: Run, harder: Task | None) -> Outcome:
    result = read_result(run.folder)
    trainer = run.experiment.trainer
    lines = map(json.loads, (run.folder / METRICS).read_text().splitlines())
    each_step = trainer.batch_size * trainer.accumulate
    curve = [
        Point(line["step"] * each_step, by(Readout(result["readout"]), line["accuracy"]))
        for line in lines
        if line["split"] == "validation"
    ]
    larger = on_harder(run, result, harder) if harder is not None and not run.examples else None
    return Outcome(run, result, curve, larger)


def on_harder(run: Run, result: dict[str, Any], task: Task) -> dict[str, Any] | None:
    """The metrics on larger problems, kept beside the result; None of a model of one size."""
    made_of = {"task": to_plain(task), "date": result["date"]}
    kept = read_json(run.folder / HARDER)
    if kept is not None and kept["of"] == made_of:
        return kept["metrics"]
    model = open_pretrained(run.folder).model
    if isinstance(model, FeedForward) and model.head is Head.flat:
        return None
    metrics = evaluate(
        model,
        task,
        task.test(),
        batch_size=run.experiment.trainer.evaluation_batch_size,
        device="cpu",
    )
    write_json(run.folder / HARDER, {"of": made_of, "metrics": metrics})
    return metrics


def name_of_harder(task: Task) -> str:
    """What is larger about the larger problems."""
    harder = task.harder()
    return ", ".join(
        f"{name}={value}"
        for name, value in (vars(harder) if harder is not None else {}).items()
        if value != getattr(task, name) and not name.endswith("_each")
    )


def by_size(test: dict[str, Any], task: dict[str, Any], readout: Readout) -> BySize | None:
    """Whatever a task's evaluation sorts by size."""
    if "by_position" in test:
        values = test["by_position"]["accuracy"][readout]
        return BySize("position", names(range(1, len(values) + 1)), values, None)
    if "grid" in test:
        operations = test["grid"]["operations"]
        rows = test["grid"]["accuracy"][readout]
        means = [mean_of([row[k] for row in rows]) for k in range(len(operations))]
        trained = operations.index(task["max_operations"]) + 1
        return BySize("operations", names(operations), means, trained)
    lengths = test.get("by_length", {})
    if "lengths" in lengths:
        values = lengths["accuracy"][readout]
        return BySize("symbols", names(lengths["lengths"]), values, task["length"])
    if "accuracy_whole" in lengths:
        whole = lengths["accuracy_whole"][readout]
        return BySize("moves of the route (whole routes)", list(whole), list(whole.values()), None)
    return None


def names(numbers: Any) -> list[str]:
    return [str(number) for number in numbers]


def mean_of(values: Sequence[float | None]) -> float:
    there = [value for value in values if value is not None]
    return sum(there) / len(there)
