"""Training data without end, in which batch number k is a function of the seed and k alone.

So the position in the data is the number of the next batch: a run resumes by asking for it, worker
processes can't change the order, and ranks take parts that never overlap.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ctm.errors import UserError
from ctm.interface import Batch
from ctm.tasks.task import Examples
from ctm.training.interrupts import Interrupts

ORDER, CONTENT = 0, 1  # what a generator is for; they never share a state


def generator_for(*key: int) -> torch.Generator:
    """A generator whose state depends on all the numbers of the key."""
    (state,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state))


@lru_cache(maxsize=2)  # a batch may run across the end of an epoch
def order_of(seed: int, epoch: int, size: int) -> Int[Tensor, " size"]:
    """The shuffled order of an epoch."""
    return torch.randperm(size, generator=generator_for(seed, ORDER, epoch))


def ignore_signals(worker: int) -> None:
    """Leaves it to the training process to end the workers, once it has saved.

    Schedulers and terminals send their signals to the whole group of processes.
    """
    for number in Interrupts.SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Stream(Dataset[Batch]):
    """Batches of training examples, `stream[k]` the k-th of this rank.

    Fixed sets are gone through in a new random order each epoch; batches run across the ends of
    epochs, so all have the same size.

    Args:
        only: so many examples, again and again; None: all that there are. Of a fixed set these are
            the first, whatever the seed; where examples are made up, the first so many of the seed,
            a multiple of the batch.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        only: int | None = None,
    ) -> None:
        if only is not None and only > (examples.size or only):
            raise UserError(f"trainer.examples={only}: there are {examples.size} to train on")
        if examples.size is None and only is not None and only % (batch_size * ranks):
            want = f"a multiple of {batch_size * ranks}"
            raise UserError(f"trainer.examples={only}: want {want}, whole batches of made-up ones")
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self.rank, self.ranks = rank, ranks
        self.only = only

    def __getitem__(self, k: int) -> Batch:
        if self.examples.size is None and self.only is not None:
            k %= self.only // (self.batch_size * self.ranks)
        first = (k * self.ranks + self.rank) * self.batch_size
        indices = torch.arange(first, first + self.batch_size)
        if self.examples.size is not None:
            indices = self._shuffled(indices, self.only or self.examples.size)
        return self.examples.take(indices, generator_for(self.seed, CONTENT, self.rank, k))

    def _shuffled(self, places: Int[Tensor, " batch"], size: int) -> Int[Tensor, " batch"]:
        """Which example stands at each place of the endless row of shuffled epochs."""
        epochs = places // size
        indices = torch.empty_like(places)
        for epoch in epochs.unique().tolist():
            here = epochs == epoch
            indices[here] = order_of(self.seed, epoch, size)[places[here] % size]
        return indices

    def batches(self, start: int, stop: int, *, workers: int, pin: bool) -> Iterator[Batch]:
        """Batches `start` to `stop - 1`, prepared ahead by worker processes if there are any."""
        loader = DataLoader(
            Outcomes(self),
            batch_size=None,  # they are batches already
            sampler=range(start, stop),
            num_workers=workers,
            pin_memory=pin,
            worker_init_fn=ignore_signals if workers else None,
            # else it would draw from the global generator, once more at each resume
            generator=torch.Generator(),
        )
        for outcome in loader:
            if isinstance(outcome, UserError):
                raise outcome
            yield outcome


@dataclass(frozen=True)
class Outcomes(Dataset[Batch | UserError]):
    """Batches, or what a user got wrong in the data.

    An error that a worker process raised would come here as the text of its whole traceback.
    """

    stream: Stream

    def __getitem__(self, k: int) -> Batch | UserError:
        try:
            return self.stream[k]
        except UserError as error:
            return error
