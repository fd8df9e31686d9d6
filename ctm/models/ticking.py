"""What all models that think in internal ticks have in common: they read, tick, and answer."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NotRequired, Protocol, TypedDict, Unpack, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.interface import Inputs, Thoughts, Trace, batch_size
from ctm.layers.reading import Attention, Reader, Reading
from ctm.layers.sync import Sums, Synchronisation
from ctm.models.stretches import Stretches


@runtime_checkable
class TickState(Protocol):
    """What the state of every such model holds, beside its own."""

    @property
    def z(self) -> Float[Tensor, "batch neurons"]: ...
    @property
    def action(self) -> Sums: ...  # as the next tick asks with it
    @property
    def out(self) -> Sums: ...  # as this tick answers with it


class Parts(TypedDict):
    """Of every model that thinks in ticks.

    - ticks: T, internal ticks unless a call says otherwise; where inputs come one after the other,
      those that follow the last of them, in which the model answers.
    - encoder: inputs to data, once a pass.
    - reader: data to readings, once a pass; a tick's reading maps what is asked to o.
    - output_shape: of one prediction, `(*positions, classes)`.
    - engine: another way to compute what `synchronise` does, with equal numbers.
    - stretches: how the backward pass keeps or recomputes ticks.
    """

    ticks: int
    encoder: nn.Module
    reader: Reader
    output_shape: tuple[int, ...]
    engine: NotRequired["Engine | None"]
    stretches: NotRequired[Stretches | None]


class TickingModel(nn.Module, ABC):
    """Inputs to thoughts: state after state, an answer at each tick.

    A model adds what its `tick` is made of, and the three parts below.
    """

    sync_action: (
        Any  # of post-activations so far, to what asks: a `Synchronisation` or `Activations`
    )
    sync_out: Any  # the same for what answers
    answer: nn.Linear  # what answers to logits

    def __init__(self, **parts: Unpack[Parts]) -> None:
        super().__init__()
        self.ticks = parts["ticks"]
        self.output_shape = tuple(parts["output_shape"])
        self.engine = parts.get("engine")
        self.stretches = parts.get("stretches") or Stretches()
        self.encoder = parts["encoder"]
        self.reader: Reader = parts["reader"]

    @property
    def outputs(self) -> int:
        """Numbers of one prediction."""
        return torch.Size(self.output_shape).numel()

    @abstractmethod
    def start(self, batch: int) -> Any:
        """The state before the first tick."""

    @abstractmethod
    def tick(self, state: Any, reading: Reading) -> Any:
        """One internal tick: from a state and a way to read the data to the next state. Pure."""

    def seen(self, before: Any, after: Any) -> dict[str, Tensor]:
        """What a trace shows of a tick that only this kind of model has."""
        return {}

    def readings(self, inputs: Inputs, ticks: int) -> list[Reading]:
        """How the data are read at each tick. Keys and values are projected once for all."""
        data = self.encoder(inputs)
        if isinstance(data, Tensor):  # raw inputs come in any precision
            data = data.to(self.answer.weight.dtype)
        return self.reader.schedule(data, ticks)

    def predict(
        self, sync: Float[Tensor, "batch ticks pairs"]
    ) -> Float[Tensor, "batch ticks *output"]:
        """logits = W_out S_out + b, for all ticks in one product."""
        logits = self.answer(sync.to(self.answer.weight.dtype))
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
            logits = self.predict(self.synchronise(inputs, ticks, recorder))
            trace = recorder.trace() if recorder is not None else None
        else:
            logits = self.engine(self, inputs, ticks).unflatten(2, self.output_shape)
            trace = None
        # while inputs still come nothing is asked of the model yet
        return Thoughts.of(logits, trace, answering=ticks if logits.shape[1] > ticks else None)

    def synchronise(
        self, inputs: Inputs, ticks: int, recorder: "Recorder | None" = None
    ) -> Float[Tensor, "batch ticks pairs"]:
        """What answers, after each tick."""
        readings = self.readings(inputs, ticks)

        def stretch(state: Any, ticks: range) -> tuple[Any, list[Tensor]]:
            synced = []
            for tick in ticks:
                before, state = state, self.tick(state, readings[tick])
                synced.append(self.sync_out(state.out))
                if recorder is not None:
                    recorder.note(before, state, readings[tick])
            return state, synced

        start = self.start(batch_size(inputs))
        return torch.stack(self.stretches.run(stretch, start, len(readings)), dim=1)


# A model, inputs and ticks to flat logits: `model.predict` of `model.synchronise`
Engine = Callable[[Any, Inputs, int], Float[Tensor, "batch ticks outputs"]]


class Recorder:
    """Watches ticks from outside and keeps what a `Trace` shows."""

    def __init__(self, model: TickingModel) -> None:
        self.model = model
        self.ticks: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def note(self, before: TickState, after: TickState, reading: Reading) -> None:
        model = self.model
        seen = {"post_activations": after.z} | model.seen(before, after)
        if isinstance(model.sync_out, Synchronisation):
            seen["sync_out"] = model.sync_out(after.out)
        if isinstance(reading, Attention):
            asked = model.sync_action(before.action)
            seen["attention"] = reading.weights(asked)
            if isinstance(model.sync_action, Synchronisation):
                seen["sync_action"] = asked
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
