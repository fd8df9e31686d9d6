"""The precision that products are computed in."""

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
