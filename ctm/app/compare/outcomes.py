"""What the runs of a comparison came to, from their folders."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from scipy import stats

from ctm.app.compare.plan import Name, Run
from ctm.app.compare.records import Harder, Point, Record, Records
from ctm.app.result import RESULT, read_result
from ctm.app.train import METRICS, start_fabric
from ctm.config import to_plain
from ctm.interface import Readout
from ctm.metrics.evaluation import by
from ctm.models.feedforward import FeedForward, Head
from ctm.models.pretrained import open_pretrained
from ctm.tasks import Task
from ctm.training.evaluation import evaluate
from ctm.training.tracking import read_lines


class BySize(NamedTuple):
    """Accuracy against the size of the problem."""

    what: str  # is counted
    sizes: list[str]
    accuracy: list[float]
    trained: int | None  # so many of the sizes were trained on; None: all


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
    """A run, and what it came to; while it has not finished that is its curve alone."""

    run: Run
    record: Record

    @property
    def name(self) -> Name:
        return self.run.name

    @property
    def result(self) -> dict[str, Any]:
        assert self.record.result is not None
        return self.record.result

    @property
    def curve(self) -> list[Point]:
        return self.record.curve

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
        metrics = self.record.harder.metrics if self.record.harder else None
        return by_size(metrics, self.result["task"], self.readout) if metrics else None


def finished(runs: Sequence[Run], records: Records, harder: Task | None = None) -> list[Outcome]:
    """Those of the runs that have a result.

    Args:
        records: of runs whose folders may be gone.
        harder: the task of larger problems to ask about too; those asked before are remembered.
    """
    return [
        Outcome(run, asked(run, record_of(run, records), harder))
        for run in runs
        if records.is_finished(run)
    ]


def underway(runs: Sequence[Run], records: Records) -> list[Outcome]:
    """Those of the unfinished runs that have a validation behind them."""
    begun = [Outcome(run, begun_by(run, records)) for run in runs if not records.is_finished(run)]
    return [outcome for outcome in begun if outcome.curve]


def begun_by(run: Run, records: Records) -> Record:
    """How far an unfinished run has come."""
    kept = records.of(run)
    if kept is not None and not (run.folder / METRICS).exists():
        return kept
    curve = learning_curve(run, run.experiment.model.readout)
    return Record(run.name, run.experiment.plain, None, curve)


def record_of(run: Run, records: Records) -> Record:
    """Of a finished run: what its folder says, if it is there."""
    kept = records.of(run)
    if not (run.folder / RESULT).exists():
        assert kept is not None  # so it is finished
        return kept
    result = read_result(run.folder)
    if kept is not None and kept.result == result:
        return kept
    curve = learning_curve(run, Readout(result["readout"]))
    return Record(run.name, run.experiment.plain, result, curve)


def learning_curve(run: Run, readout: Readout) -> list[Point]:
    trainer = run.experiment.trainer
    each_step = trainer.batch_size * trainer.accumulate
    return [
        Point(line["step"] * each_step, by(readout, line["accuracy"]))
        for line in read_lines(run.folder / METRICS)
        if line["split"] == "validation"
    ]


def asked(run: Run, record: Record, task: Task | None) -> Record:
    """The record with what the run measures on larger problems, where its weights are there."""
    if (
        task is None
        or run.name.examples
        or (record.harder is not None and record.harder.is_of(task))
    ):
        return record
    if not (run.folder / RESULT).exists():
        return replace(record, harder=None)
    return replace(record, harder=Harder(to_plain(task), on_harder(run, task)))


def on_harder(run: Run, task: Task) -> dict[str, Any] | None:
    """The metrics on larger problems; None of a model of one size."""
    device = start_fabric(run.experiment).device
    model = open_pretrained(run.folder, device=device).model
    if isinstance(model, FeedForward) and model.head is Head.flat:
        return None
    return evaluate(
        model,
        task,
        task.test(),
        batch_size=run.experiment.trainer.evaluation_batch_size,
        device=device,
    )


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
