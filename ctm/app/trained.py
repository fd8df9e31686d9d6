"""A trained model together with its task, from a folder."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from ctm.config import from_plain
from ctm.errors import CheckpointError, UserError
from ctm.interface import Readout, TaskSpec
from ctm.models.build import Model
from ctm.models.pretrained import Pretrained, open_pretrained
from ctm.tasks import TASKS, Task


class Trained(NamedTuple):
    model: Model
    task: Task
    readout: Readout  # by which the model answers unless asked otherwise

    @property
    def says_a_sequence(self) -> bool:
        """Whether its ticks say labels one after the other, rather than all of them the answer."""
        return self.task.target_shape != self.task.spec.output_shape[:-1]


@dataclass(frozen=True, kw_only=True)
class TrainedArguments:
    """Arguments of every command that asks a trained model."""

    run: str  # folder of a run (its last checkpoint is taken) or of a checkpoint
    task_folder: str = ""  # of the data, where they are no longer where they were in training
    task_download: str = "false"


def open_trained(arguments: TrainedArguments, device: torch.device | str = "cpu") -> Trained:
    """The model that was asked for, and the task that it was trained on.

    Raises:
        CheckpointError: there is no such, or they don't fit each other.
        UserError: the task has no data that could be elsewhere.
    """
    found = open_pretrained(arguments.run, device=device)
    return Trained(found.model, task_of(found, arguments), found.config.readout)


def task_of(found: Pretrained, arguments: TrainedArguments) -> Task:
    """What a model was trained on; raises what `open_trained` does."""
    if not found.task:
        raise CheckpointError(
            f"{arguments.run}: doesn't say what it was trained on; only ctm.load can ask it"
        )
    task = elsewhere(from_plain(TASKS, found.task, "task"), arguments)
    if found.labels:
        task = task.knowing(found.labels)
    if not fits(task.spec, found.spec):
        raise CheckpointError(
            f"{arguments.run}: its task has sizes {task.spec}, its model {found.spec}"
        )
    return task


def fits(task: TaskSpec, model: TaskSpec) -> bool:
    """Whether a model is of a task's sizes; that of an image may be open in it (0)."""
    shape = tuple(
        ours if theirs == 0 else theirs
        for ours, theirs in zip(task.input_shape, model.input_shape, strict=False)
    )
    return replace(model, input_shape=shape) == task


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
