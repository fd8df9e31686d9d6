"""What all models that think in internal ticks have in common: they read, tick, and answer."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NotRequired, TypedDict, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.interface import Inputs, Readout, Thoughts, Trace, batch_size
from ctm.layers.reading import each_once
from ctm.models.on_demand import Conclusions, Walk, checked_demand, concluded, think_until_sure
from ctm.models.stretches import Stretches


class Parts(TypedDict):
    """Of every model that thinks in ticks.

    - ticks: T, internal ticks unless a call says otherwise; where inputs come one after the other,
      those that follow the last of them, in which the model answers.
    - encoder: inputs to data, once a pass.
    - output_shape: of one prediction, `(*positions, classes)`.
    - engine: another way to compute what `represent` does, with equal numbers.
    - stretches: how the backward pass keeps or recomputes ticks.
    """

    ticks: int
    encoder: nn.Module
    output_shape: tuple[int, ...]
    engine: NotRequired["Engine | None"]
    stretches: NotRequired[Stretches | None]


class TickingModel(nn.Module, ABC):
    """Inputs to thoughts: state after state, an answer at each tick.

    A model adds the state it starts from, what its `tick` is made of and what answers.
    """

    answer: nn.Linear  # what answers to logits
    answers = 1  # that a tick gives
    walk: "Callable[[Any, Inputs, int], Walk] | None" = None  # the engine's; None: as it is written

    def __init__(self, **parts: Unpack[Parts]) -> None:
        super().__init__()
        self.ticks = parts["ticks"]
        self.output_shape = tuple(parts["output_shape"])
        self.engine = parts.get("engine")
        self.stretches = parts.get("stretches") or Stretches()
        self.encoder = parts["encoder"]

    @property
    def outputs(self) -> int:
        """Numbers of one prediction."""
        return torch.Size(self.output_shape).numel()

    @abstractmethod
    def start(self, batch: int) -> Any:
        """The state before the first tick."""

    def encoded(self, inputs: Inputs) -> Any:
        """The encoder's data; raw inputs, which come in any precision, in the model's."""
        data = self.encoder(inputs)
        return data.to(self.answer.weight.dtype) if isinstance(data, Tensor) else data

    @abstractmethod
    def readings(self, inputs: Inputs, ticks: int) -> list[Any]:
        """What each tick works with; all that comes from the inputs alone is computed here."""

    @abstractmethod
    def tick(self, state: Any, reading: Any) -> Any:
        """One internal tick: from a state and what it reads to the next state. Pure."""

    @abstractmethod
    def representation(self, state: Any) -> Float[Tensor, "batch representation"]:
        """What of a state answers."""

    def conclude(self, state: Any, reading: Any) -> Float[Tensor, "batch representation"]:
        """What answers after the last tick, of which nothing else is needed."""
        return self.representation(self.tick(state, reading))

    @abstractmethod
    def seen(self, before: Any, after: Any, reading: Any) -> dict[str, Tensor]:
        """What a `Trace` shows of a tick, by its names there."""

    def predict(
        self, represented: Float[Tensor, "batch ticks representation"]
    ) -> Float[Tensor, "batch ticks *output"]:
        """logits = W_out S_out + b, for all ticks in one product."""
        logits = self.answer(represented.to(self.answer.weight.dtype))
        return logits.unflatten(2, self.output_shape)

    def forward(self, inputs: Inputs, record: bool = False, ticks: int | None = None) -> Thoughts:
        """Thinks for `ticks` ticks and answers at each.

        Args:
            inputs: a batch of what the encoder reads.
            record: also return the trace of everything inside.
            ticks: other than the model's own number.
        """
        ticks = self.ticks if ticks is None else ticks
        if ticks < 1:
            raise ConfigError(f"ticks={ticks}: want 1 or more")
        if record or self.engine is None or torch.compiler.is_compiling():
            recorder = Recorder(self) if record else None
            logits = self.predict(self.represent(inputs, ticks, recorder))
            trace = recorder.trace() if recorder is not None else None
        else:
            logits = self.engine(self, inputs, ticks).unflatten(2, self.output_shape)
            trace = None
        # while inputs still come nothing is asked of the model yet
        answering = ticks * self.answers
        return Thoughts.of(logits, trace, answering if logits.shape[1] > answering else None)

    @torch.inference_mode()
    def think(
        self,
        inputs: Inputs,
        stop_at: float | None = None,
        max_ticks: int | None = None,
        readout: Readout | str = Readout.certain,
    ) -> Conclusions:
        """Thinks about each example until it is sure, and no longer. Without gradients.

        An example that is sure leaves the batch, so the work shrinks with it. Paper, section 3.5.

        Args:
            inputs: a batch of what the encoder reads.
            stop_at: certainty, from 0 to 1, at which an example is done; its answer is that of the
                tick. None: nobody is done before the end.
            max_ticks: other than the model's own number; more than trained with, too.
            readout: makes one answer of all ticks for the examples that are never so sure.

        Raises:
            ConfigError: a certainty, number of ticks or readout that there isn't; or one pass gives
                several answers, so that there is nothing to stop.
        """
        ticks = self.ticks if max_ticks is None else max_ticks
        readout = checked_demand(stop_at, ticks, readout)
        if stop_at is None:
            return concluded(self(inputs, ticks=ticks), readout)
        if self.answers > 1:
            raise ConfigError(
                f"stop_at={stop_at}: one pass gives all {self.answers} answers; want None"
            )
        walk = (self.walk or ReadWalk)(self, inputs, ticks)
        return think_until_sure(walk, self.predict, ticks=ticks, stop_at=stop_at, readout=readout)

    def represent(
        self, inputs: Inputs, ticks: int, recorder: "Recorder | None" = None
    ) -> Float[Tensor, "batch ticks representation"]:
        """What answers, after each tick."""
        readings = self.readings(inputs, ticks)
        last = len(readings) - 1

        def stretch(state: Any, ticks: range) -> tuple[Any, list[Tensor]]:
            represented = []
            for tick in ticks:
                if tick == last and recorder is None:
                    represented.append(self.conclude(state, readings[tick]))
                    break
                before, state = state, self.tick(state, readings[tick])
                represented.append(self.representation(state))
                if recorder is not None:
                    recorder.note(before, state, readings[tick])
            return state, represented

        start = self.start(batch_size(inputs))
        return torch.stack(self.stretches.run(stretch, start, len(readings)), dim=1)


# A model, inputs and ticks to flat logits: `model.predict` of `model.represent`
Engine = Callable[[Any, Inputs, int], Float[Tensor, "batch ticks outputs"]]


class ReadWalk:
    """A walk through the ticks as they are written."""

    def __init__(self, model: TickingModel, inputs: Inputs, ticks: int) -> None:
        self.model = model
        self.readings = model.readings(inputs, ticks)
        self.state = model.start(batch_size(inputs))
        self.length, self.ticked = len(self.readings), 0

    def step(self) -> Float[Tensor, "walking representation"]:
        self.state = self.model.tick(self.state, self.readings[self.ticked])
        self.ticked += 1
        return self.model.representation(self.state)

    def keep_rows(self, rows: Int[Tensor, " kept"]) -> None:
        self.state = self.state.rows(rows)
        self.readings = each_once(lambda reading: reading.rows(rows), self.readings)


class Recorder:
    """Watches ticks from outside and keeps what a `Trace` shows."""

    def __init__(self, model: TickingModel) -> None:
        self.model = model
        self.ticks: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def note(self, before: Any, after: Any, reading: Any) -> None:
        seen = self.model.seen(before, after, reading)
        self.ticks.append({name: value.detach().float().cpu() for name, value in seen.items()})

    def trace(self) -> Trace:
        """Ticks that don't attend show zeros, if others do."""
        shapes = {name: value.shape for tick in self.ticks for name, value in tick.items()}
        return Trace(
            **{
                name: torch.stack([tick.get(name, torch.zeros(shape)) for tick in self.ticks], 1)
                for name, shape in shapes.items()
            }
        )
