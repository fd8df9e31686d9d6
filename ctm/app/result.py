"""What a finished run leaves: metrics of the whole test set, pictures, and where they come from."""

import json
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from rich.console import Console

from ctm.app.compose import Experiment
from ctm.app.describe import count
from ctm.app.pictures import FIGURES, draw
from ctm.app.provenance import provenance
from ctm.config import to_plain
from ctm.errors import CheckpointError
from ctm.interface import Readout
from ctm.metrics.evaluation import by
from ctm.models.pretrained import CHECKPOINTS, LAST, open_pretrained
from ctm.training.checkpoint import load_training
from ctm.training.evaluation import evaluate

RESULT = "result.json"


def write_result(experiment: Experiment, fabric: Fabric, console: Console) -> None:
    """Evaluates the last checkpoint on the whole test set, draws, and writes `result.json`.

    In float32 whatever the run's precision was, as `scripts/evaluate.py` does it again.
    """
    folder, task = experiment.run_dir, experiment.task
    model = open_pretrained(folder, device=fabric.device).model
    position = load_training(folder / CHECKPOINTS / LAST)["position"]
    test = task.test()
    metrics = evaluate(
        model,
        task,
        test,
        batch_size=experiment.trainer.evaluation_batch_size,
        device=fabric.device,
    )
    result = {
        "experiment": experiment.name,
        "task": to_plain(task),
        "model": experiment.model.kind,
        "parameters": count(model),
        "seed": experiment.seed,
        "steps": position["step"],
        "seconds": position["seconds"],
        **provenance(),
        "readout": experiment.model.readout.value,
        "test": metrics,
    }
    draw(model, task, test, metrics, folder)
    write_json(folder / RESULT, result)
    show_result(result, folder, console)


def write_json(file: Path, content: Any) -> None:
    """Writes the whole of it, or nothing."""
    write_whole(file, json.dumps(content, indent=2) + "\n")


def write_whole(file: Path, text: str) -> None:
    """Or nothing."""
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(text)
    partial.replace(file)


def read_json(file: Path) -> Any:
    """What was written so; None where there is nothing, or nothing that can be read."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def show_result(result: dict[str, Any], folder: Path, console: Console) -> None:
    """A finished run at a glance."""
    test, readout = result["test"], Readout(result["readout"])
    per_tick = "  ".join(f"{tick}: {value:.2%}" for tick, value in
                         enumerate(test["per_tick"]["accuracy"], 1))  # fmt: skip
    lines = [
        f"{result['experiment']}, seed {result['seed']}: {result['parameters']:,} parameters, "
        f"{result['steps']} steps in {result['seconds']:.0f} s of training",
        f"test accuracy after each tick  {per_tick}",
        *(
            f"test accuracy, {name.replace('_', ' ')}  "
            + "  ".join(f"{way}: {value:.2%}" for way, value in test[key].items())
            for key, name in (("accuracy", "all answers"), ("accuracy_whole", "whole sequences"))
            if key in test
        ),
        f"test accuracy  {by(readout, test['accuracy']):.2%}"
        + (f" by the readout {readout}" if readout in test["accuracy"] else "")
        + (
            f"; the most certain tick is on average {test['mean_tick']:.1f}"
            if "mean_tick" in test
            else ""
        )
        + (
            f"; calibration error {by(readout, test['calibration_error']):.3f}"
            if "calibration_error" in test
            else ""
        )
        + f"; {test['examples']} examples",
        f"pictures  {folder / FIGURES}   numbers  {folder / RESULT}",
    ]
    console.print("\n".join(lines))


def read_result(folder: Path) -> dict[str, Any]:
    """The result of a run that has finished.

    Raises:
        CheckpointError: it is damaged.
    """
    file = folder / RESULT
    match read_json(file):
        case {"readout": str(), "test": {"accuracy": _}, "task": dict(), "seconds": _} as result:
            return result
    raise CheckpointError(
        f"{file}: not the result of a finished run; delete it to have it made again"
    )
