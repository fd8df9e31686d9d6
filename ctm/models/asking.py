"""What models have in common that ask their data at every tick: the machine and the LSTM."""

from typing import Any, Protocol, Unpack, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ctm.interface import Inputs
from ctm.layers.reading import Attention, Reader, Reading
from ctm.layers.sync import Sums, Synchronisation
from ctm.models.ticking import Parts, TickingModel


@runtime_checkable
class AskingState(Protocol):
    """What the state of every such model holds, beside its own."""

    @property
    def z(self) -> Float[Tensor, "batch neurons"]: ...
    @property
    def action(self) -> Sums: ...  # as the next tick asks with it
    @property
    def out(self) -> Sums: ...  # as this tick answers with it


class AskingParts(Parts):
    """Of every model that asks.

    - reader: data to readings, once a pass; a tick's reading maps what is asked to o.
    """

    reader: Reader


class AskingModel(TickingModel):
    """Post-activations, or how they synchronise, ask the data and answer."""

    # of post-activations so far, each a `Synchronisation` or `Activations`
    sync_action: Any  # to what asks
    sync_out: Any  # to what answers

    def __init__(self, **parts: Unpack[AskingParts]) -> None:
        super().__init__(**parts)
        self.reader: Reader = parts["reader"]

    def readings(self, inputs: Inputs, ticks: int) -> list[Reading]:
        """How the data are read at each tick. Keys and values are projected once for all."""
        return self.reader.schedule(self.encoded(inputs), ticks)

    def representation(self, state: AskingState) -> Float[Tensor, "batch pairs"]:
        return self.sync_out(state.out)

    def seen(self, before: Any, after: Any, reading: Reading) -> dict[str, Tensor]:
        seen = {"post_activations": after.z}
        if isinstance(self.sync_out, Synchronisation):
            seen["sync_out"] = self.sync_out(after.out)
        if isinstance(reading, Attention):
            asked = self.sync_action(before.action)
            seen["attention"] = reading.weights(asked)
            if isinstance(self.sync_action, Synchronisation):
                seen["sync_action"] = asked
        return seen
