"""The page, the table and the pictures of a comparison."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ctm.analysis.comparison import Line, Panel, comparison_figure, seeds_figure
from ctm.app.compare.matching import Match
from ctm.app.compare.outcomes import BySize, Estimate, Outcome, name_of_harder
from ctm.app.compare.plan import Arguments, Contestant, Run, counted
from ctm.app.describe import si
from ctm.benchmark.report import table
from ctm.config import to_plain
from ctm.models.config import NoEncoderConfig

PAGE, TABLE = "report.md", "runs.csv"
NONE = "-"
SIZES = ("ticks", "neurons", "layers", "width", "hidden", "second", "head")


class Report:
    """Everything about one comparison, as it will be written."""

    def __init__(
        self,
        arguments: Arguments,
        found: Sequence[Contestant],
        outcomes: Sequence[Outcome],
        missing: Sequence[Run],
        speed: dict[str, Any] | None,
        command: str,
        notes: Sequence[str] = (),
    ) -> None:
        self.arguments, self.found, self.outcomes = arguments, found, outcomes
        self.notes = notes
        self.missing, self.speed, self.command = missing, speed, command
        self.out = arguments.out

    def write(self) -> Path:
        """Writes page, table and pictures; returns the page."""
        self.out.mkdir(parents=True, exist_ok=True)
        pictures = self.pictures()
        page = self.out / PAGE
        page.write_text("\n\n".join([*self.paragraphs(), *pictures]) + "\n")
        self.write_table()
        return page

    def of(self, name: str, examples: int | None = None) -> list[Outcome]:
        """The finished runs of a model."""
        return [o for o in self.outcomes if o.run.name == name and o.run.examples == examples]

    @property
    def names(self) -> list[str]:
        """Of the models that have a finished run."""
        return [contestant.name for contestant in self.found if self.of(contestant.name)]

    # -- words and tables ----------------------------------------------------------------------

    def paragraphs(self) -> Iterable[str]:
        yield f"# {self.arguments.experiment}: equal {self.arguments.match}"
        yield self.terms()
        if self.missing:
            yield f"**Not finished, and left out:** {'; '.join(map(str, self.missing))}."
        yield from self.notes
        yield self.sizes()
        if not self.names:
            return
        yield self.accuracies()
        yield self.costs()
        if self.arguments.examples:
            yield self.efficiency()

    def terms(self) -> str:
        experiment = self.found[0].experiment
        trainer = experiment.trainer
        steps = {c.name: c.experiment.trainer.steps for c in self.found}
        if self.arguments.match is Match.time:
            each = ", ".join(f"{name} {count:,}" for name, count in steps.items())
            budget = f"about the same time, measured before on its own (steps: {each})"
        else:
            budget = f"{next(iter(steps.values())):,} steps"
        size = trainer.batch_size * trainer.accumulate
        changed = "; ".join(
            f"{name}: {', '.join(f'{key}={value}' for key, value in settings.items())}"
            for name, settings in self.arguments.settings.items()
        )
        return (
            f"`{self.command}`\n\n"
            f"Equal for all: the task and its data, the encoder, the loss "
            f"(`{experiment.loss['_target_']}`), the optimiser and its schedule, {budget} of "
            f"{size} examples each, the readout `{experiment.model.readout}`, seeds "
            f"{', '.join(map(str, self.arguments.seeds))}; and what is matched, within "
            f"{100 * self.arguments.tolerance:g} %. The optimiser's settings are the CTM's."
            + (f" Set by hand: {changed}." if changed else "")
            + self.exceptions()
        )

    def exceptions(self) -> str:
        """What is not equal, by the nature of a model."""
        first = self.found[0].experiment
        streamed = len(first.task.blank_sizes(1, "meta")) > 1
        raw = isinstance(first.model.encoder, NoEncoderConfig)
        names = [c.name for c in self.found]
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

    def sizes(self) -> str:
        match = self.arguments.match
        rows = [
            [
                c.name,
                f"{c.size.parameters:,}",
                si(c.size.flops),
                NONE if c.name == "twin" and match is Match.flops else f"{c.error:+.2%}",
                settings_of(c),
            ]
            for c in self.found
        ]
        header = ["model", "parameters", "FLOP an example, forward, on average"]
        return table([*header, f"{counted(match)} off by", "size"], rows)

    def accuracies(self) -> str:
        whole = any(o.metric("accuracy_whole") is not None for o in self.outcomes)
        header = ["model", "accuracy, mean ± sd", "95 % interval of the mean", "each seed"]
        header += ["whole examples right"] * whole + ["calibration error", "most certain tick"]
        rows = []
        for name in self.names:
            runs = self.of(name)
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

    def costs(self) -> str:
        measured = self.speed["speed"] if self.speed else {}
        rows = []
        for name in self.names:
            found = measured.get(name)
            runs = self.of(name)
            speed = speeds(found) if found else [NONE] * 3
            rows.append([name, *speed, ", ".join(f"{o.result['seconds']:.0f}" for o in runs)])
        header = ["model", "training, examples/s", "inference, examples/s", "peak memory, MB"]
        text = table([*header, "seconds of each run"], rows)
        if self.speed:
            where = self.speed
            text += (
                f"\n\nSpeed and memory: {where['date'][:10]}, {where['hardware']['cpu']}, torch "
                f"threads: {where['of']['threads']}; medians of {where['rounds']} rounds in which "
                "all models take turns; memory: the most that the process (on a GPU: torch) holds "
                "in a training step. The seconds of the runs are the clock's, whatever else ran."
            )
        return text

    def efficiency(self) -> str:
        """Accuracy where only some examples may be seen."""
        counts = self.arguments.examples
        rows = [
            [name, *(self.mean_at(name, count) for count in counts), self.mean_at(name, None)]
            for name in self.names
        ]
        header = ["model", *(f"{count:,} examples" for count in counts), "all"]
        return table(header, rows) + "\n\nTest accuracy by the number of examples to train on."

    def mean_at(self, name: str, examples: int | None) -> str:
        runs = self.of(name, examples)
        return spread(Estimate.of([o.accuracy for o in runs])) if runs else NONE

    # -- pictures ------------------------------------------------------------------------------

    def pictures(self) -> Iterable[str]:
        if not self.names:
            return []
        seeds_figure(
            {name: [o.accuracy for o in self.of(name)] for name in self.names},
            self.out / "accuracy.png",
            f"{self.arguments.experiment}: every seed",
        )
        panels = [self.ticks_panel(), self.time_panel(), self.examples_panel()]
        comparison_figure(
            [panel for panel in panels if panel], self.out / "curves.png", self.title("accuracy")
        )
        pictures = [
            "![Test accuracy of every seed](accuracy.png)",
            "![Accuracy against ticks, training time and examples](curves.png)",
        ]
        sizes = [self.size_panel(), self.harder_panel(), self.efficiency_panel()]
        if any(sizes):
            comparison_figure(
                [panel for panel in sizes if panel], self.out / "sizes.png", self.title("size")
            )
            pictures.append("![Accuracy against the size of the problem](sizes.png)")
        return pictures

    def title(self, about: str) -> str:
        return f"{self.arguments.experiment}, equal {self.arguments.match}: {about}"

    def lines(self, line: Callable[[Outcome], Line | None]) -> dict[str, list[Line]]:
        drawn = {
            name: [found for o in self.of(name) if (found := line(o)) is not None]
            for name in self.names
        }
        return {name: lines for name, lines in drawn.items() if lines}

    def ticks_panel(self) -> Panel:
        return Panel(
            "test, after each tick",
            "tick that answers",
            self.lines(lambda o: Line(range(1, len(o.per_tick) + 1), o.per_tick)),
        )

    def examples_panel(self) -> Panel:
        return Panel(
            "validation, while it learns",
            "examples seen",
            self.lines(lambda o: learned(o, 1)),
            logarithmic=True,
        )

    def time_panel(self) -> Panel | None:
        """By the speed that was measured side by side, not by the clock of busy runs."""
        if self.speed is None:
            return None
        speed = self.speed["speed"]

        def line(o: Outcome) -> Line | None:
            if o.run.name not in speed:
                return None
            return learned(o, speed[o.run.name]["training"])

        return Panel(
            "validation, while it learns", "seconds at the measured speed", self.lines(line),
            logarithmic=True,
        )  # fmt: skip

    def size_panel(self) -> Panel | None:
        return self.sized("test, by size", lambda o: o.by_size)

    def harder_panel(self) -> Panel | None:
        what = name_of_harder(self.found[0].experiment.task)
        return self.sized(f"larger: {what}", lambda o: o.by_harder_size)

    def sized(self, title: str, sizes: Callable[[Outcome], BySize | None]) -> Panel | None:
        found = [size for o in self.outcomes if (size := sizes(o)) is not None]
        if not found:
            return None
        trained = found[0].trained
        past = trained is not None and trained < len(found[0].sizes)

        def line(o: Outcome) -> Line | None:
            size = sizes(o)
            return Line(range(len(size.accuracy)), size.accuracy) if size else None

        return Panel(
            title,
            found[0].what,
            self.lines(line),
            names=found[0].sizes,
            trained=trained - 0.5 if trained is not None and past else None,
        )

    def efficiency_panel(self) -> Panel | None:
        counts = self.arguments.examples
        if not counts:
            return None
        lines: dict[str, list[Line]] = {}
        for name in self.names:
            for seed in self.arguments.seeds:
                runs = [o for count in counts for o in self.of(name, count) if o.run.seed == seed]
                if len(runs) == len(counts):
                    line = Line(list(counts), [o.accuracy for o in runs])
                    lines.setdefault(name, []).append(line)
        if not lines:
            return None
        return Panel("test, by training set", "examples to train on", lines, logarithmic=True)

    # -- the table -----------------------------------------------------------------------------

    def write_table(self) -> None:
        """One row a run."""
        by_name = {contestant.name: contestant for contestant in self.found}
        with (self.out / TABLE).open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(COLUMNS), lineterminator="\n")
            writer.writeheader()
            for o in self.outcomes:
                contestant = by_name[o.run.name]
                speed = (self.speed or {}).get("speed", {}).get(o.run.name, {})
                writer.writerow(
                    {name: column(o, contestant, speed) for name, column in COLUMNS.items()}
                )


def readout_column(metric: str, readout: str) -> Callable[..., Any]:
    return lambda o, c, s: o.result["test"].get(metric, {}).get(readout, "")


COLUMNS: dict[str, Callable[[Outcome, Contestant, dict[str, Any]], Any]] = {
    "model": lambda o, c, s: o.run.name,
    "seed": lambda o, c, s: o.run.seed,
    "examples_to_train_on": lambda o, c, s: o.run.examples or "",
    "parameters": lambda o, c, s: c.size.parameters,
    "flops_per_example": lambda o, c, s: c.size.flops,
    "steps": lambda o, c, s: o.result["steps"],
    "examples_seen": lambda o, c, s: o.curve[-1].examples if o.curve else "",
    "seconds": lambda o, c, s: o.result["seconds"],
    "readout": lambda o, c, s: o.readout.value,
    "accuracy": lambda o, c, s: o.accuracy,
    **{
        f"accuracy_{readout}": readout_column("accuracy", readout)
        for readout in ("certain", "last", "mean", "weighted")
    },
    "accuracy_whole": lambda o, c, s: o.metric("accuracy_whole"),
    "calibration_error": lambda o, c, s: o.metric("calibration_error"),
    "mean_tick": lambda o, c, s: o.metric("mean_tick"),
    "training_examples_per_second": lambda o, c, s: s.get("training", ""),
    "inference_examples_per_second": lambda o, c, s: s.get("inference", ""),
    "peak_memory_bytes": lambda o, c, s: s.get("memory", ""),
    "date": lambda o, c, s: o.result["date"],
    "commit": lambda o, c, s: o.result["commit"],
}


def speeds(found: dict[str, Any]) -> list[str]:
    """Training, inference and memory of one model."""
    memory = found["memory"]
    return [
        f"{found['training']:,.0f}",
        f"{found['inference']:,.0f}",
        NONE if memory is None else f"{memory / 1e6:,.0f}",
    ]


def learned(o: Outcome, rate: float) -> Line:
    """The learning curve, against examples over `rate`."""
    return Line([p.examples / rate for p in o.curve], [p.accuracy for p in o.curve])


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
