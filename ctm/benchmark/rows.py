"""What is measured: machines of the paper's sizes on random inputs of their tasks' shapes.

Three rows of the paper at batches that a laptop can hold, its ImageNet row for GPUs, a medium
machine that cost curves are drawn around, and a tiny one for tests.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from ctm.interface import InputKind, TaskSpec
from ctm.layers.sync import Pairing
from ctm.losses import MazeLoss, TwoTickLoss
from ctm.models.config import CTMConfig, ParityEncoderConfig, ResNetEncoderConfig


@dataclass(frozen=True)
class Row:
    """A machine, the shapes it works on, and how it is trained.

    Args:
        batch: examples of one call.
        checkpoint_ticks: ticks of a chunk where activations are checkpointed.
    """

    name: str
    config: CTMConfig
    spec: TaskSpec
    batch: int
    loss: nn.Module = field(default_factory=TwoTickLoss)
    checkpoint_ticks: int = 15

    def resized(self, *, batch: int | None = None, tokens: int | None = None, **sizes: Any) -> Self:
        """With other sizes: the batch, the length of a parity sequence, settings of the machine."""
        spec = self.spec
        if tokens is not None:
            spec = TaskSpec(spec.input_kind, (tokens,), (tokens, *spec.output_shape[1:]))
        batch = self.batch if batch is None else batch
        return replace(self, config=replace(self.config, **sizes), spec=spec, batch=batch)

    def chunked(self, ticks: int) -> Self:
        """With other chunks where activations are checkpointed."""
        return replace(self, checkpoint_ticks=ticks)

    def without_dropout(self) -> Self:
        return self.resized(dropout=0.0, dropout_nlm=0.0)

    def inputs(self, device: str = "cpu", seed: int = 0) -> Tensor:
        """Random inputs, the same for every contender."""
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(self.batch, *self.spec.input_shape, generator=generator)
        return (inputs.sign() if self.spec.input_kind is InputKind.signs else inputs).to(device)

    def targets(self, device: str = "cpu", seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (self.batch, *self.spec.output_shape[:-1])
        return torch.randint(self.spec.classes, shape, generator=generator).to(device)


def signs(length: int) -> TaskSpec:
    return TaskSpec(InputKind.signs, (length,), (length, 2))


PARITY = Row(
    "parity",
    CTMConfig(
        ticks=75,
        neurons=1024,
        memory_length=25,
        d_input=512,
        heads=8,
        nlm_hidden=16,
        sync_out=32,
        sync_action=32,
        encoder=ParityEncoderConfig(),
    ),
    signs(64),
    batch=64,
    checkpoint_ticks=25,
)

CIFAR10 = Row(
    "cifar10",
    CTMConfig(
        ticks=50,
        neurons=256,
        memory_length=15,
        d_input=64,
        heads=16,
        synapse_depth=5,
        pairing=Pairing.random,
        sync_out=256,
        sync_action=512,
        nlm_hidden=64,
        encoder=ResNetEncoderConfig(depth=18, stages=1),
    ),
    TaskSpec(InputKind.image, (3, 32, 32), (10,)),
    batch=64,
)

MAZES = Row(
    "mazes",
    CTMConfig(
        ticks=75,
        neurons=2048,
        memory_length=25,
        d_input=512,
        heads=16,
        synapse_depth=8,
        pairing=Pairing.dense,
        sync_out=64,
        sync_action=32,
        nlm_hidden=32,
        dropout=0.1,
        encoder=ResNetEncoderConfig(depth=34, stages=2),
    ),
    TaskSpec(InputKind.image, (3, 39, 39), (100, 5)),
    batch=8,
    loss=MazeLoss(),
)

IMAGENET = Row(
    "imagenet",
    CTMConfig(
        ticks=50,
        neurons=4096,
        memory_length=25,
        d_input=1024,
        heads=16,
        synapse_depth=8,
        pairing=Pairing.random,
        sync_out=8196,
        sync_action=2048,
        self_pairs=32,
        nlm_hidden=64,
        dropout=0.2,
        dropout_nlm=0.0,
        encoder=ResNetEncoderConfig(depth=152, stages=4),
    ),
    TaskSpec(InputKind.image, (3, 224, 224), (1000,)),
    batch=64,  # the paper's on each GPU; halved until it fits
    checkpoint_ticks=10,
)

MEDIUM = Row(
    "medium",
    CTMConfig(
        ticks=20,
        neurons=256,
        memory_length=16,
        d_input=128,
        heads=4,
        nlm_hidden=16,
        sync_out=32,
        sync_action=32,
        encoder=ParityEncoderConfig(),
    ),
    signs(32),
    batch=16,
    checkpoint_ticks=5,
)

TINY = Row(
    "tiny",
    CTMConfig(
        ticks=4,
        neurons=16,
        memory_length=4,
        d_input=8,
        heads=2,
        nlm_hidden=2,
        sync_out=4,
        sync_action=4,
        encoder=ParityEncoderConfig(),
    ),
    signs(8),
    batch=4,
    checkpoint_ticks=2,
)

ROWS = {row.name: row for row in (PARITY, CIFAR10, MAZES, IMAGENET, MEDIUM, TINY)}
USUAL_ROWS = ("parity", "cifar10", "mazes")
