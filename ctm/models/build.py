"""From a description to a model; `build_encoder.py` makes its encoder."""

import math
from typing import TypeVar, overload

import torch
from torch import nn

from ctm.errors import ConfigError
from ctm.interface import InputKind, TaskSpec
from ctm.layers.backbones import Backbone, Numbers
from ctm.layers.encoders import Placed, RawEncoder, ShownTogether, TokenEncoder
from ctm.layers.initialize import initialize
from ctm.layers.neurons import NeuronLevelModels, NoNeuronModels
from ctm.layers.positions import Positions
from ctm.layers.questions import QuestionEncoder
from ctm.layers.reading import (
    AttentionReader,
    DirectReader,
    Reader,
    ReadingKind,
    ScheduledReader,
    StreamReader,
)
from ctm.layers.symbols import SymbolEncoder
from ctm.layers.synapses import synapse
from ctm.layers.sync import Activations, Pairing, Synchronisation
from ctm.models import fast
from ctm.models.asking import AskingParts
from ctm.models.build_encoder import build_backbone, build_encoder, refuse_other_inputs
from ctm.models.config import (
    CTMConfig,
    Engine,
    FeedForwardConfig,
    LSTMConfig,
    ModelConfig,
    NeuronModels,
    NoEncoderConfig,
    QuestionEncoderConfig,
    SymbolEncoderConfig,
    TickingConfig,
    TransformerConfig,
)
from ctm.models.feedforward import FeedForward, Head
from ctm.models.lstm import LSTM
from ctm.models.machine import ContinuousThoughtMachine
from ctm.models.stretches import Stretches
from ctm.models.ticking import TickingModel
from ctm.models.transformer import Transformer

Model = TickingModel | FeedForward
M = TypeVar("M", bound=nn.Module)


