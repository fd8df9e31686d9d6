"""The published checkpoints: their names, their layouts, their quirks. Here and nowhere else."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.interface import InputKind, TaskSpec
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.models.build import build_model
from ctm.models.config import (
    FeedForwardConfig,
    LSTMConfig,
    ModelConfig,
    NoEncoderConfig,
    QuestionEncoderConfig,
)
from ctm.models.published.arguments import (
    FEEDFORWARD_ARGUMENTS,
    LSTM_ARGUMENTS,
    QUESTION_ARGUMENTS,
    ctm_config,
    encoder_config,
    published_encoder,
    require,
    share,
    token_spec,
)
from ctm.models.published.weights import rename_ctm, renamed_all, weight_of
from ctm.models.weights import load_strictly


class Translated(NamedTuple):
    """A published model, said our way."""

    config: ModelConfig
    spec: TaskSpec
    weights: dict[str, Tensor]


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
    config, spec, weights = translated(args, state, kind)
    model = build_model(config, spec)
    load_strictly(model, weights)
    return model


def translated(
    args: Mapping[str, Any] | Namespace, state: Mapping[str, Tensor], kind: str
) -> Translated:
    """The same, as settings and weights of ours; raises what `load_published` does."""
    if kind not in KINDS:
        raise ConfigError(f"kind={kind}: choose one of {', '.join(KINDS)}")
    return KINDS[kind](vars(args) if isinstance(args, Namespace) else args, state)


def ctm(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> Translated:
    config = ctm_config(args, published_encoder(args))
    return Translated(config, token_spec(args, state), rename_ctm(state, config))


def ctm_sort(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> Translated:
    """Reads the raw vector at every tick, so it has no synchronisation that asks."""
    config = ctm_config(args, NoEncoderConfig(), reading=ReadingKind.direct)
    spec = TaskSpec(InputKind.vector, (config.d_input,), (args["out_dims"],))
    ours = rename_ctm(state, config)
    for side in ("left", "right"):
        ours[f"sync_action.{side}"] = torch.zeros(0, dtype=torch.long)
    return Translated(config, spec, ours | {"sync_action.decay": torch.zeros(0)})


def ctm_qamnist(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> Translated:
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
    return Translated(config, spec, ours)


def lstm(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> Translated:
    require(args, LSTM_ARGUMENTS)
    config = LSTMConfig(
        ticks=args["iterations"],
        width=args["d_model"],
        layers=args["num_layers"],
        d_input=args["d_input"],
        heads=args["heads"],
        dropout=share(args, "dropout") or 0.0,
        encoder=published_encoder(args),
    )
    return Translated(config, token_spec(args, state), renamed_all(state, config))


def feedforward(args: Mapping[str, Any], state: Mapping[str, Tensor]) -> Translated:
    require(args, FEEDFORWARD_ARGUMENTS)
    config = FeedForwardConfig(
        hidden=args["d_model"],
        dropout=share(args, "dropout") or 0.0,
        encoder=encoder_config(args["backbone_type"], Positions.none),
    )
    ours = {
        name.removeprefix("encoder."): value for name, value in renamed_all(state, config).items()
    }
    return Translated(config, token_spec(args, state), ours)


KINDS = {
    "ctm": ctm,
    "ctm_sort": ctm_sort,
    "ctm_qamnist": ctm_qamnist,
    "lstm": lstm,
    "ff": feedforward,
}
