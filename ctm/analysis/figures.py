"""Figures over the ticks: how well a model does at each, and what its neurons do.

A `draw_*` function builds a figure, its `*_figure` writes it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from ctm.analysis import style
from ctm.analysis.panels import most_variable
from ctm.analysis.style import place, write

UNIT_RANGE = ("accuracy", "certainty")  # measures from 0 to 1


def ticks_figure(
    per_tick: Mapping[str, Sequence[float]], path: Path | str, title: str = ""
) -> None:
    """Writes measures against the tick; see `draw_ticks`."""
    style.save(draw_ticks(per_tick, title), path)


def neurons_figure(
    post_activations: Float[np.ndarray, "ticks neurons"],
    path: Path | str,
    title: str = "",
    count: int = 24,
) -> None:
    """Writes traces of neurons; see `draw_neurons`."""
    style.save(draw_neurons(post_activations, title, count), path)


@style.styled()
def draw_ticks(per_tick: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """A panel for each measure against the tick, its value at the last tick written beside it.

    Args:
        per_tick: values by the name of the measure (accuracy, loss, certainty), one a tick.
        title: over all panels.

    Raises:
        ValueError: no measure, or one without values.
    """
    if not per_tick or not all(len(values) for values in per_tick.values()):
        raise ValueError("per_tick is empty: want one value a tick for one measure or more")
    width, gap, left, right, bottom, height = 2.2, 0.95, 0.6, 0.65, 0.5, 1.6
    count = len(per_tick)
    figure = style.blank(
        left + count * width + (count - 1) * gap + right,
        bottom + height + (0.75 if title else 0.4),
        style.PRINT_DPI,
    )
    if title:
        where = (left - 0.4, bottom + height + 0.45)
        write(figure, *where, title, fontsize=style.TITLE, fontweight="bold")
    for number, (name, values) in enumerate(per_tick.items()):
        axes = place(figure, left + number * (width + gap), bottom, width, height)
        colour = style.MEASURES.get(name, style.CYCLE[number % len(style.CYCLE)])
        ticks = np.arange(1, len(values) + 1)
        axes.plot(ticks, values, color=colour, linewidth=1.8)
        axes.plot(ticks[-1:], values[-1:], "o", color=colour, markersize=5, clip_on=False)
        style.tick_axis(axes, len(values))
        axes.set_xlabel("tick")
        axes.set_title(name, color=style.INK, pad=8)
        axes.grid(axis="y", linewidth=0.8)
        if name in UNIT_RANGE:
            axes.set_ylim(0, 1.02)
        elif np.nanmin(values) >= 0:
            axes.set_ylim(bottom=0)
        axes.annotate(
            f"{values[-1]:.3f}" if abs(values[-1]) < 10 else f"{values[-1]:.1f}",
            (ticks[-1], values[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontweight="bold",
            annotation_clip=False,
        )
    return figure


@style.styled()
def draw_neurons(
    post_activations: Float[np.ndarray, "ticks neurons"], title: str = "", count: int = 24
) -> Figure:
    """Traces of the neurons that vary most, the most variable first, row by row.

    Each panel has a scale of its own, its least and greatest value written over it.

    Raises:
        ValueError: no neuron to draw.
    """
    neurons = most_variable(post_activations, count)
    if not len(neurons):
        raise ValueError(f"count={count} of {post_activations.shape[1]} neurons: want 1 or more")
    ticks = len(post_activations)
    columns = min(4, len(neurons))
    rows = -(-len(neurons) // columns)
    width, height, gap, rise = 1.95, 0.42, 0.22, 0.3
    left, bottom, head = 0.25, 0.5, 0.5 if title else 0.1
    figure = style.blank(
        2 * left + columns * width + (columns - 1) * gap,
        bottom + rows * (height + rise) + head,
        style.PRINT_DPI,
    )
    top = bottom + rows * (height + rise)
    if title:
        write(figure, left, top + 0.17, title, fontsize=style.TITLE, fontweight="bold")
    for k, (neuron, hue) in enumerate(zip(neurons, style.hues(len(neurons)), strict=True)):
        row, column = divmod(k, columns)
        trace = post_activations[:, neuron]
        axes = place(
            figure,
            left + column * (width + gap),
            top - (row + 1) * (height + rise),
            width,
            height,
        )
        axes.plot(np.arange(1, ticks + 1), trace, color=hue, linewidth=1.4)
        style.tick_axis(axes, ticks)
        axes.margins(y=0.12)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_color(style.FAINT)
        last = k + columns >= len(neurons)
        axes.tick_params(axis="x", length=3 if last else 0, labelbottom=last)
        if last:
            axes.set_xlabel("tick", labelpad=1)
        axes.set_title(f"{neuron}", fontsize=style.SMALL, color=hue, fontweight="bold", pad=3)
        axes.set_title(
            f"{trace.min():z.2f} to {trace.max():z.2f}".replace("-", "\N{MINUS SIGN}"),
            loc="right",
            fontsize=style.TINY,
            color=style.MUTED,
            pad=3,
        )
    return figure
