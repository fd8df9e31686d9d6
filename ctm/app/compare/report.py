"""The page of a comparison."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ctm.app.compare.budget import seconds_given
from ctm.app.compare.comparison import Comparison
from ctm.app.compare.contenders import OPTIMIZER
from ctm.app.compare.matching import Match
from ctm.app.compare.outcomes import Estimate, Outcome
from ctm.app.compare.pictures import draw
from ctm.app.compare.plan import Contestant, counted
from ctm.app.compare.table import write_table
from ctm.app.compare.tuning import SHARE, rate_of
from ctm.app.describe import si
from ctm.benchmark.report import table
from ctm.config import to_plain
from ctm.models.config import NoEncoderConfig

PAGE = "report.md"
NONE = "-"
SIZES = ("ticks", "neurons", "layers", "width", "hidden", "second", "head")


def write_report(comparison: Comparison) -> Path:
    """Writes page, table and pictures; returns the page."""
    comparison.out.mkdir(parents=True, exist_ok=True)
    page = comparison.out / PAGE
    page.write_text("\n\n".join([*paragraphs(comparison), *draw(comparison)]) + "\n")
    write_table(comparison)
    return page


def paragraphs(comparison: Comparison) -> Iterable[str]:
    yield f"# {comparison.arguments.experiment}: equal {comparison.arguments.match}"
    yield terms(comparison)
    if comparison.missing:
        yield f"**Not finished, and left out of the tables:** {'; '.join(standings(comparison))}."
    yield from comparison.notes
    yield sizes(comparison)
    if not comparison.names:
        return
    yield accuracies(comparison)
    if comparison.tried:
        yield learning_rates(comparison)
    yield costs(comparison)
    if comparison.arguments.examples:
        yield efficiency(comparison)


def standings(comparison: Comparison) -> Iterable[str]:
    """The missing runs, and how far they are."""
    last = {o.name: o.curve[-1] for o in comparison.underway}
    for run in comparison.missing:
        if run.name in last:
            trainer, (examples, accuracy) = run.experiment.trainer, last[run.name]
            whole = trainer.steps * trainer.batch_size * trainer.accumulate
            yield (
                f"{run} ({100 * accuracy:.2f} % of the validation examples after {examples:,} of "
                f"{whole:,})"
            )
        else:
            yield str(run)


def terms(comparison: Comparison) -> str:
    experiment = comparison.found[0].experiment
    trainer = experiment.trainer
    steps = {c.name: c.experiment.trainer.steps for c in comparison.found}
    match = comparison.arguments.match
    if match is Match.time:
        each = ", ".join(f"{name} {count:,}" for name, count in steps.items())
        seconds = f"{seconds_given(comparison.out):,.0f} s"
        budget = f"{seconds} of training by speeds measured before, alone (steps: {each})"
    else:
        budget = f"{next(iter(steps.values())):,} steps"
    size = trainer.batch_size * trainer.accumulate
    readouts = {c.experiment.model.readout for c in comparison.found}
    readout = f"the readout `{readouts.pop()}`, " if len(readouts) == 1 else ""
    changed = "; ".join(
        f"{name}: {', '.join(f'{key}={value}' for key, value in settings.items())}"
        for name, settings in comparison.arguments.settings.items()
    )
    return (
        f"`{comparison.command}`\n\n"
        f"Equal for all: the task and its data, the encoder, the loss "
        f"(`{experiment.loss['_target_']}`), the optimiser and its schedule, {budget} of "
        f"{size} examples each, {readout}seeds "
        f"{', '.join(map(str, comparison.arguments.seeds))}; and "
        f"{counted(match)} within {100 * comparison.arguments.tolerance:g} %. "
        f"{optimisers(comparison)}"
        + (f" Set by hand: {changed}." if changed else "")
        + exceptions(comparison)
    )


def optimisers(comparison: Comparison) -> str:
    if not comparison.tried:
        settings = comparison.arguments.settings.values()
        own = any(key.startswith(OPTIMIZER) for each in settings for key in each)
        return f"The optimiser's settings are the CTM's{', but for those set by hand' * own}."
    return (
        "The learning rate is each model's own, found by short runs (below); the optimiser's other "
        "settings are the CTM's."
    )


def exceptions(comparison: Comparison) -> str:
    """What is not equal, by the nature of a model."""
    first = comparison.found[0].experiment
    streamed = len(first.task.blank_sizes(1, "meta")) > 1
    raw = isinstance(first.model.encoder, NoEncoderConfig)
    names = [c.name for c in comparison.found]
    said = {
        "twin": " The twin is not matched: it is the CTM's own weights with one tick"
        + (", to each thing shown and to answer." if streamed else "."),
        "feedforward": " The feed-forward model reads the encoder's features, not its tokens: "
        + (
            "their average, so it can't tell in which order they came."
            if streamed
            else "all places side by side, without positions."
        ),
    }
    if raw:
        said |= {
            "transformer": " The CTM reads the numbers as they are; for a Transformer each "
            "becomes a token."
        }
    return "".join(text for name, text in said.items() if name in names)


def sizes(comparison: Comparison) -> str:
    match = comparison.arguments.match
    rows = [
        [
            c.name,
            f"{c.size.parameters:,}",
            si(c.size.flops),
            NONE if c.name == "twin" and match is Match.flops else f"{c.error:+.2%}",
            settings_of(c),
        ]
        for c in comparison.found
    ]
    header = ["model", "parameters", "FLOP an example, forward, on average"]
    return table([*header, f"{counted(match)} off by", "size"], rows)


def accuracies(comparison: Comparison) -> str:
    whole = any(o.metric("accuracy_whole") is not None for o in comparison.outcomes)
    header = ["model", "accuracy, mean ± sd", "95 % interval of the mean", "each seed"]
    header += ["whole examples right"] * whole + ["calibration error", "most certain tick"]
    rows = []
    for name in comparison.names:
        runs = comparison.of(name)
        estimate = Estimate.of([o.accuracy for o in runs])
        row = [name, spread(estimate), interval(estimate)]
        row.append(", ".join(f"{100 * o.accuracy:.2f}" for o in runs))
        if whole:
            row.append(spread(Estimate.of(numbers(runs, "accuracy_whole"))))
        calibration, tick = numbers(runs, "calibration_error"), numbers(runs, "mean_tick")
        row.append(f"{Estimate.of(calibration).mean:.3f}" if calibration else NONE)
        row.append(f"{Estimate.of(tick).mean:.1f} of {len(runs[0].per_tick)}" if tick else NONE)
        rows.append(row)
    return table(header, rows) + (
        "\n\nTest examples, in percent. From so few seeds no difference is called significant; "
        "the interval is Student's t over the seeds, cut at 0 and 100 %."
    )


def costs(comparison: Comparison) -> str:
    measured = comparison.speed["speed"] if comparison.speed else {}
    rows = []
    for name in comparison.names:
        found = measured.get(name)
        runs = comparison.of(name)
        speed = speeds(found) if found else [NONE] * 3
        rows.append([name, *speed, ", ".join(f"{o.result['seconds']:.0f}" for o in runs)])
    header = ["model", "training, examples/s", "inference, examples/s", "peak memory, MB"]
    text = table([*header, "seconds of each run"], rows)
    if comparison.speed:
        where = comparison.speed
        text += (
            f"\n\nSpeed and memory: {where['date'][:10]}, {where['hardware']['cpu']}, torch "
            f"threads: {where['of']['threads']}; medians of {where['rounds']} rounds in which "
            "all models take turns; memory: the most that the process (on a GPU: torch) holds "
            "in a training step. The seconds of the runs are the clock's, whatever else ran."
        )
    return text


def efficiency(comparison: Comparison) -> str:
    """Accuracy where only some examples may be seen."""
    counts = comparison.arguments.examples
    rows = [
        [
            name,
            *(mean_at(comparison, name, count) for count in counts),
            mean_at(comparison, name, None),
        ]
        for name in comparison.names
    ]
    most = comparison.found[0].experiment.trainer.examples
    header = ["model", *(f"{count:,} examples" for count in (*counts, *filter(None, [most])))]
    header += ["all"] * (not most)
    return table(header, rows) + "\n\nTest accuracy by the number of examples to train on."


def learning_rates(comparison: Comparison) -> str:
    """What each model tried, the rate that it trains with in bold."""
    tried = comparison.tried
    rates = sorted({rate for each in tried.values() for rate in each})
    rows = []
    for c in comparison.found:
        if c.name in tried:
            shares = {rate: f"{100 * share:.2f}" for rate, share in tried[c.name].items()}
            best = rate_of(c)
            shares[best] = f"**{shares[best]}**"
            rows.append([c.name, *(shares.get(rate, NONE) for rate in rates)])
    header = ["model", *(f"lr {rate:g}" for rate in rates)]
    return table(header, rows) + (
        f"\n\nValidation accuracy, in percent, of short runs with each learning rate: 1/{SHARE} of "
        f"the steps, the schedule as much shorter, seed {comparison.arguments.seeds[0]}. Each "
        "model trains with the one in bold."
    )


def mean_at(comparison: Comparison, name: str, examples: int | None) -> str:
    runs = comparison.of(name, examples)
    return spread(Estimate.of([o.accuracy for o in runs])) if runs else NONE


def speeds(found: dict[str, Any]) -> list[str]:
    """Training, inference and memory of one model."""
    memory = found["memory"]
    return [
        f"{found['training']:,.0f}",
        f"{found['inference']:,.0f}",
        NONE if memory is None else f"{memory / 1e6:,.0f}",
    ]


def settings_of(contestant: Contestant) -> str:
    model = contestant.experiment.model
    shown = {name: to_plain(getattr(model, name)) for name in SIZES if hasattr(model, name)}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if value)


def numbers(runs: Sequence[Outcome], metric: str) -> list[float]:
    return [value for o in runs if (value := o.metric(metric)) is not None]


def spread(estimate: Estimate) -> str:
    mean = f"{100 * estimate.mean:.2f}"
    return mean if estimate.deviation is None else f"{mean} ± {100 * estimate.deviation:.2f}"


def interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return NONE
    return f"{100 * max(estimate.low, 0):.1f} to {100 * min(estimate.high, 1):.1f}"
