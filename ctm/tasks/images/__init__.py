"""Classification of pictures: which one of some things does a picture show?"""

from ctm.tasks.images.imagenet import ImageNet
from ctm.tasks.images.stored import CIFAR10, CIFAR100, MNIST

__all__ = ["CIFAR10", "CIFAR100", "MNIST", "ImageNet"]
