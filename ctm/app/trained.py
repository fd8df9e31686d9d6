"""A trained model together with its task, from a folder."""

from pathlib import Path
from typing import NamedTuple

import torch

from ctm.config import from_plain
from ctm.errors import CheckpointError
from ctm.interface import Readout
from ctm.models.build import Model
from ctm.models.pretrained import open_pretrained
from ctm.tasks import TASKS, Task


class Trained(NamedTuple):
    model: Model
    task: Task
    readout: Readout  # by which the model answers unless asked otherwise


def open_trained(path: Path, device: torch.device | str = "cpu") -> Trained:
    """The model of a run or checkpoint folder, and the task that it was trained on.

    Raises:
        CheckpointError: the folder has no such, or they don't fit each other.
    """
    found = open_pretrained(path, device=device)
    task = from_plain(TASKS, found.task, "task")
    if task.spec != found.spec:
        raise CheckpointError(f"{path}: its task has sizes {task.spec}, its model {found.spec}")
    return Trained(found.model, task, found.config.readout)
