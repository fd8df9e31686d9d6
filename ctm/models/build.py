"""From a description to a model: the one place where configs become modules."""

from typing import TypeVar

import torch
from torch import nn

from ctm.errors import ConfigError
from ctm.interface import TaskSpec
from ctm.layers.backbones import NumberEmbedding, ShallowWide, SignEmbedding, SmallConv
from ctm.layers.encoders import RawEncoder, TokenEncoder, check_positions
from ctm.layers.initialize import initialize
from ctm.layers.neurons import NeuronLevelModels, NoNeuronModels
from ctm.layers.reading import AttentionReader, DirectReader, ReadingKind
from ctm.layers.resnet import ResNet
from ctm.layers.synapses import synapse
from ctm.layers.sync import Pairing, Synchronisation
from ctm.models import fast
from ctm.models.config import (
    ENCODERS,
    ConvEncoderConfig,
    CTMConfig,
    EncoderConfig,
    Engine,
    NeuronModels,
    NoEncoderConfig,
    ParityEncoderConfig,
    ResNetEncoderConfig,
    ShallowWideEncoderConfig,
    VectorEncoderConfig,
)
from ctm.models.machine import ContinuousThoughtMachine
from ctm.models.stretches import Stretches

Model = TypeVar("Model", bound=nn.Module)


def build_model(
    config: CTMConfig,
    spec: TaskSpec,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> ContinuousThoughtMachine:
    """A model with fresh weights.

    The weights depend on `seed` alone and the global random state is left as it was. On the meta
    device the model has shapes and no weights, so one too big for this machine can be described.

    Raises:
        ConfigError: the settings don't fit each other or the task.
    """
    with torch.device("meta"):
        model = build_ctm(config, spec)
    model = materialise(model, seed=seed, device=device)
    set_computation(model, config)
    return model


def set_computation(model: ContinuousThoughtMachine, config: CTMConfig) -> None:
    """How a machine is computed from now on: what changes its time and memory, not its numbers."""
    set_engine(model, config.engine)
    model.stretches = Stretches(config.checkpoint_ticks)
    if isinstance(model.neuron_models, NeuronLevelModels):
        model.neuron_models.recompute = config.checkpoint_neurons


def set_engine(model: ContinuousThoughtMachine, engine: Engine | str) -> None:
    """Chooses how a machine is computed from now on."""
    if engine not in list(Engine):
        raise ConfigError(f"engine={engine}: choose one of {', '.join(Engine)}")
    engine = Engine(engine)
    model.__dict__.pop("tick", None)  # a compiled one
    model.engine = None
    if any(weight.is_meta for weight in model.parameters()):
        return  # without numbers there is nothing to hurry
    if engine is Engine.fast:
        model.engine = fast.think
    elif engine is Engine.compiled:
        # a graph each for the first tick and the others, training and evaluation, and the last,
        # smaller batch of evaluation: as many as torch would take for a mistake
        torch._dynamo.config.recompile_limit = 32
        model.tick = torch.compile(model.tick, fullgraph=True)


def materialise(model: Model, *, seed: int, device: torch.device | str) -> Model:
    """Gives a model made on the meta device its memory and its first weights."""
    if torch.device(device).type == "meta":
        return model
    model.to_empty(device="cpu")  # weights are drawn here, so that they are the same everywhere
    with torch.no_grad():
        initialize(model, torch.Generator().manual_seed(seed))
    return model.to(device)


def build_ctm(config: CTMConfig, spec: TaskSpec) -> ContinuousThoughtMachine:
    """The parts of a CTM, put together; weights are whatever memory holds."""
    encoder = build_encoder(config.encoder, spec, config.d_input)
    dropout_nlm = config.dropout if config.dropout_nlm is None else config.dropout_nlm
    sync_out = Synchronisation(
        neurons=config.neurons,
        sync=config.sync_out,
        pairing=config.pairing,
        self_pairs=config.self_pairs,
    )
    if config.reading is ReadingKind.attention:
        if not isinstance(encoder, TokenEncoder):
            raise ConfigError(
                f"model.reading=attention: model/encoder={config.encoder.kind} gives no tokens; "
                "choose another encoder or model.reading=direct"
            )
        sync_action = Synchronisation(
            neurons=config.neurons,
            sync=config.sync_action,
            pairing=config.pairing,
            self_pairs=config.self_pairs,
            from_end=True,
        )
        reader = AttentionReader(
            pairs=sync_action.pairs,
            d_input=config.d_input,
            heads=config.heads,
            dropout=config.dropout,
        )
    else:
        if isinstance(encoder, TokenEncoder):
            raise ConfigError(
                f"model.reading=direct: model/encoder={config.encoder.kind} gives many tokens, not "
                "one vector; choose model/encoder=none or model.reading=attention"
            )
        # nothing is asked: a synchronisation of no pairs
        sync_action = Synchronisation(neurons=config.neurons, sync=0, pairing=Pairing.random)
        reader = DirectReader()
    if config.neuron_models is NeuronModels.none:
        neuron_models = NoNeuronModels()
    else:
        neuron_models = NeuronLevelModels(
            neurons=config.neurons,
            memory_length=config.memory_length,
            hidden=config.nlm_hidden,
            dropout=dropout_nlm,
            layernorm=config.nlm_layernorm,
        )
    return ContinuousThoughtMachine(
        ticks=config.ticks,
        neurons=config.neurons,
        memory_length=config.memory_length,
        encoder=encoder,
        reader=reader,
        synapse=synapse(
            d_in=config.d_input + config.neurons,
            neurons=config.neurons,
            depth=config.synapse_depth,
            dropout=config.dropout,
        ),
        neuron_models=neuron_models,
        sync_action=sync_action,
        sync_out=sync_out,
        output_shape=spec.output_shape,
    )


def build_encoder(config: EncoderConfig, spec: TaskSpec, d_input: int) -> nn.Module:
    """The encoder of a description, its sizes taken from the task.

    Raises:
        ConfigError: this encoder can't read such inputs.
    """
    if spec.input_kind not in config.reads:
        fitting = [kind for kind, other in ENCODERS.items() if spec.input_kind in other.reads]
        raise ConfigError(
            f"model/encoder={config.kind}: it can't read inputs of kind {spec.input_kind}; "
            f"choose one of {', '.join(fitting)}"
        )
    channels = spec.input_shape[0]
    match config:
        case NoEncoderConfig():
            if spec.input_shape != (d_input,):
                raise ConfigError(
                    f"model.d_input={d_input}: model/encoder=none hands on the task's "
                    f"{spec.input_shape[0]} numbers; want model.d_input={spec.input_shape[0]}"
                )
            return RawEncoder()
        case ParityEncoderConfig():
            backbone = SignEmbedding(width=d_input)
        case VectorEncoderConfig():
            backbone = NumberEmbedding(width=d_input)
        case ConvEncoderConfig():
            backbone = SmallConv(channels=channels, widths=config.widths)
        case ShallowWideEncoderConfig():
            backbone = ShallowWide(channels=channels)
        case ResNetEncoderConfig():
            backbone = ResNet(channels=channels, depth=config.depth, stages=config.stages)
        case _:
            raise ConfigError(f"model/encoder={config.kind}: no such encoder")
    check_positions(config.positions, config.axes)
    return TokenEncoder(backbone=backbone, positions=config.positions, d_input=d_input)
