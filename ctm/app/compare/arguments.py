"""The words of the command, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from ctm.app.compare.contenders import CONTENDERS, REFERENCE
from ctm.app.compare.matching import Match
from ctm.app.values import items, positive, whole_number, yes_or_no
from ctm.errors import UserError, listed

MOST_SEEDS = 1000
USUAL = (REFERENCE, "twin", "transformer", "looped", "lstm", "feedforward")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Of `scripts/compare.py`, read and checked.

    Args:
        experiment: whose task, loss, optimiser and number of steps all have in common.
        models: of `CONTENDERS`.
        seeds: of which each trains one run.
        match: what a contender has in common with the CTM.
        tolerance: largest share by which a matched size may be off.
        examples: train also on so many examples alone, one run more each.
        tune: learning rates, the best of which each model trains with.
        seconds: match=time: of training; 0: as long as the CTM takes.
        jobs: runs side by side.
        describe: only says who would take part, at which sizes, and how many runs that is.
        out: folder of the report and of all runs but the experiment's own.
        settings: of single models, `{"looped": {"ticks": 4}}`.
        overrides: of the experiment, for all of them.
    """

    experiment: str
    models: tuple[str, ...] = USUAL
    seeds: tuple[int, ...] = (0, 1, 2)
    match: Match = Match.parameters
    tolerance: float = 0.01
    examples: tuple[int, ...] = ()
    tune: tuple[float, ...] = ()
    seconds: float = 0.0
    jobs: int = 1
    describe: bool = False
    out: Path
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()


def parsed(words: Sequence[str]) -> Arguments:
    """
    Raises:
        UserError: a word that is none of `name=value`, or a value that won't do.
    """
    values: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {}
    overrides: list[str] = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UserError(f"{word}: want name=value, such as experiment=digits/quick seeds=3")
        model, dot, setting = name.partition(".")
        if name in READERS:
            values[name] = READERS[name](name, text)
        elif dot and model in CONTENDERS:
            settings.setdefault(model, {})[setting] = value_of(text)
        elif name.lstrip("+~") in ("seed", "run_dir", "name", "model"):
            raise UserError(
                f"{word}: the comparison's own; choose models=..., seeds=... or out=..."
            )
        else:
            overrides.append(word)
    if "experiment" not in values:
        raise UserError("experiment=?: want one, such as experiment=digits/quick")
    unknown = [model for model in settings if model not in values.get("models", USUAL)]
    if unknown:
        raise UserError(f"{unknown[0]}.{next(iter(settings[unknown[0]]))}: not among the models=")
    match = values.get("match", Match.parameters)
    values.setdefault("out", Path("runs/compare") / values["experiment"] / match)
    if values.get("seconds") and match is not Match.time:
        raise UserError(f"seconds={values['seconds']:g}: goes with match=time")
    return Arguments(**values, settings=settings, overrides=tuple(overrides))


def value_of(text: str) -> Any:
    """As Hydra reads a value: `1e-3` is a number."""
    try:
        return OmegaConf.from_dotlist([f"value={text}"])["value"]
    except YAMLError:
        return text


def some_of(name: str, text: str) -> tuple[str, ...]:
    names = items(text)
    unknown = [model for model in names if model not in CONTENDERS]
    if unknown or not names or len(set(names)) < len(names):
        wrong = f"no {listed(unknown)}" if unknown else "one of each"
        raise UserError(f"{name}={text}: {wrong}; want some of {', '.join(CONTENDERS)}")
    if names[0] != REFERENCE:
        raise UserError(f"{name}={text}: want {REFERENCE} first: the others are matched to it")
    return names


def seeds_of(name: str, text: str) -> tuple[int, ...]:
    """How many, or in brackets which."""
    if text.isdecimal() and 1 <= int(text) <= MOST_SEEDS:
        return tuple(range(int(text)))
    numbers = items(text)
    bracketed = text.startswith("[") and text.endswith("]")
    if not bracketed or not numbers or not all(map(str.isdecimal, numbers)):
        raise UserError(f"{name}={text}: want how many, at most {MOST_SEEDS}, or [0,1,2]")
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{name}={text}: want each of them once")
    return tuple(map(int, numbers))


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    numbers = items(text)
    if not numbers or not all(number.isdecimal() and int(number) for number in numbers):
        raise UserError(f"{name}={text}: want whole numbers of 1 or more, such as [100,1000]")
    return tuple(sorted(set(map(int, numbers))))


def rates(name: str, text: str) -> tuple[float, ...]:
    try:
        numbers = {positive(name, number) for number in items(text)}
    except UserError:
        numbers = set()
    if not numbers:
        raise UserError(f"{name}={text}: want learning rates, such as [3e-4,1e-3,3e-3]")
    return tuple(sorted(numbers))


def share(name: str, text: str) -> float:
    number = positive(name, text)
    if number >= 1:
        raise UserError(f"{name}={text}: want a share between 0 and 1, such as 0.01")
    return number


def folder(name: str, text: str) -> Path:
    if not text:
        raise UserError(f"{name}=: want a folder, such as {name}=runs/compare/mine")
    return Path(text)


def match_of(name: str, text: str) -> Match:
    if text not in list(Match):
        raise UserError(f"{name}={text}: choose one of {', '.join(Match)}")
    return Match(text)


READERS: dict[str, Any] = {
    "experiment": lambda name, text: text,
    "models": some_of,
    "seeds": seeds_of,
    "match": match_of,
    "tolerance": share,
    "examples": whole_numbers,
    "tune": rates,
    "seconds": positive,
    "jobs": whole_number,
    "describe": yes_or_no,
    "out": folder,
}
