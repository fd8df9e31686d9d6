"""The precision that products are computed in."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def compute_dtype(weight: Tensor) -> torch.dtype:
    """That of autocast where it is on, else the weight's own."""
    device = weight.device.type
    if (
        weight.dtype is torch.float32
        and torch.amp.is_autocast_available(device)
        and torch.is_autocast_enabled(device)
    ):
        return torch.get_autocast_dtype(device)
    return weight.dtype


def without_autocast(like: Tensor) -> AbstractContextManager[object]:
    """For what is made of weights once a pass: rounded after it, not on the way."""
    device = like.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
