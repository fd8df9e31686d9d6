"""A trained model together with its task, from a folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ctm.config import from_plain
from ctm.errors import CheckpointError, UserError
from ctm.interface import Readout
from ctm.models.build import Model
from ctm.models.pretrained import open_pretrained
from ctm.tasks import TASKS, Task


class Trained(NamedTuple):
    model: Model
    task: Task
    readout: Readout  # by which the model answers unless asked otherwise


@dataclass(frozen=True, kw_only=True)
class TrainedArguments:
    """Arguments of every command that asks a trained model."""

    run: str  # folder of a run (its last checkpoint is taken) or of a checkpoint
    task_folder: str = ""  # of the data, where they are no longer where they were in training
    task_download: str = "false"


def open_trained(arguments: TrainedArguments, device: torch.device | str = "cpu") -> Trained:
    """The model of a run or checkpoint folder, and the task that it was trained on.

    Raises:
        CheckpointError: the folder has no such, or they don't fit each other.
        UserError: the task has no data that could be elsewhere.
    """
    path = Path(arguments.run)
    found = open_pretrained(path, device=device)
    task = elsewhere(from_plain(TASKS, found.task, "task"), arguments)
    if task.spec != found.spec:
        raise CheckpointError(f"{path}: its task has sizes {task.spec}, its model {found.spec}")
    return Trained(found.model, task, found.config.readout)


def elsewhere(task: Task, arguments: TrainedArguments) -> Task:
    """The task with its data in another folder, or to be fetched."""
    if arguments.task_download not in ("true", "false"):
        raise UserError(f"task.download={arguments.task_download}: want true or false")
    changes: dict[str, Any] = {}
    if arguments.task_folder:
        changes["folder"] = arguments.task_folder
        if hasattr(task, "make"):  # a folder that someone names is there, or misspelt
            changes["make"] = False
    if arguments.task_download == "true":
        changes["download"] = True
    for name, value in changes.items():
        if not hasattr(task, name):
            raise UserError(f"task.{name}={value}: the task {task.kind} has no such setting")
    return replace(task, **changes)
