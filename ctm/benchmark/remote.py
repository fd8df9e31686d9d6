"""Contenders in processes of their own.

A process keeps the memory that its earlier steps have freed, cut as those needed it. In one process
with others a contender would meet theirs, and pay for fresh pages at every step. All of them keep
freed memory as training does (`ctm.allocator`), the textbook too.
"""

import multiprocessing
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import torch

from ctm.allocator import keep_freed_memory
from ctm.benchmark.contenders import Contender, Runner
from ctm.benchmark.rows import Row
from ctm.benchmark.timing import synchronize
from ctm.errors import UserError

BUILD, INFER, TRAIN = "build", "infer", "train"


class Remote:
    """A `Runner` elsewhere: one call at a time, each waited for.

    Raises:
        torch.OutOfMemoryError: it ran out of memory there.
        UserError: the process ended, or failed otherwise.
    """

    def __init__(self, contender: Contender, row: Row, device: str) -> None:
        self.name = f"{row.name}, {contender.name}"
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(
            target=serve, args=(other, contender, row, device), daemon=True
        )
        self.process.start()
        other.close()
        self.call(BUILD)

    def infer(self) -> None:
        self.call(INFER)

    def train(self) -> None:
        self.call(TRAIN)

    def call(self, what: str) -> None:
        try:
            self.pipe.send(what)
            fault, full = self.pipe.recv()
        except (EOFError, BrokenPipeError):
            raise UserError(f"{self.name}: its process ended; is there memory enough?") from None
        if full:
            raise torch.OutOfMemoryError(fault)
        if fault:
            raise UserError(f"{self.name}: {fault}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.pipe.close()  # which ends the other side's loop
        self.process.join(10)
        self.process.kill()


def serve(pipe: Connection, contender: Contender, row: Row, device: str) -> None:
    """Does what it is told until the pipe is closed; answers with what went wrong, if anything."""
    keep_freed_memory()
    runner: Runner | None = None
    while True:
        try:
            what = pipe.recv()
        except EOFError:
            return
        try:
            if runner is None:
                runner = Runner(contender, row, device)
            elif what == INFER:
                runner.infer()
            elif what == TRAIN:
                runner.train()
            synchronize(device)
        except torch.OutOfMemoryError as error:
            pipe.send((str(error), True))
        except Exception as error:  # whatever it is, the parent says it
            pipe.send((f"{type(error).__name__}: {error}", False))
        else:
            pipe.send(("", False))