@overload
def build_model(
    config: CTMConfig, spec: TaskSpec, *, seed: int = 0, device: torch.device | str = "cpu"
) -> ContinuousThoughtMachine: ...
@overload
def build_model(
    config: ModelConfig, spec: TaskSpec, *, seed: int = 0, device: torch.device | str = "cpu"
) -> Model: ...
def build_model(
    config: ModelConfig,
    spec: TaskSpec,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Model:
    """A model with fresh weights.

    The weights depend on `seed` alone and the global random state is left as it was. On the meta
    device the model has shapes and no weights, so one too big for this machine can be described.

    Raises:
        ConfigError: the settings don't fit each other or the task.
    """
    with torch.device("meta"):
        model = assembled(config, spec)
    model = materialise(model, seed=seed, device=device)
    set_computation(model, config)
    return model


def assembled(config: ModelConfig, spec: TaskSpec) -> Model:
    """A model's parts, put together; weights are whatever memory holds."""
    match config:
        case CTMConfig():
            return build_ctm(config, spec)
        case LSTMConfig():
            return build_lstm(config, spec)
        case TransformerConfig():
            return build_transformer(config, spec)
        case FeedForwardConfig():
            return build_feedforward(config, spec)
        case _:
            raise ConfigError(f"model.kind={config.kind}: no such model")


def set_computation(model: Model, config: ModelConfig) -> None:
    """How a model is computed from now on: what changes its time and memory, not its numbers."""
    if isinstance(model, TickingModel) and isinstance(config, TickingConfig | TransformerConfig):
        model.stretches = Stretches(config.checkpoint_ticks)
    if isinstance(model, ContinuousThoughtMachine) and isinstance(config, CTMConfig):
        set_engine(model, config.engine)
        if isinstance(model.neuron_models, NeuronLevelModels):
            model.neuron_models.recompute = config.checkpoint_neurons


def set_engine(model: ContinuousThoughtMachine, engine: Engine | str) -> None:
    """Chooses how a machine is computed from now on."""
    if engine not in list(Engine):
        raise ConfigError(f"engine={engine}: choose one of {', '.join(Engine)}")
    engine = Engine(engine)
    vars(model).pop("tick", None)  # a compiled one
    model.engine = model.walk = None
    if any(weight.is_meta for weight in model.parameters()):
        return  # without numbers there is nothing to hurry
    if engine is Engine.fast and isinstance(model.sync_out, Synchronisation):
        # (an ablation without synchronisation is computed as it reads)
        model.engine, model.walk = fast.think, fast.Walk
    elif engine is Engine.compiled:
        # a graph each for the first tick and the others, training and evaluation, and the last,
        # smaller batch of evaluation: as many as torch would take for a mistake
        torch._dynamo.config.recompile_limit = 32
        model.tick = torch.compile(model.tick, fullgraph=True)


def materialise(model: M, *, seed: int, device: torch.device | str) -> M:
    """Gives a model made on the meta device its memory and its first weights."""
    if torch.device(device).type == "meta":
        return model
    model.to_empty(device="cpu")  # weights are drawn here, so that they are the same everywhere
    with torch.no_grad():
        initialize(model, torch.Generator().manual_seed(seed))
    return model.to(device)


def build_ctm(config: CTMConfig, spec: TaskSpec) -> ContinuousThoughtMachine:
    sync_action, sync_out = build_syncs(config, config.neurons)
    if config.neuron_models is NeuronModels.none:
        neuron_models = NoNeuronModels()
    else:
        neuron_models = NeuronLevelModels(
            neurons=config.neurons,
            memory_length=config.memory_length,
            hidden=config.nlm_hidden,
            dropout=config.dropout if config.dropout_nlm is None else config.dropout_nlm,
            layernorm=config.nlm_layernorm,
        )
    return ContinuousThoughtMachine(
        neurons=config.neurons,
        memory_length=config.memory_length,
        synapse=synapse(
            d_in=config.d_input + config.neurons,
            neurons=config.neurons,
            depth=config.synapse_depth,
            dropout=config.dropout,
        ),
        neuron_models=neuron_models,
        sync_action=sync_action,
        sync_out=sync_out,
        **asking_parts(config, spec, sync_action.pairs),
    )


def build_lstm(config: LSTMConfig, spec: TaskSpec) -> LSTM:
    sync_action, sync_out = build_syncs(config, config.width)
    return LSTM(
        width=config.width,
        layers=config.layers,
        d_input=config.d_input,
        reads_hidden=config.reads_hidden,
        starts=config.starts,
        sync_action=sync_action,
        sync_out=sync_out,
        **asking_parts(config, spec, sync_action.pairs),
    )


def build_transformer(config: TransformerConfig, spec: TaskSpec) -> Transformer:
    encoder = build_encoder(config.encoder, spec, config.d_input)
    if not isinstance(encoder, Placed):
        raise ConfigError(
            f"model/encoder={config.encoder.kind}: gives no tokens, and model=transformer reads "
            "nothing else; choose model/encoder=vector"
        )
    return Transformer(
        width=config.width,
        hidden=config.hidden,
        layers=config.layers,
        heads=config.heads,
        d_input=config.d_input,
        answers=config.answers,
        dropout=config.dropout,
        ticks=config.ticks,
        encoder=encoder,
        output_shape=spec.output_shape,
    )


def build_feedforward(config: FeedForwardConfig, spec: TaskSpec) -> FeedForward:
    refuse_other_inputs(config.encoder, spec)
    if config.encoder.positions is not Positions.none:
        raise ConfigError(
            f"model.encoder.positions={config.encoder.positions}: model=feedforward has no tokens "
            "to add them to; want none"
        )
    backbone = features_of(config, spec)
    places = 1
    if config.head is Head.flat:
        places = 0 if isinstance(backbone, ShownTogether) else places_of(backbone, spec)
        if not places:
            raise ConfigError("model.head=flat: the task's inputs have no fixed size; want pooled")
    return FeedForward(
        backbone=backbone,
        features=backbone.width * places,
        hidden=config.hidden,
        second=config.second,
        head=config.head,
        dropout=config.dropout,
        output_shape=spec.output_shape,
        answers=config.answers,
    )


def features_of(config: FeedForwardConfig, spec: TaskSpec) -> Backbone:
    """The encoder's backbone, or all that it shows."""
    match config.encoder:
        case NoEncoderConfig():
            return Numbers()
        case QuestionEncoderConfig() | SymbolEncoderConfig():
            encoder = build_encoder(config.encoder, spec, config.d_input)
            assert isinstance(encoder, Placed)
            return ShownTogether(encoder=encoder, width=config.d_input)
        case _:
            return build_backbone(config.encoder, spec, width=config.d_input)


def places_of(backbone: Backbone, spec: TaskSpec) -> int:
    """Of the features of one input; 0 where inputs have no fixed size."""
    image = spec.input_kind is InputKind.image
    return math.prod(backbone.grid(*(spec.input_shape[1:] if image else spec.input_shape)))


# -- parts that models share -----------------------------------------------------------------------


def build_syncs(
    config: TickingConfig, neurons: int
) -> tuple[Synchronisation | Activations, Synchronisation | Activations]:
    """What asks and what answers."""
    if config.pairing is Pairing.none:
        asking = neurons if config.reading.asks else 0
        return Activations(neurons=asking), Activations(neurons=neurons)

    def drawn(sync: int, *, from_end: bool) -> Synchronisation:
        return Synchronisation(
            neurons=neurons,
            sync=sync,
            pairing=config.pairing,
            self_pairs=config.self_pairs,
            from_end=from_end,
        )

    if config.reading.asks:
        asks = drawn(config.sync_action, from_end=True)
    else:
        # nothing is asked: a synchronisation of no pairs
        asks = Synchronisation(neurons=neurons, sync=0, pairing=Pairing.random)
    return asks, drawn(config.sync_out, from_end=False)


def asking_parts(config: TickingConfig, spec: TaskSpec, asking: int) -> AskingParts:
    """The parts of every model that asks its data.

    Args:
        asking: numbers that ask the data at a tick.
    """
    encoder = build_encoder(config.encoder, spec, config.d_input)
    if not isinstance(encoder, READ_BY[config.reading]):
        (instead,) = (kind for kind, other in READ_BY.items() if isinstance(encoder, other))
        raise ConfigError(
            f"model.reading={config.reading}: model/encoder={config.encoder.kind} gives "
            f"{GIVES[instead]}; choose {FITTING[config.reading]} or model.reading={instead}"
        )
    return AskingParts(
        ticks=config.ticks,
        encoder=encoder,
        reader=build_reader(config, asking),
        output_shape=spec.output_shape,
    )


def build_reader(config: TickingConfig, asking: int) -> Reader:
    match config.reading:
        case ReadingKind.direct:
            return DirectReader()
        case ReadingKind.streamed:
            return StreamReader()
        case ReadingKind.attention | ReadingKind.scheduled:
            scheduled = config.reading is ReadingKind.scheduled
            return (ScheduledReader if scheduled else AttentionReader)(
                pairs=asking, d_input=config.d_input, heads=config.heads, dropout=config.dropout
            )


READ_BY = {
    ReadingKind.attention: TokenEncoder,
    ReadingKind.direct: RawEncoder,
    ReadingKind.scheduled: QuestionEncoder,
    ReadingKind.streamed: SymbolEncoder,
}
FITTING = {
    ReadingKind.attention: "another encoder",
    ReadingKind.direct: "model/encoder=none",
    ReadingKind.scheduled: "model/encoder=questions",
    ReadingKind.streamed: "model/encoder=symbols",
}
GIVES = {
    ReadingKind.attention: "many tokens, not one vector",
    ReadingKind.direct: "no tokens",
    ReadingKind.scheduled: "one thing after the other",
    ReadingKind.streamed: "one vector after the other",
}
