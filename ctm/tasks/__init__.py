"""The tasks, by the name that configs and checkpoints use."""

from ctm.tasks.digits import Digits
from ctm.tasks.parity import Parity
from ctm.tasks.task import Task

TASKS: dict[str, type[Task]] = {"parity": Parity, "digits": Digits}
