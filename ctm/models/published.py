"""The published checkpoints: their names, their layouts, their quirks. Here and nowhere else."""

import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ctm.errors import CheckpointError, ConfigError, listed
from ctm.interface import InputKind, TaskSpec
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.layers.sync import Pairing, Pairs
from ctm.models.build import build_model
from ctm.models.config import (
    CTMConfig,
    EncoderConfig,
    FeedForwardConfig,
    LSTMConfig,
    ModelConfig,
    NoEncoderConfig,
    ParityEncoderConfig,
    QuestionEncoderConfig,
    ResNetEncoderConfig,
    ShallowWideEncoderConfig,
    TickingConfig,
)
from ctm.models.weights import load_strictly

PAIRINGS = {
    "first-last": Pairing.dense,
    "random": Pairing.semi_dense,
    "random-pairing": Pairing.random,
}
POSITIONS = {
    "none": Positions.none,
    "learnable-fourier": Positions.fourier,
    "multi-learnable-fourier": Positions.multi_fourier,
    "custom-rotational": Positions.rotational_2d,
    "custom-rotational-1d": Positions.rotational_1d,
}

# Published names to ours: the first pattern that fits a whole name gives the new one.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"start_activated_state", r"start_z"),
    (r"start_trace", r"start_history"),
    (r"start_(hidden|cell)_state", r"start_\1"),
    (r"decay_params_(out|action)", r"sync_\1.decay"),
    (r"(out|action)_neuron_indices_(left|right)", r"sync_\1.\2"),
    (r"q_proj\.(.+)", r"reader.query.\1"),
    (r"attention\.out_proj\.(.+)", r"reader.out.\1"),
    (r"output_projector\.0\.(.+)", r"answer.\1"),
    (r"output_projector\.3\.(.+)", r"layers.0.\1"),
    (r"output_projector\.6\.(.+)", r"answer.\1"),
    (r"kv_proj\.(.+)", r"encoder.project.\1"),
    (r"backbone_digit\.layers\.(.+)", r"encoder.images.backbone.layers.\1"),
    (r"index_backbone\.embedding", r"encoder.places"),
    (r"operator_backbone\.embedding\.weight", r"encoder.operators.weight"),
    (r"initial_rgb\.(.+)", r"encoder.backbone.to_rgb.\1"),
    (r"backbone\.conv1\.(.+)", r"encoder.backbone.stem.0.\1"),
    (r"backbone\.bn1\.(.+)", r"encoder.backbone.stem.1.\1"),
    (r"backbone\.embedding\.(.+)", r"encoder.backbone.embedding.\1"),
    (r"backbone\.(\d)\.(.+)", r"encoder.backbone.layers.\1.\2"),
    (r"positional_embedding\.Wr\.(.+)", r"encoder.positions.waves.\1"),
    (r"positional_embedding\.mlp\.(.+)", r"encoder.positions.mlp.\1"),
    (r"positional_embedding\.embedders\.(\d+)\.Wr\.(.+)", r"encoder.positions.scales.\1.waves.\2"),
    (r"positional_embedding\.embedders\.(\d+)\.mlp\.(.+)", r"encoder.positions.scales.\1.mlp.\2"),
    (r"positional_embedding\.combination", r"encoder.positions.mixture"),
    (r"positional_embedding\.start_vector", r"encoder.positions.start"),
    (
        r"positional_embedding\.projection(?:\.0)?\.(weight|bias)",
        r"encoder.positions.projection.\1",
    ),
    (r"synapses\.(\d)\.(.+)", r"synapse.\1.\2"),
    (r"synapses\.first_projection\.(.+)", r"synapse.first.\1"),
    (r"synapses\.(down|up)_projections\.(.+)", r"synapse.\1.\2"),
    (r"synapses\.skip_lns\.(.+)", r"synapse.norms.\1"),
)
NEURON_LAYERS = {"0": "0", "2": "1"}  # the GLUs between them were counted


def load_published(
    args: Mapping[str, Any] | Namespace, state: Mapping[str, Tensor], kind: str = "ctm"
) -> nn.Module:
    """A model of ours with published weights, equal to the published one.

    Args:
        args: the published constructor's arguments, by their published names, or the `args` of a
            published training checkpoint.
        state: the state dict under its published names.
        kind: which published class: ctm, ctm_sort, ctm_qamnist, lstm or ff.

    Returns:
        The model, in training mode as any fresh module.

    Raises:
        ConfigError: an unknown kind, or an argument missing or out of range.
        CheckpointError: weights missing, unexpected or of other shapes, by name.
    """
    if kind not in KINDS:
        raise ConfigError(f"kind={kind}: choose one of {', '.join(KINDS)}")
    return KINDS[kind](vars(args) if isinstance(args, Namespace) else args, state)


