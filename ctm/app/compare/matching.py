"""Equal terms: the size at which a contender costs what the reference costs."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial
from typing import NamedTuple

from ctm.app.compose import Experiment
from ctm.app.describe import count, mean_flops
from ctm.errors import ConfigError, UserError
from ctm.models.build import build_model
from ctm.models.config import (
    FeedForwardConfig,
    LSTMConfig,
    ModelConfig,
    TransformerConfig,
)
from ctm.models.feedforward import Head

MOST_STEPS = 2**20  # of a size, where nothing is large enough
TOO_SMALL = float("-inf")  # cost of a size that a model refuses
CLOSE = 0.005  # so near to the goal no better match is looked for


class Match(StrEnum):
    """What contenders have in common with the reference, beside data, loss and batch size."""

    parameters = "parameters"  # and the number of steps
    flops = "flops"  # of training on one example, and the number of steps
    time = "time"  # the seconds of training, on this machine; and parameters


class Size(NamedTuple):
    """What a model costs: parameters, and operations of an example's forward pass.

    Operations are averaged over the sizes that are trained on; training takes about three times as
    many, for every model alike.
    """

    parameters: int
    flops: int

    def of(self, match: Match) -> int:
        return self.flops if match is Match.flops else self.parameters

    def error(self, target: "Size", match: Match) -> float:
        """By which share it is larger than the target."""
        return self.of(match) / target.of(match) - 1


def size_of(experiment: Experiment) -> Size:
    return Size(cost(experiment, Match.parameters), cost(experiment, Match.flops))


def cost(experiment: Experiment, match: Match) -> int:
    """What is to be matched, of a model without weights."""
    model = build_model(experiment.model, experiment.task.spec, device="meta")
    return mean_flops(model, experiment.task) if match is Match.flops else count(model)


def matched(
    experiment: Experiment, target: Size, match: Match, fixed: Collection[str]
) -> Experiment:
    """The contender at the size nearest to the target.

    Args:
        fixed: settings that were asked for and are left alone.

    Raises:
        UserError: none is left to be found.
    """

    def at(sizes: Sizes) -> Experiment:
        return experiment.altered(model=replace(experiment.model, **sizes))

    @cache
    def cost_at(sizes: tuple[tuple[str, int], ...]) -> int:
        return cost(at(dict(sizes)), match)

    coarse, fine = knobs(experiment.model)
    found = Search(lambda sizes: cost_at(tuple(sizes.items())), target.of(match))
    free = [knob for knob in (coarse, fine) if knob is not None and knob.name not in fixed]
    match free:
        case []:
            raise ConfigError(
                f"{', '.join(sorted(fixed))} set by hand: match={match} has no size left to look "
                "for; leave one of them to it"
            )
        case [knob]:
            return at({knob.name: found.nearest(knob)})
        case _:
            return at(found.both(*free))


Sizes = dict[str, int]


class Knob(NamedTuple):
    """A setting that makes a model larger.

    `step`: the least change of it; `usual`: of a fine one, its ratio to the coarse one, None where
    it is best left out.
    """

    name: str
    step: int = 1
    usual: int | None = None


def knobs(config: ModelConfig) -> tuple[Knob, Knob | None]:
    """What makes a model larger, and what makes up for the steps that it takes."""
    match config:
        case LSTMConfig():
            return Knob("width"), None
        case TransformerConfig():
            return Knob("width", 2 * config.heads), Knob("hidden", usual=4)
        case FeedForwardConfig():
            return Knob("hidden", 2 if config.head is Head.flat else 1), Knob("second")
        case _:
            raise UserError(f"model.kind={config.kind}: nothing to match it by")


@dataclass(frozen=True)
class Search:
    """Looks for sizes at which a cost comes nearest to a goal."""

    cost: Callable[[Sizes], int]
    goal: int

    def nearest(self, knob: Knob, among: Callable[[int], Sizes] | None = None) -> int:
        """The value of a knob; `among` gives all sizes for it."""

        def cost(steps: int) -> float:
            value = steps * knob.step
            return self.cost_of(among(value) if among else {knob.name: value})

        low, high = 1, 2
        while cost(high) < self.goal and high < MOST_STEPS:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if cost(middle) < self.goal else (low, middle)
        return knob.step * min((low, high), key=lambda steps: abs(cost(steps) - self.goal))

    def both(self, coarse: Knob, fine: Knob) -> Sizes:
        """A coarse value and the fine one that makes up for the rest, in its usual ratio."""
        ratio = fine.usual

        def sizes(value: int) -> Sizes:
            return {coarse.name: value} | ({fine.name: ratio * value} if ratio else {})

        first = self.nearest(coarse, sizes)
        if ratio is None and self.error({coarse.name: first}) <= CLOSE:
            return {coarse.name: first}
        around = (first - coarse.step, first, first + coarse.step)
        tried = [
            {coarse.name: value, fine.name: self.nearest(fine, partial(_with, coarse, fine, value))}
            for value in around
            if value >= coarse.step
        ]

        def badness(found: Sizes) -> tuple[bool, float]:
            error = self.error(found)
            far = abs(found[fine.name] / found[coarse.name] - (ratio or 0))
            return error > CLOSE, far if error <= CLOSE else error

        return min(tried, key=badness)

    def error(self, sizes: Sizes) -> float:
        return abs(self.cost_of(sizes) / self.goal - 1)

    def cost_of(self, sizes: Sizes) -> float:
        """A size that is refused, such as heads too narrow for their positions, is too small."""
        try:
            return self.cost(sizes)
        except ConfigError:
            return TOO_SMALL


def _with(coarse: Knob, fine: Knob, value: int, more: int) -> Sizes:
    return {coarse.name: value, fine.name: more}
