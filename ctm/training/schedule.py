"""The learning rate over time."""

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ctm.config import wanted


class WarmupCosine(LRScheduler):
    """Up in a line over the first steps, then down along a half cosine.

        lr(s) = lr (s + 1) / warmup                           while s < warmup
        lr(s) = final + (lr - final) (1 + cos(pi p)) / 2      p = (s - warmup) / (steps - warmup)

    Args:
        steps: of the whole run.
        warmup: steps until the full rate; a shorter run ends on its way up.
        final_lr: at the end.
    """

    def __init__(
        self, optimizer: Optimizer, *, steps: int, warmup: int = 500, final_lr: float = 1e-7
    ) -> None:
        whole = isinstance(warmup, int) and warmup >= 0
        wanted(whole, "schedule.warmup", warmup, "a whole number of 0 or more steps")
        wanted(final_lr >= 0, "schedule.final_lr", final_lr, "0 or more")
        self.steps, self.warmup, self.final_lr = steps, warmup, final_lr
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        step = self.last_epoch
        if step < self.warmup:
            return [lr * (step + 1) / self.warmup for lr in self.base_lrs]
        done = min((step - self.warmup) / max(self.steps - self.warmup, 1), 1.0)
        share = (1 + math.cos(math.pi * done)) / 2
        return [self.final_lr + (lr - self.final_lr) * share for lr in self.base_lrs]
