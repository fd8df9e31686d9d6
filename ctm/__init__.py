"""The Continuous Thought Machine: a reference implementation in PyTorch."""

from ctm import torchvision_cpu as torchvision_cpu  # first: the others import torchvision
from ctm.models.pretrained import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]
