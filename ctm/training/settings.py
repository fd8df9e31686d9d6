"""Settings of the training loop: the schema of `trainer` on the command line."""

from dataclasses import dataclass

from ctm.config import wanted

PRECISIONS = {"32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}
ACCELERATORS = ("auto", "cpu", "cuda")


@dataclass
class TrainerConfig:
    """How long, on what, and how often what is done. Counted in optimiser steps."""

    steps: int = 10000
    batch_size: int = 64  # examples of one backward pass, on each device
    accumulate: int = 1  # backward passes a step
    examples: int | None = None  # train on so many alone, again and again; null: all
    precision: str = "32"  # 32, bf16-mixed or 16-mixed
    clip_norm: float | None = None  # largest norm of the gradient
    clip_quantile: float | None = None  # clip to this quantile of recent norms
    clip_window: int = 1000  # how many norms are recent
    log_every: int = 50
    evaluate_every: int = 1000
    checkpoint_every: int = 1000
    keep_every: int | None = None  # checkpoints at multiples of this are never deleted
    evaluation_batch_size: int = 256
    accelerator: str = "auto"  # auto, cpu or cuda
    workers: int = 0  # processes that prepare batches; 0: the training process does

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "clip_window", "log_every",
                  "evaluate_every", "checkpoint_every", "evaluation_batch_size")  # fmt: skip
        for name in counts:
            wanted(getattr(self, name) >= 1, f"trainer.{name}", getattr(self, name), "1 or more")
        wanted(self.workers >= 0, "trainer.workers", self.workers, "0 or more")
        wanted(self.keep_every is None or self.keep_every >= 1, "trainer.keep_every",
               self.keep_every, "1 or more, or null")  # fmt: skip
        wanted(self.clip_norm is None or self.clip_norm > 0, "trainer.clip_norm", self.clip_norm,
               "more than 0, or null")  # fmt: skip
        wanted(self.examples is None or self.examples >= self.batch_size, "trainer.examples",
               self.examples, f"trainer.batch_size={self.batch_size} or more, or null")  # fmt: skip
        quantile = self.clip_quantile
        wanted(quantile is None or 0 < quantile <= 1, "trainer.clip_quantile", quantile,
               "0 < quantile <= 1, or null")  # fmt: skip
        wanted(self.clip_norm is None or quantile is None, "trainer.clip_quantile", quantile,
               "null where trainer.clip_norm is set: one of the two clips")  # fmt: skip
        wanted(self.precision in PRECISIONS, "trainer.precision", self.precision,
               f"one of {', '.join(PRECISIONS)}")  # fmt: skip
        wanted(self.accelerator in ACCELERATORS, "trainer.accelerator", self.accelerator,
               f"one of {', '.join(ACCELERATORS)}")  # fmt: skip
