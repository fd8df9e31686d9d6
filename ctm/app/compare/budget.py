"""match=time: each contestant takes as many steps as fit into the same time on this machine."""

import json
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from ctm.app.compare.plan import Arguments, Contestant
from ctm.app.compare.speed import rates_of

BUDGET = "budget.json"


def equal_time(
    arguments: Arguments, found: Sequence[Contestant], console: Console
) -> list[Contestant]:
    """The contestants with their own numbers of steps.

    These are measured once and kept: the same command finds its runs again.
    """
    file = arguments.out / BUDGET
    steps: dict[str, int] = json.loads(file.read_text())["steps"] if file.exists() else {}
    if not steps.keys() >= {contestant.name for contestant in found}:
        console.print("timing everyone's steps, one after the other, again and again")
        steps |= timed(arguments, found)
        arguments.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"seconds": arguments.seconds, "steps": steps}, indent=2) + "\n")
    return [with_steps(contestant, steps[contestant.name]) for contestant in found]


def timed(arguments: Arguments, found: Sequence[Contestant]) -> dict[str, int]:
    """Steps that everyone does in the time asked for, or in the time that the CTM takes."""
    rates = rates_of({contestant.name: contestant.experiment for contestant in found})
    each = {name: rate.training / examples_a_step(found[0]) for name, rate in rates.items()}
    ours = found[0]
    seconds = arguments.seconds or ours.experiment.trainer.steps / each[ours.name]
    return {name: max(round(seconds * rate), 1) for name, rate in each.items()}


def examples_a_step(contestant: Contestant) -> int:
    trainer = contestant.experiment.trainer
    return trainer.batch_size * trainer.accumulate


def with_steps(contestant: Contestant, steps: int) -> Contestant:
    """Validated and saved as often as in the experiment, by share of the whole."""
    trainer = contestant.experiment.trainer

    def scaled(every: int) -> int:
        return max(every * steps // trainer.steps, 1)

    changed = replace(
        trainer,
        steps=steps,
        evaluate_every=scaled(trainer.evaluate_every),
        checkpoint_every=scaled(trainer.checkpoint_every),
    )
    return replace(contestant, experiment=contestant.experiment.altered(trainer=changed))
