"""Small machines, and what to feed them."""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ctm.interface import InputKind, TaskSpec
from ctm.layers.initialize import initialize
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.layers.sync import Pairing
from ctm.models.build import build_model
from ctm.models.config import (
    ConvEncoderConfig,
    CTMConfig,
    EncoderConfig,
    NeuronModels,
    NoEncoderConfig,
    ParityEncoderConfig,
    ResNetEncoderConfig,
    VectorEncoderConfig,
)
from ctm.models.machine import ContinuousThoughtMachine

Module = TypeVar("Module", bound=nn.Module)

SIGNS = TaskSpec(InputKind.signs, (5,), (5, 2))
IMAGE = TaskSpec(InputKind.image, (2, 5, 4), (4,))
VECTOR = TaskSpec(InputKind.vector, (6,), (3,))
ROUTE = TaskSpec(InputKind.image, (3, 4, 4), (6, 5))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(encoder: EncoderConfig | None = None, **settings: Any) -> CTMConfig:
    """Settings of a machine of few neurons; it reads signs unless told otherwise."""
    sizes: dict[str, Any] = {
        "ticks": 4,
        "neurons": 12,
        "memory_length": 3,
        "d_input": 6,
        "heads": 2,
        "nlm_hidden": 2,
        "sync_out": 4,
        "sync_action": 3,
    }
    return CTMConfig(**sizes | settings, encoder=encoder or ParityEncoderConfig())


def perturb(model: nn.Module, seed: int = 0) -> None:
    """Moves all weights off their starting points, and some decays out of their range."""
    random = generator(seed)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            noise = torch.rand(value.shape, generator=random, dtype=torch.float64)
            if name.endswith("decay"):
                far = torch.rand(value.shape, generator=random) < 0.4
                value.copy_(torch.where(far, 21 * noise - 3, noise))
            elif value.is_floating_point():  # running variances stay above zero
                value.add_(noise - 0.5 if not name.endswith("running_var") else noise)


def started(module: Module, seed: int = 0) -> Module:
    """A single layer with its first weights."""
    with torch.no_grad():
        initialize(module, generator(seed))
    return module


def perturbed(module: Module, seed: int = 0) -> Module:
    """A single layer with weights to compute with: perturbed, float64, in eval mode."""
    perturb(started(module, seed), seed)
    return module.double().eval()


@dataclass(frozen=True)
class Variant:
    """A machine and a task of its own."""

    config: CTMConfig
    spec: TaskSpec

    def fresh(self, seed: int = 0) -> ContinuousThoughtMachine:
        return build_model(self.config, self.spec, seed=seed)

    def model(self, seed: int = 0) -> ContinuousThoughtMachine:
        """With perturbed weights, in eval mode."""
        model = self.fresh(seed)
        perturb(model, seed)
        return model.eval()

    def inputs(self, batch: int = 3, seed: int = 1) -> Tensor:
        inputs = torch.randn(batch, *self.spec.input_shape, generator=generator(seed))
        return inputs.sign() if self.spec.input_kind is InputKind.signs else inputs

    def targets(self, batch: int = 3, seed: int = 2) -> Tensor:
        shape = (batch, *self.spec.output_shape[:-1])
        return torch.randint(self.spec.classes, shape, generator=generator(seed))


def variant(spec: TaskSpec, encoder: EncoderConfig, **settings: Any) -> Variant:
    return Variant(small(encoder, **settings), spec)


# Each part of a machine at least once.
VARIANTS: dict[str, Variant] = {
    "parity": variant(SIGNS, ParityEncoderConfig()),
    "vector_random_linear": variant(
        VECTOR, VectorEncoderConfig(), pairing=Pairing.random, self_pairs=2, nlm_hidden=0
    ),
    "conv_dense_unet_layernorm": variant(
        IMAGE,
        ConvEncoderConfig(widths=[4, 6]),
        pairing=Pairing.dense,
        synapse_depth=3,
        nlm_layernorm=True,
    ),
    "resnet_fourier": variant(
        IMAGE, ResNetEncoderConfig(depth=18, stages=1, positions=Positions.fourier)
    ),
    "direct": variant(
        VECTOR, NoEncoderConfig(), reading=ReadingKind.direct, pairing=Pairing.random, ticks=6
    ),
    "no_neuron_models": variant(
        SIGNS, ParityEncoderConfig(), neuron_models=NeuronModels.none, synapse_depth=2
    ),
}
