"""The tasks, by the name that configs and checkpoints use."""

from ctm.tasks.digits import Digits
from ctm.tasks.images import CIFAR10, CIFAR100, MNIST, ImageNet
from ctm.tasks.mazes import Mazes
from ctm.tasks.parity import Parity
from ctm.tasks.qamnist import QAMNIST
from ctm.tasks.sort import Sort
from ctm.tasks.state_tracking import StateTracking
from ctm.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "parity": Parity,
    "digits": Digits,
    "mazes": Mazes,
    "sort": Sort,
    "state_tracking": StateTracking,
    "qamnist": QAMNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "mnist": MNIST,
    "imagenet": ImageNet,
}
