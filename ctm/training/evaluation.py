"""Running a model over a set of examples."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ctm.interface import Batch, Readout, Thoughts
from ctm.metrics.evaluation import by
from ctm.models.build import Model
from ctm.tasks.task import FiniteExamples, Task
from ctm.training.crew import ALONE, Crew


def evaluate(
    model: nn.Module,
    task: Task,
    examples: FiniteExamples,
    *,
    batch_size: int,
    device: torch.device | str,
    crew: Crew = ALONE,
) -> dict[str, Any]:
    """All metrics of the task over all examples, with seconds, examples a second and memory.

    The model is left in the mode it came in; no random state is drawn from.

    Args:
        crew: of processes that do it together; to others than the first nothing is returned.
    """
    evaluation = task.evaluation(device)

    def thoughts() -> Iterator[tuple[Thoughts, Batch]]:
        for batch in examples.batches(batch_size, crew.share):
            batch = batch.to(device)
            yield crew.handed(model(batch.inputs)), crew.handed(batch)

    began = time.perf_counter()
    with evaluating(model), torch.inference_mode():
        for thought, batch in crew.gathered(thoughts()):
            evaluation.add(thought.to(device), batch.to(device))
    if not crew.leads:
        return {}
    result = evaluation.result()  # reads the sums back, so the device is done
    seconds = time.perf_counter() - began
    return result | {
        "seconds": seconds,
        "examples_per_second": examples.size / seconds,
        "peak_memory_bytes": peak_memory(device),
    }


def evaluate_on_demand(
    model: Model,
    task: Task,
    examples: FiniteExamples,
    *,
    stop_at: float | None,
    readout: Readout,
    batch_size: int,
    device: torch.device | str,
    crew: Crew = ALONE,
) -> dict[str, Any]:
    """Accuracy, mean number of ticks and seconds where each example thinks until it is sure.

    Args:
        stop_at: certainty at which an example is done; None: all think to the end.
        readout: of examples that are never so sure.
        crew: of processes that do it together; to others than the first nothing is returned.
    """
    evaluation = task.evaluation(device)

    def conclusions() -> Iterator[tuple[Thoughts, Batch, int, float]]:
        for batch in examples.batches(batch_size, crew.share):
            batch = batch.to(device)
            began = time.perf_counter()
            found = model.think(batch.inputs, stop_at, readout=readout)
            ticks = int(found.ticks.sum())  # waits for the device
            seconds = time.perf_counter() - began
            answer = Thoughts(found.logits.unsqueeze(1), found.certainty.unsqueeze(1))
            yield crew.handed(answer), crew.handed(batch), ticks, seconds

    all_ticks, all_seconds = 0, 0.0
    with evaluating(model):
        for answer, batch, ticks, seconds in crew.gathered(conclusions()):
            evaluation.add(answer.to(device), batch.to(device))
            all_ticks, all_seconds = all_ticks + ticks, all_seconds + seconds
    if not crew.leads:
        return {}
    accuracy = by(Readout.last, evaluation.result()["accuracy"])  # of one tick all are the same
    return {
        "stop_at": stop_at,
        "accuracy": accuracy,
        "mean_ticks": all_ticks / examples.size,
        "seconds": all_seconds,
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
