"""Contenders in processes of their own answer, or say in a line what went wrong there."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ctm.benchmark.contenders import CONTENDERS
from ctm.benchmark.remote import Remote
from ctm.benchmark.rows import TINY
from ctm.errors import UserError
from ctm.interface import Thoughts


class Failing(nn.Module):
    def forward(self, thoughts: Thoughts, targets: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no room")


def test_a_contender_thinks_and_trains_elsewhere() -> None:
    with Remote(CONTENDERS["fast"], TINY, "cpu") as remote:
        remote.infer()
        remote.train()
    assert not remote.process.is_alive()


def test_a_process_that_ends_is_a_line() -> None:
    with Remote(CONTENDERS["fast"], TINY, "cpu") as remote:
        remote.process.kill()
        remote.process.join()
        with pytest.raises(UserError, match="tiny, fast: its process ended"):
            remote.train()


def test_what_fails_there_is_a_line_and_lack_of_memory_is_told_apart() -> None:
    with pytest.raises(UserError, match=r"tiny, fast: .*nowhere"):
        Remote(CONTENDERS["fast"], TINY, "nowhere")
    with Remote(CONTENDERS["fast"], replace(TINY, loss=Failing()), "cpu") as remote:
        with pytest.raises(torch.OutOfMemoryError, match="no room"):
            remote.train()
        remote.infer()
