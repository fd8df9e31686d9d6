"""The fast engine: the same ticks, with all that they share done once.

`ctm.layers.fast` holds its parts, each with a paragraph on why it is fast. Here they are put
together as in `ContinuousThoughtMachine.tick`, step by step; compare the two. Neurons (and pairs)
are rows, examples columns. Gradients are those of first order only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ctm.interface import Inputs, batch_size
from ctm.layers.fast.answer import answer_all
from ctm.layers.fast.neurons import RepeatedNeurons
from ctm.layers.fast.reading import repeated_reading
from ctm.layers.fast.synapses import repeated_synapse
from ctm.layers.fast.sync import RepeatedSync
from ctm.layers.reading import Reading
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
        once = {reading: repeated_reading(reading) for reading in dict.fromkeys(readings)}
        self.readings = [once[reading] for reading in readings]
        self.synapse: Callable[[Tensor], Tensor] = repeated_synapse(machine.synapse)
        self.neurons = RepeatedNeurons(machine.neuron_models)
        self.sync_action = RepeatedSync(machine.sync_action, ticks)
        self.sync_out = RepeatedSync(machine.sync_out, ticks)

    def stretch(self, state: FastState, ticks: range) -> tuple[FastState, list[Tensor]]:
        """Some ticks in a row, and the post-activations of each."""
        z, alpha = state.z, state.alpha
        history = self.neurons.begin(state.history, len(ticks))
        every_z = []
        for tick in ticks:
            # 1. the synchronisation so far asks the data
            o = self.readings[tick](self.sync_action.at(tick, alpha))
            # 2. pre-activations
            a = self.synapse(torch.cat((o, z.t()), dim=1))
            # 3. and 4. histories and post-activations
            z = history.step(a)
            # 5. synchronisation; that of the answer comes after all ticks
            alpha = self.sync_action.update(alpha, z)
            every_z.append(z)
        return FastState(history.end(), z, alpha), every_z
