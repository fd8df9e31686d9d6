"""Clocks: works that take turns, and what the machine itself can do."""

import gc
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import torch

Key = TypeVar("Key", bound=Hashable)
Work = Callable[[], object]
GIGA = 1e9
WARM_UP = 2  # rounds: compilation, and memory that a process is given for the first time


def synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def free(device: str) -> None:
    """Gives back memory that nothing holds any more."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def seconds(work: Work, device: str = "cpu") -> float:
    """How long one call takes."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def alternate(
    works: Mapping[Key, Work], repeats: int, device: str = "cpu"
) -> dict[Key, list[float]]:
    """Seconds of every work in every round, after `WARM_UP` rounds that don't count.

    In a round each work runs once: whatever else the machine does slows all of them alike.
    """
    for _ in range(WARM_UP):
        for work in works.values():
            work()
    times: dict[Key, list[float]] = {key: [] for key in works}
    for _ in range(repeats):
        for key, work in works.items():
            times[key].append(seconds(work, device))
    return times


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def matmul(dtype: torch.dtype, device: str = "cpu") -> tuple[Work, float]:
    """A big matrix product, and how many floating-point operations it takes."""
    size = 8192 if torch.device(device).type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out), 2 * size**3


def copy(device: str = "cpu") -> tuple[Work, float]:
    """A big copy in memory, and how many bytes it reads and writes."""
    size = 2**30 if torch.device(device).type == "cuda" else 2**28
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source), 2 * size
