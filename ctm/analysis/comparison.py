"""Curves of several models in one picture, every seed of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)

from ctm.analysis import style

LOOKS: dict[str, dict[str, Any]] = {
    "ctm": {"color": style.BLUE, "marker": "o"},
    "twin": {"color": style.SKY, "marker": "D"},
    "transformer": {"color": style.VERMILLION, "marker": "s"},
    "looped": {"color": style.ORANGE, "marker": "^"},
    "lstm": {"color": style.GREEN, "marker": "v"},
    "feedforward": {"color": style.PURPLE, "marker": "P"},
}
WIDTH, HEIGHT, GAP, LEFT, BOTTOM, TOP, RIGHT = 2.9, 2.2, 0.75, 0.7, 0.6, 0.75, 0.25  # inches
LEGEND, ENTRY = 0.35, 1.15  # height of a row of the legend, width of an entry


@dataclass(frozen=True)
class Line:
    """One seed: a value at each place of the horizontal axis."""

    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """Accuracies against something.

    Args:
        lines: by model, one a seed.
        begun: the same of runs that have not finished, in no mean.
        names: what stands at the places 0, 1, ... of the horizontal axis; empty: it has numbers.
        trained: places up to this one were trained on; None: all.
    """

    title: str
    along: str
    lines: Mapping[str, Sequence[Line]]
    begun: Mapping[str, Sequence[Line]] = field(default_factory=dict)
    names: Sequence[str] = ()
    logarithmic: bool = False
    trained: float | None = None
    ylabel: str = field(default="accuracy")


@style.styled()
def comparison_figure(panels: Sequence[Panel], path: Path, title: str = "") -> None:
    """Writes panels side by side: each seed a thin line, the mean of a model a thick one."""
    count = len(panels)
    models = [n for n in LOOKS if any(n in panel.lines or n in panel.begun for panel in panels)]
    width = LEFT + count * WIDTH + (count - 1) * GAP + RIGHT
    columns = min(int(width / ENTRY), len(models))
    bottom = LEGEND * -(-len(models) // columns) + BOTTOM
    figure = style.blank(width, bottom + HEIGHT + TOP, style.PRINT_DPI)
    for number, panel in enumerate(panels):
        axes = style.place(figure, LEFT + number * (WIDTH + GAP), bottom, WIDTH, HEIGHT)
        draw_panel(axes, panel, models)
    if title:
        where = (LEFT - 0.5, bottom + HEIGHT + 0.5)
        style.write(figure, *where, title, fontsize=style.TITLE, fontweight="bold")
    handles = [Line2D([], [], label=name, markersize=5, **LOOKS[name]) for name in models]
    figure.legend(
        handles=handles, loc="lower left", ncols=columns, frameon=False, fontsize=style.SMALL
    )
    style.save(figure, path)


def draw_panel(axes: Axes, panel: Panel, models: Sequence[str]) -> None:
    for name in models:
        lines = panel.lines.get(name, ())
        for line in lines:
            if len(line.x) > 1:
                axes.plot(line.x, line.y, color=LOOKS[name]["color"], linewidth=0.7, alpha=0.45)
        if lines:
            draw_mean(axes, lines, LOOKS[name])
        for line in panel.begun.get(name, ()):
            axes.plot(line.x, line.y, linestyle=":", linewidth=1.2, markersize=3, **LOOKS[name])
    axes.set_title(panel.title, color=style.INK, pad=8)
    axes.set_xlabel(panel.along)
    axes.set_ylabel(panel.ylabel)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", linewidth=0.8)
    if panel.logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if panel.names:
        step = -(-len(panel.names) // 8)
        places = range(0, len(panel.names), step)
        axes.set_xticks(list(places), [panel.names[place] for place in places])
    if panel.trained is not None:
        axes.axvline(panel.trained, color=style.MUTED, linewidth=0.8, linestyle=":")
        axes.annotate(
            "trained up to here",
            (panel.trained, 0.02),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=style.TINY,
            color=style.MUTED,
        )


def draw_mean(axes: Axes, lines: Sequence[Line], look: Mapping[str, Any]) -> None:
    """Over the seeds; a single place has a mark for each of them too."""
    longest = max(len(line.x) for line in lines)  # a lost file leaves a run a part of its curve
    lines = [line for line in lines if len(line.x) == longest]
    x = lines[0].x
    y = np.mean([line.y for line in lines], axis=0)
    every = max(len(x) // 8, 1)
    axes.plot(x, y, linewidth=2, markersize=5, markevery=every, **look)
    if len(x) == 1:
        for line in lines:
            axes.plot(line.x, line.y, markersize=3, alpha=0.5, **look)


def short(number: float) -> str:
    """`300`, `10k`, `3M`."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


@style.styled()
def seeds_figure(accuracy: Mapping[str, Sequence[float]], path: Path, title: str = "") -> None:
    """Writes a row for each model: a mark for each seed, a stroke at their mean."""
    figure = style.blank(6.2, 0.7 + 0.34 * len(accuracy) + (0.3 if title else 0), style.PRINT_DPI)
    axes = style.place(figure, 1.2, 0.55, 4.0, 0.34 * len(accuracy))
    for row, (name, values) in enumerate(accuracy.items()):
        look = LOOKS[name]
        beside = row + np.linspace(-0.28, 0.28, len(values) + 2)[1:-1]  # equal seeds stay visible
        axes.plot(
            values,
            beside,
            linestyle="",
            markersize=6,
            alpha=0.75,
            clip_on=False,
            **look,
        )
        mean = float(np.mean(values))
        axes.plot([mean, mean], [row - 0.35, row + 0.35], color=look["color"], linewidth=2.2)
        axes.annotate(
            f"{mean:.1%}",
            (1.02, row),
            xycoords=("axes fraction", "data"),
            va="center",
            color=look["color"],
            fontweight="bold",
        )
    axes.set_yticks(range(len(accuracy)), list(accuracy))
    axes.set_ylim(len(accuracy) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    lowest = min(0.99, *map(min, accuracy.values()))
    axes.set_xlim(lowest - (1 - lowest) / 4, 1.005)
    axes.set_xlabel("test accuracy")
    axes.grid(axis="x", linewidth=0.8)
    if title:
        where = (0.25, 0.34 * len(accuracy) + 0.7)
        style.write(figure, *where, title, fontsize=style.TITLE, fontweight="bold")
    style.save(figure, path)
