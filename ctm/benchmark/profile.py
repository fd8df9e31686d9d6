"""Where the time of a training step goes, by operator."""

import os
from dataclasses import dataclass

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from ctm.benchmark.contenders import CONTENDERS, Runner
from ctm.benchmark.rows import Row
from ctm.benchmark.timing import seconds

TOP = 12  # operators that are named


@dataclass
class Operator:
    """Its own time, without that of operators it calls.

    Args:
        share: of all operators' own time.
    """

    name: str
    calls: int
    milliseconds: float
    share: float


@dataclass
class Profile:
    """One training step.

    Args:
        wall: milliseconds from start to end, the profiler's own work included.
        busy: milliseconds of all operators; on a GPU of what they started there.
        operators: the most expensive ones.
    """

    row: str
    contender: str
    wall: float
    busy: float
    operators: list[Operator]


def measure_profile(row: Row, device: str, contender: str = "fast") -> Profile:
    """Of a step after two to warm up."""
    runner = Runner(CONTENDERS[contender], row, device)
    on_gpu = torch.device(device).type == "cuda"
    for _ in range(2):
        runner.train()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler would talk among the progress
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as profiler:
        wall = seconds(runner.train, device)
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"  # microseconds
    # kernels of a GPU are listed too; their time is also that of the operators that start them
    events = {
        event.key: event
        for event in profiler.key_averages()
        if event.device_type == DeviceType.CPU and not event.key.startswith("cuda")
    }
    times = {name: float(getattr(event, own)) / 1e3 for name, event in events.items()}
    busy = sum(times.values())
    longest = sorted(times, key=lambda name: times[name], reverse=True)[:TOP]
    operators = [
        Operator(name, events[name].count, times[name], times[name] / busy)
        for name in longest
        if times[name] > 0
    ]
    return Profile(row.name, contender, 1e3 * wall, busy, operators)
