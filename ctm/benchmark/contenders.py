"""Who competes: the textbook's loop and the engines that compute the same function."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ctm.benchmark.rows import Row
from ctm.benchmark.textbook import TextbookCTM
from ctm.interface import Thoughts
from ctm.models.build import build_model
from ctm.models.config import CTMConfig, Engine


@dataclass(frozen=True)
class Contender:
    """A way to compute a machine.

    Args:
        name: on the command line.
        title: in tables.
        textbook: in the published code's loop instead of an engine's.
        bfloat16: under autocast.
        checkpointed: chunks of ticks are computed again in the backward pass.
        lean: neuron-level models are.
    """

    name: str
    title: str
    engine: Engine = Engine.eager
    textbook: bool = False
    bfloat16: bool = False
    checkpointed: bool = False
    lean: bool = False

    def config(self, row: Row) -> CTMConfig:
        ticks = row.checkpoint_ticks if self.checkpointed else None
        return replace(
            row.config,
            engine=self.engine,
            checkpoint_ticks=ticks,
            checkpoint_neurons=self.lean,
        )

    def build(self, row: Row, device: str = "cpu") -> nn.Module:
        """Maps inputs to Thoughts; all contenders start from the same weights."""
        machine = build_model(self.config(row), row.spec, device=device)
        return TextbookCTM(machine) if self.textbook else machine

    def precision(self, device: str) -> AbstractContextManager:
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(torch.device(device).type, torch.bfloat16)

    @property
    def peak(self) -> str:
        """The precision of the matrix products that it is measured by."""
        return "bfloat16" if self.bfloat16 else "float32"


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("textbook", "textbook", textbook=True),
        Contender("eager", "eager", Engine.eager),
        Contender("fast", "fast", Engine.fast),
        Contender("compiled", "compiled", Engine.compiled),
        Contender("bf16", "fast, bfloat16", Engine.fast, bfloat16=True),
        Contender("lean", "fast, neurons recomputed", Engine.fast, lean=True),
        Contender("checkpointed", "fast, ticks recomputed", Engine.fast, checkpointed=True),
    )
}


class Runner:
    """A contender on a row, ready to be called again and again."""

    def __init__(self, contender: Contender, row: Row, device: str = "cpu") -> None:
        self.contender, self.device = contender, device
        self.model = contender.build(row, device)
        self.loss = row.loss
        self.inputs, self.targets = row.inputs(device), row.targets(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)

    def think(self) -> Thoughts:
        with self.contender.precision(self.device):
            return self.model(self.inputs)

    @torch.inference_mode()
    def infer(self) -> Tensor:
        """One inference call; returns the logits."""
        self.model.eval()
        return self.think().logits

    def train(self) -> None:
        """One training step: forward, loss, backward, AdamW."""
        self.model.train()
        thoughts = self.think()
        self.loss(thoughts, self.targets).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
