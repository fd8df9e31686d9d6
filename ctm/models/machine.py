"""The Continuous Thought Machine (Darlow et al., arXiv 2505.05522).

`tick` is the whole machine; read it first.
"""

from dataclasses import dataclass
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ctm.layers.reading import Reading
from ctm.layers.sync import Activations, Sums, Synchronisation
from ctm.models.asking import AskingModel, AskingParts


@dataclass(frozen=True)
class State:
    """All that the machine carries from one tick to the next."""

    history: Float[Tensor, "batch neurons memory"]  # A: the last M pre-activations, oldest first
    z: Float[Tensor, "batch neurons"]  # post-activations
    action: Sums  # synchronisation so far, as the next tick asks with it
    out: Sums  # synchronisation so far, as this tick answers with it

    def rows(self, kept: Int[Tensor, " kept"]) -> "State":
        """Of some examples."""
        return State(self.history[kept], self.z[kept], self.action.rows(kept), self.out.rows(kept))


class ContinuousThoughtMachine(AskingModel):
    """Neurons with private models over time; how they synchronise asks the data and answers.

    Made of parts, each a module with its own equation (`ctm.models.build` puts them together):

    Args:
        neurons: D.
        memory_length: M.
        synapse: concat(o, z) to pre-activations a.
        neuron_models: histories A to post-activations z.
        sync_action, sync_out: the synchronisation that asks, and the one that answers.
        parts: what every model has that asks its data; see `AskingModel`.
    """

    def __init__(
        self,
        *,
        neurons: int,
        memory_length: int,
        synapse: nn.Module,
        neuron_models: nn.Module,
        sync_action: Synchronisation | Activations,
        sync_out: Synchronisation | Activations,
        **parts: Unpack[AskingParts],
    ) -> None:
        super().__init__(**parts)
        self.synapse = synapse
        self.neuron_models = neuron_models
        self.sync_action = sync_action
        self.sync_out = sync_out
        self.answer = nn.Linear(sync_out.pairs, self.outputs)
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

    def seen(self, before: State, after: State, reading: Reading) -> dict[str, Tensor]:
        seen = super().seen(before, after, reading)
        return seen | {"pre_activations": after.history[:, :, -1]}
