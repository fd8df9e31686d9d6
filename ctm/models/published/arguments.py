"""The arguments of the published constructors, as settings of ours."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ctm.errors import ConfigError, listed
from ctm.interface import InputKind, TaskSpec
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.layers.sync import Pairing
from ctm.models.config import (
    CTMConfig,
    EncoderConfig,
    ParityEncoderConfig,
    ResNetEncoderConfig,
    ShallowWideEncoderConfig,
)
from ctm.models.published.weights import weight_of

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

WORDS = ("backbone_type", "positional_embedding_type", "neuron_select_type")
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
        dropout=share(args, "dropout") or 0.0,
        dropout_nlm=share(args, "dropout_nlm"),
        reading=reading,
        encoder=encoder,
    )


def require(args: Mapping[str, Any], names: Iterable[str]) -> None:
    missing = [name for name in names if args.get(name) is None]
    if missing:
        raise ConfigError(f"published arguments: {listed(missing)} missing")
    for name in names:
        if name not in WORDS and type(args[name]) is not int:
            raise ConfigError(f"{name}={args[name]}: want a whole number")


def share(args: Mapping[str, Any], name: str) -> float | None:
    value = args.get(name)
    if value is not None and type(value) not in (int, float):
        raise ConfigError(f"{name}={value!s:.40}: want a number")
    return value


def published_encoder(args: Mapping[str, Any]) -> EncoderConfig:
    require(args, READING_ARGUMENTS)
    return encoder_config(
        args["backbone_type"], _translated(POSITIONS, args, "positional_embedding_type")
    )


def _translated(table: Mapping[str, Any], args: Mapping[str, Any], name: str) -> Any:
    given = str(args[name])
    if given not in table:
        raise ConfigError(f"{name}={given}: choose one of {', '.join(table)}")
    return table[given]


def encoder_config(backbone: str, positions: Positions) -> EncoderConfig:
    """`resnet34-2`, `shallow-wide` or `parity_backbone`, as settings of ours."""
    if backbone == "parity_backbone":
        return ParityEncoderConfig(positions=positions)
    if backbone == "shallow-wide":
        return ShallowWideEncoderConfig(positions=positions)
    if resnet := re.fullmatch(r"resnet(\d+)-(\d)", str(backbone)):
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


def published_output_shape(args: Mapping[str, Any]) -> tuple[int, ...]:
    """What one prediction is. Training checkpoints name only the length of their task."""
    if args.get("prediction_reshaper") is not None:
        shape = tuple(args["prediction_reshaper"])
    elif "parity_sequence_length" in args:
        shape = (args["parity_sequence_length"], 2)
    elif "maze_route_length" in args:
        shape = (args["maze_route_length"], 5)
    else:
        shape = (-1,)
    return (args["out_dims"],) if shape == (-1,) else shape
