"""Pictures of a benchmark: cost curves, and memory against ticks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from ctm.benchmark.contenders import CONTENDERS
from ctm.benchmark.curves import ALONE, Curve
from ctm.benchmark.memory import MEGA
from ctm.benchmark.results import MemoryPoint

# Okabe and Ito's colours, which people with colour blindness can tell apart, and a mark each
LOOKS: dict[str, dict[str, Any]] = {
    "textbook": {"color": "#d55e00", "marker": "s"},
    "eager": {"color": "#666666", "marker": "D"},
    "fast": {"color": "#0072b2", "marker": "o"},
    "lean": {"color": "#cc79a7", "marker": "v"},
    "checkpointed": {"color": "#009e73", "marker": "^"},
}
SETTINGS: Any = {  # the stubs of matplotlib know its keys by a private type
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dfe4e9",
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
}
DPI = 150
MODES = {"inference": "one inference call, ms", "training": "one training step, ms"}


@matplotlib.rc_context(SETTINGS)
def curves_figure(curves: Sequence[Curve], path: Path) -> None:
    """A column for each size: time of inference above, of training below, all axes logarithmic.

    A stroke goes from the fastest to the slowest round.
    """
    figure = blank(2.3 * len(curves), 4.8)
    grid: Any = figure.subplots(len(MODES), len(curves), sharey="row", squeeze=False)
    for column, curve in enumerate(curves):
        for row, (mode, label) in enumerate(MODES.items()):
            axes: Axes = grid[row][column]
            draw_curve(axes, curve, mode)
            if column == 0:
                axes.set_ylabel(label)
            if row == 0 and curve.size == ALONE:
                axes.set_title(ALONE.replace(" alone", "\nalone"))
            if mode == "training":
                axes.set_xlabel("neurons" if curve.size == ALONE else curve.size)
    names = list(dict.fromkeys(name for curve in curves for name in curve.training))
    legend(figure, names)
    save(figure, path)


def draw_curve(axes: Axes, curve: Curve, mode: str) -> None:
    times: dict[str, list[list[float]]] = getattr(curve, mode)
    for name, points in times.items():
        medians = [1e3 * value for value in curve.medians(mode, name)]
        axes.plot(curve.values, medians, **LOOKS[name])
        axes.vlines(
            curve.values,
            [1e3 * min(rounds) for rounds in points],
            [1e3 * max(rounds) for rounds in points],
            color=LOOKS[name]["color"],
            linewidth=1,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(curve.values, [str(value) for value in curve.values])
    axes.minorticks_off()


@matplotlib.rc_context(SETTINGS)
def memory_figure(points: Sequence[MemoryPoint], path: Path) -> None:
    """What training adds to a process at its peak, against ticks."""
    figure = blank(4.6, 3.2)
    axes = figure.subplots()
    ticks = [point.ticks for point in points]
    names = list(dict.fromkeys(name for point in points for name in point.contenders))
    for name in names:
        fitting = [point for point in points if name in point.contenders]
        peaks = [point.contenders[name].step / MEGA for point in fitting]
        title = CONTENDERS[name].title
        axes.plot([point.ticks for point in fitting], peaks, label=title, **LOOKS[name])
    axes.set(xlabel="ticks", ylabel="peak of a training step, MB", xticks=ticks)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
    save(figure, path)


def blank(width: float, height: float) -> Figure:
    """Sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend(figure: Figure, names: Sequence[str]) -> None:
    handles = [Line2D([], [], label=CONTENDERS[name].title, **LOOKS[name]) for name in names]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(names))


def save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
