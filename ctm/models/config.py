"""What describes a model: the schema of the command line and of `config.json` beside weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from omegaconf import MISSING

from ctm.config import wanted
from ctm.errors import ConfigError
from ctm.interface import InputKind, Readout
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.layers.sync import Pairing


@dataclass
class EncoderConfig:
    """Settings that all encoders share."""

    reads: ClassVar[tuple[InputKind, ...]] = ()  # kinds of inputs
    axes: ClassVar[int] = 0  # of the grid of tokens; 0: no tokens

    kind: str = MISSING
    positions: Positions = Positions.none


@dataclass
class ParityEncoderConfig(EncoderConfig):
    """A learned vector for +1 and one for -1."""

    reads: ClassVar[tuple[InputKind, ...]] = (InputKind.signs,)
    axes: ClassVar[int] = 1
    kind: str = "parity"
    positions: Positions = Positions.rotational_1d


@dataclass
class VectorEncoderConfig(EncoderConfig):
    """Every number becomes a token."""

    reads: ClassVar[tuple[InputKind, ...]] = (InputKind.vector, InputKind.signs)
    axes: ClassVar[int] = 1
    kind: str = "vector"
    positions: Positions = Positions.rotational_1d


@dataclass
class NoEncoderConfig(EncoderConfig):
    """The input vector as it is."""

    reads: ClassVar[tuple[InputKind, ...]] = (InputKind.vector, InputKind.signs)
    kind: str = "none"


@dataclass
class ConvEncoderConfig(EncoderConfig):
    """3x3 convolutions that keep the size: a token a pixel."""

    reads: ClassVar[tuple[InputKind, ...]] = (InputKind.image,)
    axes: ClassVar[int] = 2
    kind: str = "conv"
    positions: Positions = Positions.rotational_2d
    widths: list[int] = field(default_factory=lambda: [32, 64])


@dataclass
class ShallowWideEncoderConfig(EncoderConfig):
    """Two wide gated convolutions."""

    reads: ClassVar[tuple[InputKind, ...]] = (InputKind.image,)
    axes: ClassVar[int] = 2
    kind: str = "shallow_wide"


@dataclass
class ResNetEncoderConfig(EncoderConfig):
    """`resnet34-2` of the paper is depth 34, stages 2."""

    reads: ClassVar[tuple[InputKind, ...]] = (InputKind.image,)
    axes: ClassVar[int] = 2
    kind: str = "resnet"
    depth: int = 18
    stages: int = 2


ENCODERS: dict[str, type[EncoderConfig]] = {
    "parity": ParityEncoderConfig,
    "vector": VectorEncoderConfig,
    "none": NoEncoderConfig,
    "conv": ConvEncoderConfig,
    "shallow_wide": ShallowWideEncoderConfig,
    "resnet": ResNetEncoderConfig,
}


class Engine(StrEnum):
    """How a machine is computed; the numbers are equal."""

    eager = "eager"  # as machine.py writes it
    fast = "fast"  # what ticks share is done once a pass, gradients of many ticks together
    compiled = "compiled"  # as machine.py writes it, the tick compiled by torch: a slow first call


class NeuronModels(StrEnum):
    private = "private"  # each neuron has its own
    none = "none"  # the pre-activation is the post-activation


@dataclass
class CTMConfig:
    """A Continuous Thought Machine; behind each setting the paper's letter, where it has one."""

    parts: ClassVar[dict[str, Any]] = {"encoder": ENCODERS}

    kind: str = "ctm"
    ticks: int = 50  # T
    neurons: int = 512  # D
    memory_length: int = 25  # M
    d_input: int = 128
    reading: ReadingKind = ReadingKind.attention
    heads: int = 4  # of the attention
    synapse_depth: int = 1  # 1: MLP; more: levels of the U-Net
    neuron_models: NeuronModels = NeuronModels.private
    nlm_hidden: int = 16  # 0: linear
    nlm_layernorm: bool = False
    pairing: Pairing = Pairing.semi_dense
    sync_out: int = 32  # neurons, or pairs where pairing is random
    sync_action: int = 32
    self_pairs: int = 0  # of the random pairs
    dropout: float = 0.0
    dropout_nlm: float | None = None  # null: as dropout
    readout: Readout = Readout.certain  # what predicts, unless asked otherwise
    engine: Engine = Engine.fast
    # recompute in the backward pass, to save memory:
    checkpoint_neurons: bool = False  # neuron-level models: most of the memory, little of the time
    checkpoint_ticks: int | None = None  # recompute stretches of so many ticks; null: keep all
    encoder: EncoderConfig = MISSING

    def __post_init__(self) -> None:
        for name in ("ticks", "neurons", "memory_length", "d_input", "synapse_depth", "sync_out"):
            wanted(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "1 or more")
        for name in ("sync_action", "self_pairs", "nlm_hidden"):
            wanted(getattr(self, name) >= 0, f"model.{name}", getattr(self, name), "0 or more")
        wanted(self.checkpoint_ticks is None or self.checkpoint_ticks >= 1,
               "model.checkpoint_ticks", self.checkpoint_ticks, "1 or more, or null")  # fmt: skip
        for name in ("dropout", "dropout_nlm"):
            value = getattr(self, name)
            wanted(value is None or 0 <= value < 1, f"model.{name}", value, "0 <= p < 1")
        self._check_reading()
        self._check_pairing()

    def _check_reading(self) -> None:
        if self.reading is ReadingKind.attention:
            fits = self.heads >= 1 and self.d_input % self.heads == 0
            wanted(fits, "model.heads", self.heads, f"a divisor of model.d_input={self.d_input}")
            wanted(
                self.sync_action >= 1,
                "model.sync_action",
                self.sync_action,
                "1 or more: attention is queried by it (or set model.reading=direct)",
            )

    def _check_pairing(self) -> None:
        if self.pairing is Pairing.random:
            fewer = min(self.sync_out, self.sync_action or self.sync_out)
            wanted(
                self.self_pairs <= fewer,
                "model.self_pairs",
                self.self_pairs,
                f"at most the {fewer} pairs of model.sync_out / model.sync_action",
            )
            return
        wanted(
            self.self_pairs == 0,
            "model.self_pairs",
            self.self_pairs,
            f"0: model.pairing={self.pairing} has its own pairs (or set model.pairing=random)",
        )
        if self.pairing is Pairing.dense:
            for name in ("sync_out", "sync_action"):
                wanted(
                    getattr(self, name) <= self.neurons,
                    f"model.{name}",
                    getattr(self, name),
                    f"at most model.neurons={self.neurons} with model.pairing=dense",
                )


MODELS: dict[str, type[CTMConfig]] = {"ctm": CTMConfig}


def check_kind(config: Any, kinds: Mapping[str, type], group: str) -> None:
    """Refuses settings whose `kind` was changed by hand to that of another class."""
    if kinds.get(config.kind) is not type(config):
        raise ConfigError(
            f"{group.replace('/', '.')}.kind={config.kind}: not the kind of these settings; "
            f"choose by group: {', '.join(f'{group}={kind}' for kind in kinds)}"
        )
