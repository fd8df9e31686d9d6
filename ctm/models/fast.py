"""The fast path through a machine: the same ticks, with all that a pass can prepare prepared."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ctm.layers.fast.neurons import Layer, Tape
from ctm.layers.fast.reading import RepeatedAttention
from ctm.layers.fast.sync import RepeatedSync
from ctm.layers.fast.synapses import repeated_synapse
from ctm.layers.reading import Attention
from ctm.models.machine import ContinuousThoughtMachine


def synchronised(machine: ContinuousThoughtMachine, inputs: Tensor, ticks: int) -> Tensor:
    reading = machine.read(inputs)
    if isinstance(reading, Attention): reading = RepeatedAttention(reading)
    batch=len(inputs)
    state = machine.start(batch)
    action = RepeatedSync(machine.sync_action, ticks)
    out = RepeatedSync(machine.sync_out, ticks)
    synapse = repeated_synapse(machine.synapse)
    layers = [Layer(l) for l in machine.neuron_models.layers]
    z = state.z.t()
    history = state.history.transpose(0, 1)
    alpha = action.start(z)
    zs = [z]
    tape = Tape(layers, history, ticks)
    window = tape.start(history)
    for t in range(ticks):
        o = reading(action.at(t, alpha))
        a = synapse(torch.cat((o, z.t()), 1))
        z, window = tape.step(a, window, t)
        alpha = action.update(alpha, z)
        zs.append(z)
    return out.all_ticks(torch.stack(zs))
