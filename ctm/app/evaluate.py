"""Evaluating a trained model again, from its folder alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ctm.app.console import plain_console
from ctm.app.trained import TrainedArguments, open_trained
from ctm.errors import UserError
from ctm.models.build import Model
from ctm.models.feedforward import FeedForward, Head
from ctm.tasks import Task
from ctm.tasks.mazes import Mazes, open_test
from ctm.tasks.mazes.maze import MazeArrays
from ctm.tasks.mazes.reapply import reapply
from ctm.training.evaluation import evaluate as measure


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(TrainedArguments):
    """Arguments of `scripts/evaluate.py`."""

    device: str = "cpu"
    batch_size: str = "256"
    reapply: str = ""  # folder of mazes of any side, to be asked about again and again


def evaluate(arguments: EvaluateArguments) -> None:
    """Prints every metric of the whole test set as JSON: those of `result.json` again."""
    if not arguments.batch_size.isdecimal() or int(arguments.batch_size) < 1:
        raise UserError(f"batch_size={arguments.batch_size}: want a whole number of 1 or more")
    if arguments.device not in ("cpu", "cuda"):
        raise UserError(f"device={arguments.device}: want cpu or cuda")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: no CUDA GPU here; want cpu")
    model, task, readout = open_trained(arguments, arguments.device)
    mazes = mazes_to_reapply(arguments.reapply, model, task) if arguments.reapply else None
    metrics = measure(
        model,
        task,
        task.test(),
        batch_size=int(arguments.batch_size),
        device=arguments.device,
    )
    result: dict[str, Any] = {"run": arguments.run, "test": metrics}
    if mazes is not None:
        assert isinstance(task, Mazes)
        result["reapplied"] = {
            "folder": arguments.reapply,
            "side": mazes.side,
            "readout": readout.value,
            **reapply(
                model,
                mazes,
                readout=readout,
                pixel_range=task.pixel_range,
                batch_size=int(arguments.batch_size),
                device=arguments.device,
            ),
        }
    plain_console().print(json.dumps(result, indent=2))


def mazes_to_reapply(folder: str, model: Model, task: Task) -> MazeArrays:
    """The test mazes of a folder, where the model can be asked about them.

    Raises:
        UserError: it can't, or there are none.
    """
    if not isinstance(task, Mazes):
        raise UserError(f"reapply={folder}: for models of mazes; this one's task is {task.kind}")
    try:
        mazes = open_test(Path(folder))
    except UserError as error:
        raise UserError(f"reapply={error}") from None
    if isinstance(model, FeedForward) and model.head is Head.flat and mazes.side != task.side:
        raise UserError(
            f"reapply={folder}: mazes of {mazes.side}x{mazes.side}; this model's head reads "
            f"{task.side}x{task.side} alone"
        )
    return mazes
