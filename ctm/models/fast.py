"""The fast engine: the same ticks, with all that they share done once.

`ctm.layers.fast` holds its parts, each with a paragraph on why it is fast. Here they are put
together as in `ContinuousThoughtMachine.tick`, step by step; compare the two. Neurons (and pairs)
are rows, examples columns. Gradients are those of first order only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.interface import Inputs, batch_size
from ctm.layers.fast.answer import answer_all
from ctm.layers.fast.neurons import PlainHistory, RepeatedNeurons, Tape
from ctm.layers.fast.reading import repeated_reading
from ctm.layers.fast.synapses import repeated_synapse
from ctm.layers.fast.sync import RepeatedSync
from ctm.layers.reading import Reading, each_once
from ctm.models.machine import ContinuousThoughtMachine


@dataclass(frozen=True)
class FastState:
    """All that one stretch of ticks hands to the next."""

    history: Float[Tensor, "neurons batch memory"]
    z: Float[Tensor, "neurons batch"]
    alpha: Float[Tensor, "pairs batch"]  # of the synchronisation that asks


def think(
    machine: ContinuousThoughtMachine, inputs: Inputs, ticks: int
) -> Float[Tensor, "batch ticks outputs"]:
    """What `machine.predict(machine.represent(inputs, ticks))` gives, its last axis flat."""
    readings = machine.readings(inputs, ticks)
    state = machine.start(batch_size(inputs))  # which moves decays back
    shared = Pass(machine, readings)
    start = FastState(state.history.transpose(0, 1), state.z.t(), state.action.alpha.t())
    z = machine.stretches.run(shared.stretch, start, len(readings))
    return answer_all(machine.answer, shared.sync_out.all_ticks(torch.stack((start.z, *z))))


class Pass:
    """What the ticks of one pass share."""

    def __init__(self, machine: ContinuousThoughtMachine, readings: list[Reading]) -> None:
        ticks = len(readings)
        self.readings = each_once(repeated_reading, readings)
        self.synapse: Callable[[Tensor], Tensor] = repeated_synapse(machine.synapse)
        self.neurons = RepeatedNeurons(machine.neuron_models)
        self.sync_action = RepeatedSync(machine.sync_action, ticks)
        self.sync_out = RepeatedSync(machine.sync_out, ticks)

    def keep_rows(self, rows: Int[Tensor, " kept"]) -> None:
        """Reads the data of these examples alone from now on."""
        self.readings = each_once(lambda reading: reading.rows(rows), self.readings)

    def stretch(self, state: FastState, ticks: range) -> tuple[FastState, list[Tensor]]:
        """Some ticks in a row, and the post-activations of each."""
        z, alpha = state.z, state.alpha
        history = self.neurons.begin(state.history, len(ticks))
        every_z = []
        for tick in ticks:
            z, alpha = self.tick(tick, history, z, alpha)
            every_z.append(z)
        return FastState(history.end(), z, alpha), every_z

    def tick(
        self,
        tick: int,
        history: Tape | PlainHistory,
        z: Float[Tensor, "neurons batch"],
        alpha: Float[Tensor, "pairs batch"],
    ) -> tuple[Float[Tensor, "neurons batch"], Float[Tensor, "pairs batch"]]:
        """One tick: z and alpha after it, while the history writes itself on."""
        # 1. the synchronisation so far asks the data
        o = self.readings[tick](self.sync_action.at(tick, alpha))
        # 2. pre-activations
        a = self.synapse(torch.cat((o, z.t()), dim=1))
        # 3. and 4. histories and post-activations
        z = history.step(a)
        # 5. synchronisation; that of the answer comes after all ticks
        return z, self.sync_action.update(alpha, z)


class Walk:
    """A batch on its way through the ticks, for thinking on demand; without gradients."""

    def __init__(self, machine: ContinuousThoughtMachine, inputs: Inputs, ticks: int) -> None:
        readings = machine.readings(inputs, ticks)
        state = machine.start(batch_size(inputs))
        self.shared = Pass(machine, readings)
        self.length, self.ticked = len(readings), 0
        self.history = self.shared.neurons.begin(state.history.transpose(0, 1), self.length)
        self.z = state.z.t()
        self.action, self.out = state.action.alpha.t(), state.out.alpha.t()

    def step(self) -> Float[Tensor, "walking pairs"]:
        sync = self.shared.sync_out
        self.z, self.action = self.shared.tick(self.ticked, self.history, self.z, self.action)
        self.out = sync.update(self.out, self.z)
        self.ticked += 1
        return sync.at(self.ticked, self.out)

    def keep_rows(self, rows: Int[Tensor, " kept"]) -> None:
        self.shared.keep_rows(rows)
        self.history.keep_rows(rows)
        self.z, self.action, self.out = self.z[:, rows], self.action[:, rows], self.out[:, rows]
