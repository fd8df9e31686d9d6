"""Several processes that share the work of an evaluation: the same numbers as one alone.

Each takes its share of the batches; what the model thought of them goes to the first process, which
adds it all up in the order of the examples. So every sum is the one that a single process makes.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

from ctm.interface import Batch, Thoughts
from ctm.tasks.task import WHOLE, Share

T = TypeVar("T")
M = TypeVar("M", Thoughts, Batch)


@dataclass(frozen=True)
class Crew:
    """This process's place among those that work together."""

    share: Share = WHOLE

    @property
    def leads(self) -> bool:
        """Whether it is the one that adds up."""
        return self.share.rank == 0

    def handed(self, thing: M) -> M:
        """As it is handed on: where there are others, from the device to memory."""
        return thing if self.share.processes == 1 else thing.to("cpu")

    def gathered(self, mine: Iterable[T]) -> Iterator[T]:
        """What all of them made, in order; to others than the first nothing.

        Args:
            mine: what this one makes of its share, on the CPU.
        """
        if self.share.processes == 1:
            yield from mine
            return
        made = iter(mine)
        while True:
            thing = next(made, None)
            everyone = [None] * self.share.processes if self.leads else None
            distributed.gather_object(thing, everyone)
            yield from (each for each in everyone or () if each is not None)
            # the first has as many as any other
            more = torch.tensor(int(thing is not None))
            distributed.broadcast(more, 0)
            if not more:
                return


ALONE = Crew()


def started_by_torchrun() -> bool:
    return "WORLD_SIZE" in os.environ


def together(processes: int, work: Callable[..., Any], *arguments: Any) -> None:
    """Runs `work(crew, *arguments)` in so many new processes, or in those that torchrun started.

    Args:
        work: a function of a module, so that a new process can find it.
    """
    if started_by_torchrun():
        distributed.init_process_group("gloo")
        share = Share(distributed.get_rank(), distributed.get_world_size())
        run_in(share, work, arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            meeting = Path(folder, "meeting").as_uri()
            spawn(join, (processes, meeting, work, arguments), nprocs=processes)


def join(
    rank: int, processes: int, meeting: str, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """What a new process does."""
    torch.set_num_threads(max(torch.get_num_threads() // processes, 1))
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    run_in(Share(rank, processes), work, arguments)


def run_in(share: Share, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        work(Crew(share), *arguments)
    finally:
        distributed.destroy_process_group()
