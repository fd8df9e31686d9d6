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
from ctm.models.feedforward import Head
from ctm.models.lstm import LSTMStart

DEEPEST = 256  # layers


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


@dataclass
class QuestionEncoderConfig(EncoderConfig):
    """Images shown one by one, then the codes of a question; for model.reading=scheduled."""

    reads: ClassVar[tuple[InputKind, ...]] = (InputKind.questions,)
    axes: ClassVar[int] = 2
    kind: str = "questions"


@dataclass
class SymbolEncoderConfig(EncoderConfig):
    """A learned vector a symbol, shown one after the other; for model.reading=streamed."""

    reads: ClassVar[tuple[InputKind, ...]] = (InputKind.symbols,)
    axes: ClassVar[int] = 1
    kind: str = "symbols"

    def __post_init__(self) -> None:
        wanted(self.positions is Positions.none, "model.encoder.positions", self.positions,
               "none: where a symbol stands is when it is shown")  # fmt: skip


ENCODERS: dict[str, type[EncoderConfig]] = {
    "parity": ParityEncoderConfig,
    "vector": VectorEncoderConfig,
    "none": NoEncoderConfig,
    "conv": ConvEncoderConfig,
    "shallow_wide": ShallowWideEncoderConfig,
    "resnet": ResNetEncoderConfig,
    "questions": QuestionEncoderConfig,
    "symbols": SymbolEncoderConfig,
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
class ModelConfig:
    """Settings that all models share."""

    parts: ClassVar[dict[str, Any]] = {"encoder": ENCODERS}

    kind: str = MISSING
    dropout: float = 0.0
    readout: Readout = Readout.certain  # what predicts, unless asked otherwise
    encoder: EncoderConfig = MISSING

    def __post_init__(self) -> None:
        check_probabilities(self, "dropout")


@dataclass
class TickingConfig(ModelConfig):
    """Settings of all models that think in ticks; behind each the paper's letter, if it has one."""

    ticks: int = 50  # T
    d_input: int = 128
    reading: ReadingKind = ReadingKind.attention
    heads: int = 4  # of the attention
    pairing: Pairing = Pairing.semi_dense
    sync_out: int = 32  # neurons, or pairs where pairing is random
    sync_action: int = 32
    self_pairs: int = 0  # of the random pairs
    checkpoint_ticks: int | None = None  # recompute stretches of so many ticks; null: keep all

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(1, self, "ticks", "d_input", "sync_out")
        check_at_least(0, self, "sync_action", "self_pairs")
        check_checkpoint_ticks(self.checkpoint_ticks)
        if self.reading.asks:
            self._check_attention()
        self._check_self_pairs()

    def _check_attention(self) -> None:
        fits = self.heads >= 1 and self.d_input % self.heads == 0
        wanted(fits, "model.heads", self.heads, f"a divisor of model.d_input={self.d_input}")
        wanted(
            self.sync_action >= 1 or self.pairing is Pairing.none,
            "model.sync_action",
            self.sync_action,
            "1 or more: attention is queried by it (model.reading=direct and streamed are not)",
        )

    def _check_self_pairs(self) -> None:
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

    def check_dense(self, name: str, neurons: int) -> None:
        """Dense pairing takes so many neurons of those that there are."""
        for sync in ("sync_out", "sync_action"):
            wanted(
                self.pairing is not Pairing.dense or getattr(self, sync) <= neurons,
                f"model.{sync}",
                getattr(self, sync),
                f"at most model.{name}={neurons} with model.pairing=dense",
            )


@dataclass
class CTMConfig(TickingConfig):
    """A Continuous Thought Machine."""

    kind: str = "ctm"
    neurons: int = 512  # D
    memory_length: int = 25  # M
    synapse_depth: int = 1  # 1: MLP; more: levels of the U-Net
    neuron_models: NeuronModels = NeuronModels.private
    nlm_hidden: int = 16  # 0: linear
    nlm_layernorm: bool = False
    dropout_nlm: float | None = None  # null: as dropout
    engine: Engine = Engine.fast
    # recompute neuron-level models in the backward pass: most of the memory, little of the time
    checkpoint_neurons: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(1, self, "neurons", "memory_length")
        check_depth(self, "synapse_depth")
        check_at_least(0, self, "nlm_hidden")
        check_probabilities(self, "dropout_nlm")
        self.check_dense("neurons", self.neurons)


@dataclass
class LSTMConfig(TickingConfig):
    """An LSTM that reads and answers as the machine does."""

    kind: str = "lstm"
    width: int = 512  # of the hidden state
    layers: int = 1
    reads_hidden: bool = False  # its input is concat(o, hidden state), not o alone
    starts: LSTMStart = LSTMStart.own
    pairing: Pairing = (
        Pairing.none
    )  # hidden states ask and answer; else how pairs of them are drawn

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(1, self, "width")
        check_depth(self, "layers")
        self.check_dense("width", self.width)


@dataclass
class TransformerConfig(ModelConfig):
    """A Transformer encoder: plain with one tick, looped with more."""

    kind: str = "transformer"
    ticks: int = 1  # passes through the same blocks, an answer after each
    layers: int = 4  # blocks of a pass
    width: int = 128  # of the tokens inside
    hidden: int = 512  # of the blocks' MLPs
    heads: int = 4
    d_input: int = 128  # of the encoder's tokens
    answers: int = 1  # given by one pass: of a plain one that says labels one after the other
    checkpoint_ticks: int | None = None  # recompute stretches of so many ticks; null: keep all

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(1, self, "ticks", "width", "hidden", "heads", "d_input", "answers")
        check_depth(self, "layers")
        check_checkpoint_ticks(self.checkpoint_ticks)
        wanted(self.width % (2 * self.heads) == 0, "model.width", self.width,
               f"a multiple of 2 x model.heads={self.heads}")  # fmt: skip
        wanted(self.answers == 1 or self.ticks == 1, "model.answers", self.answers,
               f"1: with model.ticks={self.ticks} each tick answers")  # fmt: skip


@dataclass
class FeedForwardConfig(ModelConfig):
    """Features, two linear layers or three, one answer."""

    kind: str = "feedforward"
    hidden: int = 256
    second: int = 0  # width of a second hidden layer; 0: there is none
    head: Head = Head.pooled
    d_input: int = 128  # of the encoder's features, where it leaves that open
    answers: int = 1  # given at once: labels said one after the other

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(1, self, "hidden", "d_input", "answers")
        check_at_least(0, self, "second")
        wanted(self.head is not Head.flat or self.hidden % 2 == 0,
               "model.hidden", self.hidden, "even: model.head=flat halves it")  # fmt: skip


MODELS: dict[str, type[ModelConfig]] = {
    "ctm": CTMConfig,
    "lstm": LSTMConfig,
    "feedforward": FeedForwardConfig,
    "transformer": TransformerConfig,
}


def check_at_least(least: int, config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        wanted(value >= least, f"model.{name}", value, f"{least} or more")


def check_depth(config: Any, name: str) -> None:
    """Layers are made one by one: a file with a wrong number must not keep anyone busy for long."""
    value = getattr(config, name)
    wanted(1 <= value <= DEEPEST, f"model.{name}", value, f"1 to {DEEPEST}")


def check_checkpoint_ticks(ticks: int | None) -> None:
    wanted(ticks is None or ticks >= 1, "model.checkpoint_ticks", ticks, "1 or more, or null")


def check_probabilities(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        wanted(value is None or 0 <= value < 1, f"model.{name}", value, "0 <= p < 1")


def check_kind(config: Any, kinds: Mapping[str, type], group: str) -> None:
    """Refuses settings whose `kind` was changed by hand to that of another class."""
    if kinds.get(config.kind) is not type(config):
        raise ConfigError(
            f"{group.replace('/', '.')}.kind={config.kind}: not the kind of these settings; "
            f"choose by group: {', '.join(f'{group}={kind}' for kind in kinds)}"
        )
