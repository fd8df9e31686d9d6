"""match=time: each contestant takes as many steps as fit into the same time on this machine."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from ctm.app.compare.arguments import Arguments
from ctm.app.compare.plan import Contestant
from ctm.app.compare.speed import rates_of
from ctm.app.result import read_json, write_json
from ctm.errors import UserError

BUDGET = "budget.json"


def equal_time(
    arguments: Arguments, found: Sequence[Contestant], console: Console
) -> list[Contestant]:
    """The contestants with their own numbers of steps.

    These are measured once and kept: the same command finds its runs again, and a model that joins
    later gets the same time.

    Raises:
        UserError: another time was asked for before, or the file that says so is damaged.
    """
    file = arguments.out / BUDGET
    kept = kept_in(file) or {"asked": arguments.seconds, "seconds": 0.0, "steps": {}}
    if kept["asked"] != arguments.seconds:
        before = f"{kept['asked']:g}" if kept["asked"] else "as long as the CTM takes"
        raise UserError(
            f"seconds={arguments.seconds:g}: {file} holds a comparison with seconds: {before}; "
            "choose another out=..."
        )
    steps: dict[str, int] = kept["steps"]
    new = [contestant for contestant in found if contestant.name not in steps]
    if new:
        console.print("timing everyone's steps, one model after the other, again and again")
        rates = rates_of({contestant.name: contestant.experiment for contestant in new})
        each = {name: rate.training / examples_a_step(found[0]) for name, rate in rates.items()}
        if not kept["seconds"]:  # the CTM is among them: nothing was kept
            own = found[0].experiment.trainer.steps / each[found[0].name]
            kept["seconds"] = arguments.seconds or own
        steps |= {name: max(round(kept["seconds"] * rate), 1) for name, rate in each.items()}
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(file, kept)
    return [with_steps(contestant, steps[contestant.name]) for contestant in found]


def seconds_given(out: Path) -> float:
    """Those that each contestant of a comparison has to train."""
    kept = kept_in(out / BUDGET)
    assert kept is not None  # `equal_time` wrote it
    return kept["seconds"]


def kept_in(file: Path) -> dict[str, Any] | None:
    """What was measured before; None: nothing was."""
    if not file.exists():
        return None
    match read_json(file):
        case {
            "asked": int() | float(),
            "seconds": int() | float() as seconds,
            "steps": dict() as steps,
        } as kept if seconds > 0 and all(
            isinstance(count, int) and count > 0 for count in steps.values()
        ):
            return kept
    raise UserError(
        f"{file}: damaged, so the steps of the runs beside it are not known; choose another out=..."
    )


def examples_a_step(contestant: Contestant) -> int:
    trainer = contestant.experiment.trainer
    return trainer.batch_size * trainer.accumulate


def with_steps(contestant: Contestant, steps: int) -> Contestant:
    """Trained for other steps: warmed up, validated and saved as often by share of the whole."""
    experiment = contestant.experiment
    trainer, schedule = experiment.trainer, experiment.schedule

    def share(count: int) -> int:
        return max(count * steps // trainer.steps, 1)

    changed = replace(
        trainer,
        steps=steps,
        evaluate_every=share(trainer.evaluate_every),
        checkpoint_every=share(trainer.checkpoint_every),
    )
    if schedule.get("warmup"):
        schedule = DictConfig({**schedule, "warmup": share(schedule.warmup)})
    return contestant.altered(trainer=changed, schedule=schedule)
