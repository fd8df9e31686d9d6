"""Running a model over a set of examples."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ctm.tasks.task import FiniteExamples, Task


def evaluate(
    model: nn.Module,
    task: Task,
    examples: FiniteExamples,
    *,
    batch_size: int,
    device: torch.device | str,
) -> dict[str, Any]:
    """All metrics of the task over all examples, with seconds, examples a second and memory.

    The model is left in the mode it came in; no random state is drawn from.
    """
    evaluation = task.evaluation(device)
    began = time.perf_counter()
    with evaluating(model), torch.inference_mode():
        for batch in examples.batches(batch_size):
            batch = batch.to(device)
            evaluation.add(model(batch.inputs), batch)
    result = evaluation.result()  # reads the sums back, so the device is done
    seconds = time.perf_counter() - began
    return result | {
        "seconds": seconds,
        "examples_per_second": examples.size / seconds,
        "peak_memory_bytes": peak_memory(device),
    }


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards every part is in its own mode again."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def peak_memory(device: torch.device | str) -> int:
    """Most bytes in use at once so far: of the GPU's tensors, or of this process on a CPU."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
