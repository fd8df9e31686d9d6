"""What every measurement of a model on a set of examples is."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from ctm.interface import Batch, Readout, Thoughts


@runtime_checkable
class Evaluation(Protocol):
    """Adds up what batches show, and says it at the end. Everything stays on one device.

    Metrics that readouts have each for itself are `{name: {readout: value}}`. Every task has
    `accuracy`, and under `per_tick` a list of it, one value a tick.
    """

    def add(self, thoughts: Thoughts, batch: Batch) -> None:
        """Takes the thoughts about one batch into account."""
        ...

    def result(self) -> dict[str, Any]: ...


def by(readout: Readout, values: Mapping[str, float]) -> float:
    """A metric by a readout, or by the only way there is to read all ticks."""
    return values[readout] if readout in values else next(iter(values.values()))


def add_up(sums: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    """Adds the sums of one more batch to those of all before."""
    for name, value in more.items():
        sums[name] = sums[name] + value if name in sums else value
