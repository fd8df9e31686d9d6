"""Evaluating a trained model again, from its folder, file or id alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ctm.app.console import plain_console
from ctm.app.trained import Trained, TrainedArguments, open_trained
from ctm.app.values import between_0_and_1, device_of, items, whole_number
from ctm.errors import UserError
from ctm.models.build import Model
from ctm.models.feedforward import FeedForward, Head
from ctm.tasks import Task
from ctm.tasks.mazes import Mazes, open_test
from ctm.tasks.mazes.maze import MazeArrays
from ctm.tasks.mazes.reapply import reapply
from ctm.training.crew import ALONE, Crew, started_by_torchrun, together
from ctm.training.evaluation import evaluate as measure
from ctm.training.evaluation import evaluate_on_demand


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(TrainedArguments):
    """Arguments of `scripts/evaluate.py`."""

    device: str = "cpu"
    batch_size: str = "256"
    processes: str = "1"  # that share the examples; torchrun brings its own
    stop_at: str = ""  # certainties at which examples are done: 0.5,0.8,0.9
    reapply: str = ""  # folder of mazes of any side, to be asked about again and again


def evaluate(arguments: EvaluateArguments) -> None:
    """Prints every metric of the whole test set as JSON: those of `result.json` again."""
    batch_size = whole_number("batch_size", arguments.batch_size)
    processes = whole_number("processes", arguments.processes)
    stop_at = [between_0_and_1("stop_at", text) for text in items(arguments.stop_at)]
    device_of(arguments.device)
    # here, before any other process starts, so that mistakes are said once
    trained = open_trained(arguments, arguments.device)
    if stop_at and trained.says_a_sequence:
        raise UserError(
            f"stop_at={arguments.stop_at}: this model says its labels one after the other, a tick "
            "each; it thinks to the end"
        )
    trained.task.test()
    if arguments.reapply:
        mazes_to_reapply(arguments.reapply, trained.model, trained.task)
    if processes > 1 or started_by_torchrun():
        together(processes, evaluate_in, arguments, batch_size, stop_at)
    else:
        evaluate_with(ALONE, trained, arguments, batch_size, stop_at)


def evaluate_in(
    crew: Crew, arguments: EvaluateArguments, batch_size: int, stop_at: list[float]
) -> None:
    """In one of several processes."""
    trained = open_trained(arguments, place_of(arguments.device, crew))
    evaluate_with(crew, trained, arguments, batch_size, stop_at)


def evaluate_with(
    crew: Crew,
    trained: Trained,
    arguments: EvaluateArguments,
    batch_size: int,
    stop_at: list[float],
) -> None:
    """The first of the crew prints."""
    model, task, readout = trained
    device = next(model.parameters()).device
    test = task.test()
    result: dict[str, Any] = {"run": arguments.run}
    result["test"] = measure(model, task, test, batch_size=batch_size, device=device, crew=crew)
    if stop_at:
        result["stop_at"] = [
            evaluate_on_demand(
                model,
                task,
                test,
                stop_at=threshold,
                readout=readout,
                batch_size=batch_size,
                device=device,
                crew=crew,
            )
            for threshold in (*stop_at, None)
        ]
    if not crew.leads:
        return
    if arguments.reapply:
        mazes = mazes_to_reapply(arguments.reapply, model, task)
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
                batch_size=batch_size,
                device=device,
            ),
        }
    plain_console().print(json.dumps(result, indent=2))


def place_of(device: str, crew: Crew) -> torch.device:
    """Of a machine's GPUs each process takes one, as long as there are some."""
    if device == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", crew.share.rank % torch.cuda.device_count())


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
