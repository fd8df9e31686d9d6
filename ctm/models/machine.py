"""The Continuous Thought Machine (Darlow et al., arXiv 2505.05522).

`tick` is the whole machine; read it first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.interface import Thoughts, Trace
from ctm.layers.reading import Attention, Reading
from ctm.layers.sync import Sums, Synchronisation
from ctm.models.stretches import Stretches


@dataclass(frozen=True)
class State:
    """All that the machine carries from one tick to the next."""

    history: Float[Tensor, "batch neurons memory"]  # A: the last M pre-activations, oldest first
    z: Float[Tensor, "batch neurons"]  # post-activations
    action: Sums  # synchronisation so far, as the next tick asks with it
    out: Sums  # synchronisation so far, as this tick answers with it


class ContinuousThoughtMachine(nn.Module):
    """Neurons with private models over time; how they synchronise asks the data and answers.

    Made of parts, each a module with its own equation (`ctm.models.build` puts them together):

    Args:
        ticks: T, internal ticks unless a call says otherwise.
        neurons: D.
        memory_length: M.
        encoder: inputs to data, once a pass.
        reader: data to a reading, once a pass; the reading maps S_action to o, once a tick.
        synapse: concat(o, z) to pre-activations a.
        neuron_models: histories A to post-activations z.
        sync_action, sync_out: the synchronisation that asks, and the one that answers.
        output_shape: of one prediction, `(*positions, classes)`.
        engine: another way to compute what `synchronise` does, with equal numbers.
        stretches: how the backward pass keeps or recomputes ticks.
    """

    def __init__(
        self,
        *,
        ticks: int,
        neurons: int,
        memory_length: int,
        encoder: nn.Module,
        reader: nn.Module,
        synapse: nn.Module,
        neuron_models: nn.Module,
        sync_action: Synchronisation,
        sync_out: Synchronisation,
        output_shape: tuple[int, ...],
        engine: "Engine | None" = None,
        stretches: Stretches | None = None,
    ) -> None:
        super().__init__()
        self.ticks = ticks
        self.output_shape = tuple(output_shape)
        self.engine = engine
        self.stretches = stretches or Stretches()
        self.encoder = encoder
        self.reader = reader
        self.synapse = synapse
        self.neuron_models = neuron_models
        self.sync_action = sync_action
        self.sync_out = sync_out
        self.answer = nn.Linear(sync_out.pairs, torch.Size(output_shape).numel())
        self.start_history = nn.Parameter(torch.empty(neurons, memory_length))
        self.start_z = nn.Parameter(torch.empty(neurons))

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Start states: uniform within +-sqrt(1 / D), histories within +-sqrt(1 / (D + M))."""
        neurons, memory_length = self.start_history.shape
        for start, size in ((self.start_z, neurons), (self.start_history, neurons + memory_length)):
            nn.init.uniform_(start, -(size**-0.5), size**-0.5, generator=generator)

    # -- one tick ------------------------------------------------------------------------------

    def tick(self, state: State, reading: Reading) -> State:
        """One internal tick: from a state and a way to read the data to the next state. Pure."""
        # 1. the synchronisation so far asks the data:  o = Attention(W_q S_action, K, V)
        o = reading(self.sync_action(state.action))

        # 2. pre-activations:  a = synapse(concat(o, z))
        a = self.synapse(torch.cat((o, state.z), dim=1))

        # 3. histories:  A = the last M pre-activations
        history = torch.cat((state.history[:, :, 1:], a.unsqueeze(2)), dim=2)

        # 4. post-activations:  z_d = g_d(A_d), a private model g_d for each neuron
        z = self.neuron_models(history)

        # 5. synchronisation:  alpha <- e^-r alpha + z_i z_j,  beta <- e^-r beta + 1
        return State(
            history, z, self.sync_action.update(state.action, z), self.sync_out.update(state.out, z)
        )

    def start(self, batch: int) -> State:
        """The state before the first tick: learned, the same for every example.

        In training mode this is also where stored decays are moved back into their range.
        """
        if self.training:
            self.sync_action.clamp_decay()
            self.sync_out.clamp_decay()
        z = self.start_z.expand(batch, -1)
        history = self.start_history.expand(batch, -1, -1)
        return State(history, z, self.sync_action.start(z), self.sync_out.start(z))

    def read(self, inputs: Tensor) -> Reading:
        """Encodes the inputs and projects keys and values, once for all ticks."""
        data = self.encoder(inputs)
        return self.reader(data.to(self.start_z.dtype))  # raw inputs come in any precision

    def predict(
        self, sync: Float[Tensor, "batch ticks pairs"]
    ) -> Float[Tensor, "batch ticks *output"]:
        """logits = W_out S_out + b, for all ticks in one product."""
        logits = self.answer(sync.to(self.answer.weight.dtype))
        return logits.unflatten(2, self.output_shape)

    # -- all ticks -----------------------------------------------------------------------------

    def forward(self, inputs: Tensor, record: bool = False, ticks: int | None = None) -> Thoughts:
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
            sync = self.synchronise(inputs, ticks, recorder)
            trace = recorder.trace() if recorder is not None else None
            return Thoughts.of(self.predict(sync), trace)
        return Thoughts.of(self.engine(self, inputs, ticks).unflatten(2, self.output_shape))

    def synchronise(
        self, inputs: Tensor, ticks: int, recorder: "Recorder | None" = None
    ) -> Float[Tensor, "batch ticks pairs"]:
        """The synchronisation that answers, after each tick."""
        reading = self.read(inputs)

        def stretch(state: State, ticks: range) -> tuple[State, list[Tensor]]:
            synced = []
            for _ in ticks:
                before, state = state, self.tick(state, reading)
                synced.append(self.sync_out(state.out))
                if recorder is not None:
                    recorder.note(before, state, synced[-1], reading)
            return state, synced

        return torch.stack(self.stretches.run(stretch, self.start(len(inputs)), ticks), dim=1)


# A machine, inputs and ticks to flat logits: `machine.predict` of `machine.synchronise`
Engine = Callable[[ContinuousThoughtMachine, Tensor, int], Float[Tensor, "batch ticks outputs"]]


class Recorder:
    """Watches ticks from outside and keeps what a `Trace` shows."""

    def __init__(self, machine: ContinuousThoughtMachine) -> None:
        self.machine = machine
        self.ticks: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def note(self, before: State, after: State, sync_out: Tensor, reading: Reading) -> None:
        seen = {
            "pre_activations": after.history[:, :, -1],
            "post_activations": after.z,
            "sync_out": sync_out,
        }
        if isinstance(reading, Attention):
            asked = self.machine.sync_action(before.action)
            seen |= {"sync_action": asked, "attention": reading.weights(asked)}
        self.ticks.append({name: value.detach().float().cpu() for name, value in seen.items()})

    def trace(self) -> Trace:
        return Trace(
            **{name: torch.stack([tick[name] for tick in self.ticks], 1) for name in self.ticks[0]}
        )