def load_ctm(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    config = ctm_config(args, published_encoder(args))
    return filled(config, token_spec(args, state), rename_ctm(state, config))


def load_ctm_sort(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    """Reads the raw vector at every tick, so it has no synchronisation that asks."""
    config = ctm_config(args, NoEncoderConfig(), reading=ReadingKind.direct)
    spec = TaskSpec(InputKind.vector, (config.d_input,), (args["out_dims"],))
    ours = rename_ctm(state, config)
    for side in ("left", "right"):
        ours[f"sync_action.{side}"] = torch.zeros(0, dtype=torch.long)
    return filled(config, spec, ours | {"sync_action.decay": torch.zeros(0)})


def load_ctm_qamnist(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    """Sees digits one by one, then the question; its own ticks are those of answering."""
    require(args, QUESTION_ARGUMENTS)
    answering = {**args, "iterations": args["iterations_for_answering"]}
    config = ctm_config(answering, QuestionEncoderConfig(), reading=ReadingKind.scheduled)
    spec = TaskSpec(
        InputKind.questions,
        (weight_of(state, "backbone_digit.layers.0.weight").shape[1], 0, 0),
        (args["out_dims"],),
        image_ticks=args["iterations_per_digit"],
        code_ticks=args["iterations_per_question_part"],
    )
    ours = rename_ctm(state, config)
    for name in [name for name in ours if name.startswith("encoder.project.")]:
        ours[name.replace("encoder.", "encoder.images.", 1)] = ours.pop(name)
    return filled(config, spec, ours)


def load_lstm(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    require(args, LSTM_ARGUMENTS)
    config = LSTMConfig(
        ticks=args["iterations"],
        width=args["d_model"],
        layers=args["num_layers"],
        d_input=args["d_input"],
        heads=args["heads"],
        dropout=args.get("dropout", 0.0),
        encoder=published_encoder(args),
    )
    return filled(config, token_spec(args, state), renamed_all(state, config))


def load_feedforward(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    require(args, FEEDFORWARD_ARGUMENTS)
    config = FeedForwardConfig(
        hidden=args["d_model"],
        dropout=args.get("dropout", 0.0),
        encoder=encoder_config(args["backbone_type"], Positions.none),
    )
    ours = {
        name.removeprefix("encoder."): value for name, value in renamed_all(state, config).items()
    }
    return filled(config, token_spec(args, state), ours)


KINDS = {
    "ctm": load_ctm,
    "ctm_sort": load_ctm_sort,
    "ctm_qamnist": load_ctm_qamnist,
    "lstm": load_lstm,
    "ff": load_feedforward,
}


def filled(config: ModelConfig, spec: TaskSpec, weights: Mapping[str, Tensor]) -> nn.Module:
    model = build_model(config, spec)
    load_strictly(model, weights)
    return model


# -- arguments -------------------------------------------------------------------------------------


def ctm_config(
    args: Mapping[str, Any],
    encoder: EncoderConfig,
    reading: ReadingKind = ReadingKind.attention,
) -> CTMConfig:
    """Our settings of the published constructor's arguments."""
    require(args, CTM_ARGUMENTS)
    deep = args.get("deep_nlms", args.get("deep_memory", True))
    layernorm = args.get("do_layernorm_nlm", args.get("do_normalisation", False))
    pairing = _translated(PAIRINGS, args, "neuron_select_type")
    return CTMConfig(
        ticks=args["iterations"],
        neurons=args["d_model"],
        memory_length=args["memory_length"],
        d_input=args["d_input"],
        heads=args["heads"],
        synapse_depth=args["synapse_depth"],
        nlm_hidden=args["memory_hidden_dims"] if deep else 0,
        nlm_layernorm=bool(layernorm),
        pairing=pairing,
        sync_out=args["n_synch_out"],
        sync_action=args["n_synch_action"],
        self_pairs=args.get("n_random_pairing_self", 0) if pairing is Pairing.random else 0,
        dropout=args.get("dropout", 0.0),
        dropout_nlm=args.get("dropout_nlm"),
        reading=reading,
        encoder=encoder,
    )


READING_ARGUMENTS = ("backbone_type", "positional_embedding_type")
CTM_ARGUMENTS = (
    "iterations", "d_model", "d_input", "heads", "n_synch_out", "n_synch_action", "synapse_depth",
    "memory_length", "memory_hidden_dims", "out_dims", "neuron_select_type",
)  # fmt: skip
QUESTION_ARGUMENTS = (
    "iterations_per_digit", "iterations_per_question_part", "iterations_for_answering",
)  # fmt: skip
LSTM_ARGUMENTS = ("iterations", "d_model", "d_input", "heads", "num_layers", "out_dims")
FEEDFORWARD_ARGUMENTS = ("d_model", "backbone_type", "out_dims")


def require(args: Mapping[str, Any], names: Iterable[str]) -> None:
    missing = [name for name in names if name not in args]
    if missing:
        raise ConfigError(f"published arguments: {listed(missing)} missing")


def published_encoder(args: Mapping[str, Any]) -> EncoderConfig:
    require(args, READING_ARGUMENTS)
    return encoder_config(
        args["backbone_type"], _translated(POSITIONS, args, "positional_embedding_type")
    )


def _translated(table: Mapping[str, Any], args: Mapping[str, Any], name: str) -> Any:
    if args[name] not in table:
        raise ConfigError(f"{name}={args[name]}: choose one of {', '.join(table)}")
    return table[args[name]]


def encoder_config(backbone: str, positions: Positions) -> EncoderConfig:
    """`resnet34-2`, `shallow-wide` or `parity_backbone`, as settings of ours."""
    if backbone == "parity_backbone":
        return ParityEncoderConfig(positions=positions)
    if backbone == "shallow-wide":
        return ShallowWideEncoderConfig(positions=positions)
    if resnet := re.fullmatch(r"resnet(\d+)-(\d)", backbone):
        depth, stages = map(int, resnet.groups())
        return ResNetEncoderConfig(positions=positions, depth=depth, stages=stages)
    raise ConfigError(
        f"backbone_type={backbone}: want parity_backbone, shallow-wide or a name like resnet34-2"
    )


def token_spec(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> TaskSpec:
    """The task's sizes: none of the arguments holds the input's, so the weights are asked."""
    output_shape = published_output_shape(args)
    if args["backbone_type"] == "parity_backbone":
        return TaskSpec(InputKind.signs, (output_shape[0],), output_shape)
    shallow = args["backbone_type"] == "shallow-wide"
    first = weight_of(state, "backbone.0.weight" if shallow else "initial_rgb.weight")
    return TaskSpec(InputKind.image, (first.shape[1], 0, 0), output_shape)


def weight_of(state: Mapping[str, Tensor], name: str) -> Tensor:
    """A weight that must be there, with the axes of a convolution's."""
    if name not in state:
        raise CheckpointError(f"published weights: {name} missing")
    if state[name].dim() != 4:
        raise CheckpointError(f"{name} is {tuple(state[name].shape)}: want 4 axes")
    return state[name]


def published_output_shape(args: Mapping[str, Any]) -> tuple[int, ...]:
    """What one prediction is. Training checkpoints name only the length of their task."""
    if "prediction_reshaper" in args:
        shape = tuple(args["prediction_reshaper"])
    elif "parity_sequence_length" in args:
        shape = (args["parity_sequence_length"], 2)
    elif "maze_route_length" in args:
        shape = (args["maze_route_length"], 5)
    else:
        shape = (-1,)
    return (args["out_dims"],) if shape == (-1,) else shape


# -- weights ---------------------------------------------------------------------------------------


def rename_ctm(state: Mapping[str, Tensor], config: CTMConfig) -> dict[str, Tensor]:
    """A published state dict under our names and in our layouts."""
    ours = renamed_all(state, config)
    if config.pairing is not Pairing.random:
        for sync in ("sync_out", "sync_action"):
            expand_pairs(ours, sync)
    return ours


def renamed_all(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Names that no rule knows stay, for the strict load to list."""
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        try:
            ours |= translated(name, value, config)
        except (RuntimeError, IndexError):
            raise CheckpointError(
                f"{name} is {tuple(value.shape)}: not a shape that the published model has"
            ) from None
    return ours


def translated(name: str, value: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    """One published tensor as ours: most change their name alone."""
    if name.startswith("attention.in_proj_") and isinstance(config, TickingConfig):
        part = name.removeprefix("attention.in_proj_")
        query, key_value = value.split([config.d_input, 2 * config.d_input])
        return {
            f"reader.in_query.{part}": query,
            f"reader.in_key_value.{part}": key_value,
        }
    if found := re.fullmatch(r"trace_processor\.0\.(\d)\.(.+)", name):
        layer, part = found.groups()
        prefix = f"neuron_models.layers.{NEURON_LAYERS.get(layer, layer)}"
        return neuron_layer(prefix, part, value)
    if found := re.fullmatch(r"backbone\.layer(\d)\.(.+)", name):
        stage, rest = found.groups()
        return {f"encoder.backbone.stages.{int(stage) - 1}.{rest}": value}
    return {renamed(name): value}


def renamed(name: str) -> str:
    for pattern, replacement in RENAMES:
        if found := re.fullmatch(pattern, name):
            return found.expand(replacement)
    return name


def neuron_layer(prefix: str, part: str, value: Tensor) -> dict[str, Tensor]:
    """One weight of a per-neuron layer: (in, out, D) becomes (D, in, out)."""
    match part:
        case "w1":
            return {f"{prefix}.weight": value.permute(2, 0, 1).contiguous()}
        case "b1":
            return {f"{prefix}.bias": value.squeeze(0)}
        case "T":
            return {f"{prefix}.temperature": value}
        case _:
            return {f"{prefix}.{part.replace('layernorm', 'norm')}": value}


def expand_pairs(ours: dict[str, Tensor], sync: str) -> None:
    """Published: the neurons of each side. Ours: the two neurons of each pair."""
    left, right = (ours.get(f"{sync}.{side}") for side in ("left", "right"))
    if left is not None and right is not None:
        if left.dim() != 1 or left.shape != right.shape:
            raise CheckpointError(
                f"{sync}.left is {tuple(left.shape)}, {sync}.right {tuple(right.shape)}: "
                "want as many left as right neurons"
            )
        ours[f"{sync}.left"], ours[f"{sync}.right"] = Pairs.triangle(left, right)
