"""The LSTM baseline: the machine's way to read and to answer around a recurrent network."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ctm.layers.reading import Reading
from ctm.layers.sync import Activations, Sums, Synchronisation
from ctm.models.asking import AskingModel, AskingParts


class LSTMStart(StrEnum):
    """What is learned of the state before the first tick."""

    own = "own"  # hidden and cell state of every layer (the published baseline)
    shared = "shared"  # one vector, the hidden state of every layer; cells start at 0 (the mazes')


@dataclass(frozen=True)
class LSTMState:
    """All that the network carries from one tick to the next."""

    hidden: Float[Tensor, "layers batch width"]
    cell: Float[Tensor, "layers batch width"]
    action: Sums
    out: Sums

    def rows(self, kept: Int[Tensor, " kept"]) -> "LSTMState":
        """Of some examples."""
        hidden, cell = self.hidden[:, kept], self.cell[:, kept]
        return LSTMState(hidden, cell, self.action.rows(kept), self.out.rows(kept))

    @property
    def z(self) -> Float[Tensor, "batch width"]:
        return self.hidden[-1]


class LSTM(AskingModel):
    """An LSTM whose top hidden state asks the data, and answers.

    With synchronisation in the place of that state it is an ablation of the paper.

    Args:
        width, layers: of the network.
        d_input: width of o.
        reads_hidden: the network reads concat(o, top hidden state) instead of o alone.
        starts: what is learned of the first state.
        sync_action, sync_out: from top hidden states to what asks and to what answers.
        parts: what every model has that asks its data; see `AskingModel`.
    """

    def __init__(
        self,
        *,
        width: int,
        layers: int,
        d_input: int,
        reads_hidden: bool,
        starts: LSTMStart,
        sync_action: Synchronisation | Activations,
        sync_out: Synchronisation | Activations,
        **parts: Unpack[AskingParts],
    ) -> None:
        super().__init__(**parts)
        self.reads_hidden = reads_hidden
        self.lstm = nn.LSTM(d_input + width * reads_hidden, width, layers)
        self.sync_action, self.sync_out = sync_action, sync_out
        self.answer = nn.Linear(sync_out.pairs, self.outputs)
        own = starts is LSTMStart.own
        self.start_hidden = nn.Parameter(torch.empty(layers if own else 1, width))
        self.start_cell = nn.Parameter(torch.empty(layers, width)) if own else None

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Start states: uniform within +-sqrt(1 / width)."""
        bound = self.lstm.hidden_size**-0.5
        for start in (self.start_hidden, self.start_cell):
            if start is not None:
                nn.init.uniform_(start, -bound, bound, generator=generator)

    def tick(self, state: LSTMState, reading: Reading) -> LSTMState:
        """One step of the network. Pure."""
        o = reading(self.sync_action(state.action))
        x = torch.cat((o, state.z), dim=1) if self.reads_hidden else o
        _, (hidden, cell) = self.lstm(x.unsqueeze(0), (state.hidden, state.cell))
        z = hidden[-1]
        action, out = self.sync_action.update(state.action, z), self.sync_out.update(state.out, z)
        return LSTMState(hidden, cell, action, out)

    def start(self, batch: int) -> LSTMState:
        """The state before the first tick, the same for every example."""
        if self.training:
            self.sync_action.clamp_decay()
            self.sync_out.clamp_decay()
        hidden = self.start_hidden.unsqueeze(1).expand(self.lstm.num_layers, batch, -1).contiguous()
        if self.start_cell is None:
            cell = torch.zeros_like(hidden)
        else:
            cell = self.start_cell.unsqueeze(1).expand(-1, batch, -1).contiguous()
        z = hidden[-1]
        return LSTMState(hidden, cell, self.sync_action.start(z), self.sync_out.start(z))
