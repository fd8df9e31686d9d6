"""The pictures of a comparison."""

from collections.abc import Callable, Sequence

from ctm.analysis.comparison import Line, Panel, comparison_figure, seeds_figure
from ctm.app.compare.comparison import Comparison
from ctm.app.compare.outcomes import BySize, Outcome, name_of_harder


def draw(comparison: Comparison) -> Sequence[str]:
    """Draws what there is; returns a line of Markdown for each picture."""
    pictures = []
    if comparison.names:
        seeds_figure(
            {name: [o.accuracy for o in comparison.of(name)] for name in comparison.names},
            comparison.out / "accuracy.png",
            f"{comparison.arguments.experiment}: every seed",
        )
        pictures.append("![Test accuracy of every seed](accuracy.png)")
    curves = [ticks_panel(comparison), time_panel(comparison), examples_panel(comparison)]
    sizes = [size_panel(comparison), harder_panel(comparison), efficiency_panel(comparison)]
    for panels, name, about, caption in (
        (curves, "curves.png", "accuracy", "Accuracy against ticks, training time and examples"),
        (sizes, "sizes.png", "size", "Accuracy against the size of the problem"),
    ):
        there = [panel for panel in panels if panel is not None]
        if there:
            comparison_figure(there, comparison.out / name, heading(comparison, about))
            pictures.append(f"![{caption}]({name})")
    return pictures


def heading(comparison: Comparison, about: str) -> str:
    return f"{comparison.arguments.experiment}, equal {comparison.arguments.match}: {about}"


def lines(comparison: Comparison, line: Callable[[Outcome], Line | None]) -> dict[str, list[Line]]:
    drawn = {
        name: [found for o in comparison.of(name) if (found := line(o)) is not None]
        for name in comparison.names
    }
    return {name: lines for name, lines in drawn.items() if lines}


def ticks_panel(comparison: Comparison) -> Panel | None:
    if not comparison.names:
        return None
    return Panel(
        "test, after each tick",
        "tick that answers",
        lines(comparison, lambda o: Line(range(1, len(o.per_tick) + 1), o.per_tick)),
    )


def examples_panel(comparison: Comparison) -> Panel | None:
    return learning_panel(comparison, "examples seen", lambda o: learned(o, 1))


def time_panel(comparison: Comparison) -> Panel | None:
    """By the speed that was measured side by side, not by the clock of busy runs."""
    if comparison.speed is None:
        return None
    speed = comparison.speed["speed"]

    def line(o: Outcome) -> Line | None:
        if o.name.model not in speed:
            return None
        return learned(o, speed[o.name.model]["training"])

    return learning_panel(comparison, "seconds at the measured speed", line)


def learning_panel(
    comparison: Comparison, along: str, line: Callable[[Outcome], Line | None]
) -> Panel | None:
    """Runs that are underway, too; None where there are no curves."""
    begun = {
        contestant.name: [
            found for o in comparison.begun(contestant.name) if (found := line(o)) is not None
        ]
        for contestant in comparison.found
    }
    drawn = lines(comparison, line)
    if not drawn and not any(begun.values()):
        return None
    return Panel(
        "validation, while it learns" + (" (dotted: not finished)" if any(begun.values()) else ""),
        along,
        drawn,
        begun={name: found for name, found in begun.items() if found},
        logarithmic=True,
    )


def size_panel(comparison: Comparison) -> Panel | None:
    return sized(comparison, "test, by size", lambda o: o.by_size)


def harder_panel(comparison: Comparison) -> Panel | None:
    what = name_of_harder(comparison.found[0].experiment.task)
    return sized(comparison, f"larger: {what}", lambda o: o.by_harder_size)


def sized(
    comparison: Comparison, title: str, sizes: Callable[[Outcome], BySize | None]
) -> Panel | None:
    found = [size for o in comparison.outcomes if (size := sizes(o)) is not None]
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
        lines(comparison, line),
        names=found[0].sizes,
        trained=trained - 0.5 if trained is not None and past else None,
    )


def efficiency_panel(comparison: Comparison) -> Panel | None:
    counts = comparison.arguments.examples
    if not counts:
        return None
    lines: dict[str, list[Line]] = {}
    for name in comparison.names:
        for seed in comparison.arguments.seeds:
            runs = [
                o for count in counts for o in comparison.of(name, count) if o.name.seed == seed
            ]
            if len(runs) == len(counts):
                line = Line(list(counts), [o.accuracy for o in runs])
                lines.setdefault(name, []).append(line)
    if not lines:
        return None
    return Panel("test, by training set", "examples to train on", lines, logarithmic=True)


def learned(o: Outcome, rate: float) -> Line | None:
    """The learning curve, against examples over `rate`; None where it was lost."""
    if not o.curve:
        return None
    return Line([p.examples / rate for p in o.curve], [p.accuracy for p in o.curve])
