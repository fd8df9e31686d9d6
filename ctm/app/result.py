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
from ctm.interface import Readout
from ctm.models.pretrained import description, open_pretrained
from ctm.training.checkpoint import LAST, load_training
from ctm.training.evaluation import evaluate

RESULT, CHECKPOINTS = "result.json", "checkpoints"


def write_result(experiment: Experiment, fabric: Fabric, console: Console) -> None:
    """Evaluates the last checkpoint on the whole test set, draws, and writes `result.json`."""
    folder, task = experiment.run_dir, experiment.task
    model = open_pretrained(folder, device=fabric.device).model
    position = load_training(folder / CHECKPOINTS / LAST)["position"]
    test = task.test()
    metrics = evaluate(
        model,
        test,
        task.spec,
        batch_size=experiment.trainer.evaluation_batch_size,
        device=fabric.device,
    )
    draw(model, task, test, metrics, folder)
    result = {
        "experiment": experiment.name,
        "task": description(experiment.model, task.spec, task)["task"],
        "model": experiment.model.kind,
        "parameters": count(model),
        "seed": experiment.seed,
        "steps": position["step"],
        "seconds": position["seconds"],
        **provenance(),
        "test": metrics,
    }
    partial = folder / f"{RESULT}.partial"
    partial.write_text(json.dumps(result, indent=2) + "\n")
    partial.replace(folder / RESULT)
    show_result(result, folder, console)


def show_result(result: dict[str, Any], folder: Path, console: Console) -> None:
    """A finished run at a glance."""
    test = result["test"]
    per_tick = "  ".join(f"{tick}: {value:.2%}" for tick, value in
                         enumerate(test["per_tick"]["accuracy"], 1))  # fmt: skip
    lines = [
        f"{result['experiment']}, seed {result['seed']}: {result['parameters']:,} parameters, "
        f"{result['steps']} steps in {result['seconds']:.0f} s of training",
        f"test accuracy after each tick  {per_tick}",
        *(
            f"test accuracy, {name.replace('_', ' ')}  "
            + "  ".join(f"{readout}: {test[key][readout]:.2%}" for readout in Readout)
            for key, name in (("accuracy", "all answers"), ("accuracy_whole", "whole sequences"))
            if key in test
        ),
        f"test accuracy  {test['accuracy']['certain']:.2%} at the most certain tick, on average "
        f"tick {test['mean_tick']:.1f}; calibration error "
        f"{test['calibration_error']['certain']:.3f}; {test['examples']} examples",
        f"pictures  {folder / FIGURES}   numbers  {folder / RESULT}",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
