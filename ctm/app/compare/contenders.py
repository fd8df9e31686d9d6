"""Who is compared: each a variation of the same experiment, its data, loss and budget untouched."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from omegaconf import DictConfig

from ctm.app.compose import Experiment
from ctm.config import from_plain, to_plain
from ctm.errors import ConfigError, UserError
from ctm.interface import InputKind
from ctm.layers.positions import Positions
from ctm.layers.sync import Pairing
from ctm.models.config import (
    MODELS,
    CTMConfig,
    EncoderConfig,
    FeedForwardConfig,
    LSTMConfig,
    ModelConfig,
    NoEncoderConfig,
    TransformerConfig,
    VectorEncoderConfig,
)
from ctm.models.feedforward import Head
from ctm.tasks import Task

C = TypeVar("C", bound=ModelConfig)
REFERENCE = "ctm"
OPTIMIZER = "optimizer."
TOKEN_WIDTH = 64  # of tokens made of numbers that the reference reads as they are
# settings of a task that say for how many ticks something is shown
SHOWING = ("image_ticks", "code_ticks", "symbol_ticks")


def contender(name: str, reference: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """The experiment of one contender, not yet matched.

    Args:
        name: one of `CONTENDERS`.
        reference: the experiment as it is, of a CTM.
        settings: of the contender's model that shall be others, and of its optimiser
            (`optimizer.lr`).

    Raises:
        ConfigError: the task is none for such a model, or it has no such setting.
    """
    machine = reference.model
    if not isinstance(machine, CTMConfig):
        raise ConfigError(
            f"experiment={reference.name}: its model is of kind {machine.kind}; want an experiment "
            "of a ctm, to which the others are compared"
        )
    task = reference.task
    if name == "twin":
        task = replace(task, **{show: 1 for show in SHOWING if hasattr(task, show)})
    if name == REFERENCE and not settings:
        return reference
    tuned = {key: value for key, value in settings.items() if key.startswith(OPTIMIZER)}
    sizes = {key: value for key, value in settings.items() if key not in tuned}
    if name == "twin" and sizes:
        raise UserError(
            f"twin.{next(iter(sizes))}: the twin is the CTM's own weights with one tick; of its "
            f"own it has twin.{OPTIMIZER}lr alone"
        )
    if isinstance(sizes.get("heads"), int) and name in ("transformer", "looped"):
        sizes = {"width": 16 * sizes["heads"], **sizes}  # one that they divide, to start from
    optimizer = {key.removeprefix(OPTIMIZER): value for key, value in tuned.items()}
    return reference.altered(
        model=changed(CONTENDERS[name](machine, reference), sizes, name),
        task=task,
        optimizer=DictConfig({**reference.optimizer, **optimizer}),
        name=f"{reference.name}/{name}",
    )


def changed(model: C, settings: Mapping[str, Any], name: str) -> C:
    """A model with some other settings, checked; `name` is what errors call it."""
    known = [field.name for field in fields(model) if field.name not in ("kind", "encoder")]
    for setting, value in settings.items():
        if setting not in known:
            want = f"want {OPTIMIZER}lr, {', '.join(known)}"
            raise UserError(f"{name}.{setting}={value}: no such setting; {want}")
    altered = from_plain(MODELS, {**to_plain(model), **settings}, name)
    assert isinstance(altered, type(model))
    return altered


def itself(machine: CTMConfig, reference: Experiment) -> CTMConfig:
    return machine


def twin(machine: CTMConfig, reference: Experiment) -> CTMConfig:
    """The same weights, one tick: to answer, and to each thing that is shown.

    A curve over ticks does not prove that ticks are used.
    """
    return replace(machine, ticks=1)


def transformer(machine: CTMConfig, reference: Experiment) -> TransformerConfig:
    """One pass, which gives as many answers as the task needs labels said."""
    return encoder_of_tokens(machine, layers=4, answers=labels_said(machine, reference.task))


def looped(machine: CTMConfig, reference: Experiment) -> TransformerConfig:
    """As many passes through one block as the machine has ticks to answer in."""
    return encoder_of_tokens(machine, layers=1, ticks=machine.ticks)


def encoder_of_tokens(machine: CTMConfig, **sizes: Any) -> TransformerConfig:
    encoder, d_input = tokens_of(machine)
    return TransformerConfig(
        dropout=machine.dropout,
        readout=machine.readout,
        encoder=encoder,
        d_input=d_input,
        heads=machine.heads,
        **sizes,
    )


def lstm(machine: CTMConfig, reference: Experiment) -> LSTMConfig:
    """Reads as the machine does; its hidden state asks and answers."""
    shared = {field.name: getattr(machine, field.name) for field in fields(LSTMConfig)
              if hasattr(machine, field.name)}  # fmt: skip
    return LSTMConfig(**shared | {"kind": "lstm", "pairing": Pairing.none, "self_pairs": 0})


def feedforward(machine: CTMConfig, reference: Experiment) -> FeedForwardConfig:
    """Sees all places side by side; of a stream their average, which has no order."""
    kind = reference.task.spec.input_kind
    any_number = kind in (InputKind.questions, InputKind.symbols)
    return FeedForwardConfig(
        dropout=machine.dropout,
        readout=machine.readout,
        encoder=replace(machine.encoder, positions=Positions.none),
        d_input=machine.d_input,
        head=Head.pooled if any_number else Head.flat,
        answers=labels_said(machine, reference.task),
    )


CONTENDERS: dict[str, Callable[[CTMConfig, Experiment], ModelConfig]] = {
    REFERENCE: itself,
    "twin": twin,
    "transformer": transformer,
    "looped": looped,
    "lstm": lstm,
    "feedforward": feedforward,
}


def tokens_of(machine: CTMConfig) -> tuple[EncoderConfig, int]:
    """The machine's own encoder; where it reads numbers as they are, each becomes a token."""
    if isinstance(machine.encoder, NoEncoderConfig):
        return VectorEncoderConfig(), TOKEN_WIDTH
    return machine.encoder, machine.d_input


def labels_said(machine: CTMConfig, task: Task) -> int:
    """Answers that a model of one tick gives: as many as the machine has ticks to say them."""
    sequence = task.target_shape != task.spec.output_shape[:-1]
    return machine.ticks if sequence else 1
