"""The table of a comparison."""

import csv
from collections.abc import Callable
from typing import Any

from ctm.app.compare.comparison import Comparison
from ctm.app.compare.outcomes import Outcome
from ctm.app.compare.plan import Contestant

TABLE = "runs.csv"


def write_table(comparison: Comparison) -> None:
    """One row a run."""
    by_name = {contestant.name: contestant for contestant in comparison.found}
    with (comparison.out / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        for o in comparison.outcomes:
            contestant = by_name[o.name.model]
            speed = (comparison.speed or {}).get("speed", {}).get(o.name.model, {})
            writer.writerow(
                {name: column(o, contestant, speed) for name, column in COLUMNS.items()}
            )


def readout_column(metric: str, readout: str) -> Callable[..., Any]:
    return lambda o, c, s: o.result["test"].get(metric, {}).get(readout, "")


COLUMNS: dict[str, Callable[[Outcome, Contestant, dict[str, Any]], Any]] = {
    "model": lambda o, c, s: o.name.model,
    "seed": lambda o, c, s: o.name.seed,
    "examples_to_train_on": lambda o, c, s: o.name.examples or "",
    "parameters": lambda o, c, s: c.size.parameters,
    "flops_per_example": lambda o, c, s: c.size.flops,
    "steps": lambda o, c, s: o.result["steps"],
    "examples_seen": lambda o, c, s: o.curve[-1].examples if o.curve else "",
    "seconds": lambda o, c, s: o.result["seconds"],
    "readout": lambda o, c, s: o.readout.value,
    "accuracy": lambda o, c, s: o.accuracy,
    **{
        f"accuracy_{readout}": readout_column("accuracy", readout)
        for readout in ("certain", "last", "mean", "weighted")
    },
    "accuracy_whole": lambda o, c, s: o.metric("accuracy_whole"),
    "calibration_error": lambda o, c, s: o.metric("calibration_error"),
    "mean_tick": lambda o, c, s: o.metric("mean_tick"),
    "training_examples_per_second": lambda o, c, s: s.get("training", ""),
    "inference_examples_per_second": lambda o, c, s: s.get("inference", ""),
    "peak_memory_bytes": lambda o, c, s: s.get("memory", ""),
    "date": lambda o, c, s: o.result["date"],
    "commit": lambda o, c, s: o.result["commit"],
}
