"""Clipping the gradient's norm: to a fixed limit, or to a quantile of the recent norms."""

import math
from typing import Any

import torch
from jaxtyping import Float
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer


class Clipper:
    """Scales a gradient whose norm is above a limit down to it.

    With a quantile, the limit is that quantile of the last `window` norms, this one included
    (paper: parity). Nothing is read back from the device, so no step waits for it.

    Args:
        norm: fixed limit; None: none.
        quantile: of recent norms; None: none.
        window: how many norms are recent.
    """

    def __init__(
        self, *, norm: float | None = None, quantile: float | None = None, window: int = 1000
    ) -> None:
        self.norm, self.quantile = norm, quantile
        # a ring of norms; nan: not filled yet, or of a gradient that overflowed
        self.recent = torch.full((window if quantile is not None else 0,), torch.nan)
        self.seen = 0

    def __call__(self, fabric: Fabric, model: nn.Module, optimizer: Optimizer) -> Float[Tensor, ""]:
        """Clips in place and returns the norm that the gradient had before."""
        limit = math.inf if self.norm is None else self.norm
        total = fabric.clip_gradients(model, optimizer, max_norm=limit, error_if_nonfinite=False)
        assert total is not None  # it is for clipping by norm
        if self.quantile is not None:
            self._clip_to_quantile(model, total, self.quantile)
        return total

    def _clip_to_quantile(
        self, model: nn.Module, total: Float[Tensor, ""], quantile: float
    ) -> None:
        self.recent = self.recent.to(total.device)
        place = self.seen % len(self.recent)
        self.recent[place] = torch.where(total.isfinite(), total, torch.nan)
        self.seen += 1
        limit = self.recent.nanquantile(quantile)
        scale = (limit / (total + 1e-6)).clamp(max=1.0)
        grads = (weight.grad for weight in model.parameters() if weight.grad is not None)
        for grad in grads:
            grad.mul_(scale)

    def state_dict(self) -> dict[str, Any]:
        return {"recent": self.recent.cpu(), "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.recent, self.seen = state["recent"], state["seen"]
