"""What models and tasks say to each other.

Axis letters, here and everywhere: b batch, t tick, d neuron, m memory, p pair, s token, h head,
o output position, c class.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.errors import ConfigError

# one input of a task, or several that go together: the digits and the question of Q&A
Inputs = Tensor | tuple[Tensor, ...]


def batch_size(inputs: Inputs) -> int:
    # not by len(): torch.export would take it for a constant
    return inputs.shape[0] if isinstance(inputs, Tensor) else inputs[0].shape[0]


def each(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """The same for one tensor or for several."""
    return change(inputs) if isinstance(inputs, Tensor) else tuple(map(change, inputs))


USUAL_SIDE = 224  # pixels, of an image where any size will do


class InputKind(StrEnum):
    """What one input of a task is; an encoder says which kinds it reads."""

    signs = "signs"  # (length,) of +1 and -1
    image = "image"  # (channels, height, width)
    vector = "vector"  # (numbers,)
    questions = "questions"  # images, (digits, channels, height, width), and a question's codes
    symbols = "symbols"  # (length,) of whole numbers from 0, shown one after the other


class Readout(StrEnum):
    """How one prediction is made of the predictions of all ticks (paper, section 3.5)."""

    certain = "certain"  # the most certain tick
    last = "last"
    mean = "mean"  # of the logits over the ticks
    weighted = "weighted"  # the mean weighted by certainty


@dataclass(frozen=True)
class TaskSpec:
    """The sizes that a task hands to a model.

    Args:
        input_kind: what one input is.
        input_shape: shape of one input, without the batch; an image's height and width are 0 where
            any will do. Of questions: of one of the images. Of symbols: the longest to train on.
        output_shape: shape of one prediction, `(*positions, classes)`: `(10,)` for ten classes,
            `(64, 2)` for 64 bits.
        image_ticks, code_ticks: of questions, how long each image and each code is shown; of
            symbols, `code_ticks` is how long each is.
        symbols: how many different ones there are.
    """

    input_kind: InputKind
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    image_ticks: int = 1
    code_ticks: int = 1
    symbols: int = 0

    def __post_init__(self) -> None:
        axes = 3 if self.input_kind in (InputKind.image, InputKind.questions) else 1
        if len(self.input_shape) != axes or self.input_shape[0] < 1 or min(self.input_shape) < 0:
            raise ConfigError(
                f"input_shape={self.input_shape}: an input of kind {self.input_kind} has "
                f"{axes} positive size(s)"
            )
        if not self.output_shape or min(self.output_shape) < 1 or self.classes < 2:
            raise ConfigError(
                f"output_shape={self.output_shape}: want (*positions, classes), 2 or more classes"
            )
        if (self.symbols > 0) != (self.input_kind is InputKind.symbols):
            raise ConfigError(
                f"symbols={self.symbols}: want 1 or more for inputs of that kind only"
            )

    @property
    def classes(self) -> int:
        return self.output_shape[-1]

    @property
    def positions(self) -> int:
        """Answers that one input asks for: the product of the position axes."""
        return math.prod(self.output_shape[:-1])

    def blank_inputs(self, batch: int, device: torch.device | str) -> Any:
        """Inputs of the right shape and no content; of questions the shortest: an image, named."""
        if self.input_kind is InputKind.questions:
            return self.blank_question(batch, device, images=1, codes=1)
        sizes = [size or USUAL_SIDE for size in self.input_shape]
        if self.input_kind is InputKind.symbols:
            return torch.zeros(batch, *sizes, dtype=torch.long, device=device)
        return torch.ones(batch, *sizes, device=device)

    def blank_question(
        self, batch: int, device: torch.device | str, *, images: int, codes: int
    ) -> tuple[Tensor, Tensor]:
        """So many images and codes, each shown as long as it should be."""
        shown = torch.ones(batch, images * self.image_ticks, *self.input_shape, device=device)
        moments = codes * self.code_ticks
        return shown, torch.zeros(batch, moments, dtype=torch.long, device=device)


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of some examples."""

    inputs: Any  # of the kind that the task has: `Inputs`
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def changed(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(each(self.inputs, change), change(self.targets))

    def to(self, device: torch.device | str) -> Self:
        return self.changed(lambda values: values.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """In memory that a GPU can copy from on its own (called by torch's DataLoader)."""
        return self.changed(Tensor.pin_memory)


@dataclass
class Trace:
    """All that happened inside a model, tick by tick: float32, detached, on the CPU.

    What a model doesn't have is None: `attention` and `sync_action` without attention, both syncs
    without synchronisation. An LSTM's post-activations are its top hidden state.
    """

    post_activations: Float[Tensor, "batch ticks neurons"]
    pre_activations: Float[Tensor, "batch ticks neurons"] | None = None
    sync_out: Float[Tensor, "batch ticks pairs_out"] | None = None
    sync_action: Float[Tensor, "batch ticks pairs_action"] | None = None
    attention: Float[Tensor, "batch ticks heads tokens"] | None = None


def certainty(logits: Float[Tensor, "batch ticks *output"]) -> Float[Tensor, "batch ticks"]:
    """1 - H(softmax(logits)) / log(classes), in float32, averaged over positions.

    Paper, section 3.5.
    """
    log_p = logits.float().log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1) / math.log(logits.shape[-1])
    sure = 1 - entropy.flatten(2).mean(-1) if entropy.dim() > 2 else 1 - entropy
    return sure.clamp(0.0, 1.0)  # rounding leaves -2e-7 where the logits are all but equal


# Not frozen: Lightning Fabric rebuilds a model's outputs when it changes their precision.
@dataclass
class Thoughts:
    """What a model returns: its prediction at each tick and how sure it is of it."""

    logits: Float[Tensor, "batch ticks *output"]
    certainty: Float[Tensor, "batch ticks"]
    trace: Trace | None = None
    answering: int | None = None  # so many of the last ticks; None: all of them answer

    @classmethod
    def of(
        cls,
        logits: Float[Tensor, "batch ticks *output"],
        trace: Trace | None = None,
        answering: int | None = None,
    ) -> Self:
        """Thoughts with the certainty that the logits express."""
        return cls(logits, certainty(logits), trace, answering)

    @property
    def ticks(self) -> int:
        return self.logits.shape[1]

    def to(self, device: torch.device | str) -> Self:
        """The same there, without the trace."""
        moved = self.logits.to(device), self.certainty.to(device)
        return type(self)(*moved, None, self.answering)

    @property
    def answers(self) -> Self:
        """The thoughts of the ticks that answer, without the trace."""
        return self if self.answering is None else self.last_ticks(self.answering)

    def chosen(self, readout: Readout | str) -> Int[Tensor, " batch"]:
        """The tick that a readout of a single tick takes, for each example."""
        first = 0 if self.answering is None else self.ticks - self.answering
        match Readout(readout):
            case Readout.certain:
                return first + self.certainty[:, first:].argmax(1)
            case Readout.last:
                return torch.full_like(self.certainty[:, 0], self.ticks - 1, dtype=torch.long)
            case other:
                raise ConfigError(f"readout={other} takes every tick; certain and last take one")

    def at(self, readout: Readout | str) -> Float[Tensor, "batch *output"]:
        """One prediction for each example. The four readouts: see `Readout`."""
        if readout not in list(Readout):
            raise ConfigError(f"readout={readout}: choose one of {', '.join(Readout)}")
        match Readout(readout):
            case Readout.certain | Readout.last:
                rows = torch.arange(len(self.logits), device=self.logits.device)
                return self.logits[rows, self.chosen(readout)]
            case Readout.mean:
                return self.answers.logits.mean(1)
            case Readout.weighted:
                logits, sure = self.answers.logits, self.answers.certainty
                # where every tick is wholly uncertain, the prediction is uniform, not 0 / 0
                share = sure / sure.sum(1, keepdim=True).clamp_min(1e-12)
                return torch.einsum("bt,bt...->b...", share.to(logits.dtype), logits)

    def last_ticks(self, count: int) -> Self:
        """What was thought at the last `count` ticks, without the trace."""
        return type(self)(self.logits[:, -count:], self.certainty[:, -count:])
