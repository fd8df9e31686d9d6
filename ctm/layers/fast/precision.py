"""The precision that products are computed in."""

import torch
from torch import Tensor


def compute_dtype(weight: Tensor) -> torch.dtype:
    """That of autocast where it is on, else the weight's own."""
    if torch.is_autocast_enabled(weight.device.type) and weight.dtype is torch.float32:
        return torch.get_autocast_dtype(weight.device.type)
    return weight.dtype
