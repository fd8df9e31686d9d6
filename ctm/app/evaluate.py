"""Evaluating a trained model again, from its folder alone."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from ctm.app.console import plain_console
from ctm.app.trained import open_trained
from ctm.errors import UserError
from ctm.training.evaluation import evaluate as measure


@dataclass(frozen=True)
class EvaluateArguments:
    """Arguments of `scripts/evaluate.py`."""

    run: str  # folder of a run (its last checkpoint is taken) or of a checkpoint
    device: str = "cpu"
    batch_size: str = "256"


def evaluate(arguments: EvaluateArguments) -> None:
    """Prints every metric of the whole test set as JSON: those of `result.json` again."""
    if not arguments.batch_size.isdecimal() or int(arguments.batch_size) < 1:
        raise UserError(f"batch_size={arguments.batch_size}: want a whole number of 1 or more")
    if arguments.device not in ("cpu", "cuda"):
        raise UserError(f"device={arguments.device}: want cpu or cuda")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: no CUDA GPU here; want cpu")
    model, task, _ = open_trained(Path(arguments.run), arguments.device)
    metrics = measure(
        model,
        task,
        task.test(),
        batch_size=int(arguments.batch_size),
        device=arguments.device,
    )
    result = {"run": arguments.run, "test": metrics}
    plain_console().print(json.dumps(result, indent=2))
