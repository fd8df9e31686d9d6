"""Everything about one comparison, as it will be reported."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctm.app.compare.arguments import Arguments
from ctm.app.compare.outcomes import Outcome
from ctm.app.compare.plan import Contestant, Run
from ctm.app.compare.tuning import Tried


@dataclass(frozen=True)
class Comparison:
    """Who took part, and what came of it.

    Args:
        found: the models at their sizes, the reference first.
        outcomes: of the runs that have finished.
        missing: runs that have not.
        underway: those of the missing ones that have been validated.
        tried: of each model, what came of the learning rates that it tried.
        speed: what `speed.measure` found; None where it was not measured.
        command: that was typed.
        notes: what else is to be said, a paragraph each.
    """

    arguments: Arguments
    found: Sequence[Contestant]
    outcomes: Sequence[Outcome]
    missing: Sequence[Run]
    underway: Sequence[Outcome]
    speed: dict[str, Any] | None
    command: str
    tried: Tried = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def out(self) -> Path:
        return self.arguments.out

    def of(self, name: str, examples: int | None = None) -> list[Outcome]:
        """The finished runs of a model."""
        wanted = (name, examples)
        return [o for o in self.outcomes if (o.name.model, o.name.examples) == wanted]

    def begun(self, name: str) -> list[Outcome]:
        """The runs of a model, on all examples, that are underway."""
        return [o for o in self.underway if (o.name.model, o.name.examples) == (name, None)]

    @property
    def names(self) -> list[str]:
        """Of the models that have a finished run."""
        return [contestant.name for contestant in self.found if self.of(contestant.name)]
