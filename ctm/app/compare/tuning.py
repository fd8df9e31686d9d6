"""tune=: each model's own learning rate, found on short runs by the validation examples."""

from collections.abc import Iterator, Mapping, Sequence

from omegaconf import DictConfig

from ctm.app.compare.arguments import Arguments
from ctm.app.compare.budget import with_steps
from ctm.app.compare.outcomes import Outcome
from ctm.app.compare.plan import Contestant, Name, Run, one_run
from ctm.errors import UserError

SHARE = 4  # of so many steps a trial takes one

# of each model the learning rates that it tried, and the accuracy that each came to
Tried = Mapping[str, Mapping[float, float]]


def trials(arguments: Arguments, found: Sequence[Contestant]) -> Iterator[Run]:
    """A short run of each learning rate, the experiment's among them.

    With the first seed, a quarter of the steps, and a schedule as much shorter. A model whose
    learning rate was set by hand keeps it.
    """
    for contestant in found:
        if not arguments.tune or "optimizer.lr" in arguments.settings.get(contestant.name, {}):
            continue
        short = with_steps(contestant, max(contestant.experiment.trainer.steps // SHARE, 1))
        for rate in sorted({*arguments.tune, rate_of(contestant)}):
            name = Name(contestant.name, arguments.seeds[0], rate=rate)
            yield one_run(arguments, short, name, optimizer=with_rate(contestant, rate))


def results(outcomes: Sequence[Outcome]) -> Tried:
    """Of finished trials."""
    found: dict[str, dict[float, float]] = {}
    for outcome in outcomes:
        assert outcome.name.rate is not None
        found.setdefault(outcome.name.model, {})[outcome.name.rate] = outcome.curve[-1].accuracy
    return found


def tuned(contestant: Contestant, tried: Tried) -> Contestant:
    """With the learning rate that came to most; of equal ones the experiment's, or the lowest."""
    rates = tried.get(contestant.name)
    if rates is None:
        return contestant
    own = rate_of(contestant)
    best = max(sorted(rates), key=lambda rate: (rates[rate], rate == own))
    if best == own:
        return contestant
    return contestant.altered(optimizer=with_rate(contestant, best))


def rate_of(contestant: Contestant) -> float:
    """The learning rate it trains with.

    Raises:
        UserError: its optimiser has none.
    """
    optimizer = contestant.experiment.optimizer
    if "lr" not in optimizer:
        raise UserError(f"tune=...: optimizer={optimizer['_target_']} has no lr to tune")
    return float(optimizer.lr)


def with_rate(contestant: Contestant, rate: float) -> DictConfig:
    return DictConfig({**contestant.experiment.optimizer, "lr": rate})
