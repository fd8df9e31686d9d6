"""What is to be compared: a run for each model and seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ctm.app.compare.arguments import Arguments
from ctm.app.compare.contenders import REFERENCE, contender
from ctm.app.compare.matching import Match, Size, matched, size_of
from ctm.app.compose import Experiment, compose
from ctm.app.folder import SETTINGS, differences, read_settings
from ctm.app.train import rehearse
from ctm.errors import ConfigError, UserError
from ctm.training.stream import Stream

AS_IT_IS = (REFERENCE, "twin")  # never matched: the reference, and its own weights with one tick


@dataclass(frozen=True)
class Contestant:
    """One model of the comparison, at its size.

    Args:
        error: of what is matched: by which share it is more than the CTM's.
        itself: the experiment as anyone trains it, nothing changed.
    """

    name: str
    experiment: Experiment
    size: Size
    error: float
    itself: bool = False

    def altered(self, **changes: Any) -> "Contestant":
        """Trained with other settings."""
        return replace(self, experiment=self.experiment.altered(**changes), itself=False)


class Name(NamedTuple):
    """Of a run.

    `examples`: that it is restricted to, None: all. `rate`: the learning rate that a short run
    tries, None: no trial.
    """

    model: str
    seed: int
    examples: int | None = None
    rate: float | None = None

    @property
    def kind(self) -> str:
        """What it is beside a usual run, for a folder's name; empty: that it is none."""
        few = f"examples{self.examples}" if self.examples else ""
        return few if self.rate is None else f"lr{self.rate:g}"

    def __str__(self) -> str:
        few = f", {self.examples} examples" if self.examples else ""
        trial = f", lr {self.rate:g}" if self.rate is not None else ""
        return f"{self.model}{few}{trial}, seed {self.seed}"


@dataclass(frozen=True)
class Run:
    """One training run."""

    name: Name
    experiment: Experiment

    @property
    def folder(self) -> Path:
        return self.experiment.run_dir

    def __str__(self) -> str:
        return str(self.name)


def contestants(arguments: Arguments) -> list[Contestant]:
    """Every model at the size that matches the CTM's.

    Raises:
        UserError: a model can't do the task, or comes in no size near enough.
    """
    reference = compose([f"experiment={arguments.experiment}", *arguments.overrides])
    match = arguments.match
    ours = contender(REFERENCE, reference, arguments.settings.get(REFERENCE, {}))
    rehearse(ours)
    most = max(arguments.examples, default=None)
    # what the data lack is said now, not by every run
    Stream(ours.task.training(), batch_size=ours.trainer.batch_size, seed=0, only=most)
    target = size_of(ours)
    itself = not (arguments.overrides or arguments.settings.get(REFERENCE))
    found = [Contestant(REFERENCE, ours, target, 0.0, itself)]
    for name in arguments.models[1:]:
        settings = arguments.settings.get(name, {})
        try:
            candidate = contender(name, reference.altered(model=ours.model), settings)
            if name not in AS_IT_IS:
                candidate = matched(candidate, target, match, settings.keys())
            rehearse(candidate)
        except ConfigError as error:
            others = ",".join(model for model in arguments.models if model != name)
            raise UserError(f"{name}: {error}; or leave it out: models=[{others}]") from None
        size = size_of(candidate)
        error = size.error(target, match)
        if abs(error) > arguments.tolerance and name not in AS_IT_IS:
            raise UserError(
                f"models: {name} comes no nearer to the {target.of(match):,} {counted(match)} of "
                f"{REFERENCE} than {size.of(match):,} ({error:+.1%}); leave it out or set "
                f"tolerance={abs(error) + 0.01:.2f}"
            )
        found.append(Contestant(name, candidate, size, error))
    return found


def counted(match: Match) -> str:
    return "FLOPs" if match is Match.flops else "parameters"


def runs(arguments: Arguments, found: Sequence[Contestant]) -> Iterator[Run]:
    """One for each model, seed and number of examples; those of a seed together."""
    for seed in arguments.seeds:
        for examples in (None, *arguments.examples):
            for contestant in found:
                name = Name(contestant.name, seed, examples)
                yield itself(contestant, name) or one_run(arguments, contestant, name)


def itself(contestant: Contestant, name: Name) -> Run | None:
    """The experiment's own run, where it is one; None if its folder holds another."""
    experiment = contestant.experiment
    own = replace(experiment, seed=name.seed, plain={**experiment.plain, "seed": name.seed})
    place = Path(f"runs/{experiment.name}/seed{name.seed}")
    if not contestant.itself or name.examples:
        return None
    if (place / SETTINGS).exists() and differences(read_settings(place), own.plain):
        return None
    return Run(name, replace(own, run_dir=place))


def one_run(arguments: Arguments, contestant: Contestant, name: Name, **changes: Any) -> Run:
    """A run in a folder of the comparison.

    Args:
        changes: of the experiment beside those that the run's name says.
    """
    experiment = contestant.experiment
    folder = arguments.out / contestant.name / name.kind / f"seed{name.seed}"
    if name.examples:
        changes["trainer"] = replace(experiment.trainer, examples=name.examples)
    if name.kind:
        changes["name"] = f"{experiment.name}/{name.kind}"
    return Run(name, experiment.altered(seed=name.seed, run_dir=folder, **changes))
