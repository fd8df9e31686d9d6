"""Parts of a picture of thinking: each is drawn once and then shows any tick.

A panel owns one set of axes; `show(tick)` (counted from 0) changes its artists in place, since
building them anew for every frame is what makes animations slow.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ctm.analysis import style
from ctm.analysis.scene import Scene


@runtime_checkable
class Panel(Protocol):
    def show(self, tick: int) -> None: ...


class PicturePanel:
    """The input under the heat of the attention, and the heads' centres with their last steps.

    Heat is the mean over heads, its scale the same at every tick: nothing to the run's largest.

    Args:
        tail: earlier ticks that a head's path shows.
        dot: area of a head's dot, in square points.
    """

    def __init__(self, axes: Axes, scene: Scene, tail: int = 6, dot: float = 34) -> None:
        rows, columns = scene.token_grid
        picture = scene.moments[0][0] if scene.moments else scene.picture
        height, width = picture.shape[:2]
        extent = (0, columns, rows, 0)
        aspect = (height / rows) / (width / columns)
        if picture.ndim == 3 and picture.dtype != np.uint8:
            picture = picture.clip(0, 1)
        self.picture = axes.imshow(
            picture, cmap=style.GREYS, extent=extent, aspect=aspect, interpolation="nearest"
        )
        style.unframe(axes)
        axes.set_anchor("NW")
        axes.spines[:].set(visible=True, color=style.MUTED)
        look = {"ha": "center", "va": "center", "color": style.PAPER, "fontsize": style.HEADING}
        self.words = axes.text(columns / 2, rows / 2, "", fontweight="bold", **look)
        self.scene, self.tail = scene, tail
        self.heat, self.gaze = scene.heat, scene.gaze
        if self.heat is None or self.gaze is None:
            return
        self.glow = axes.imshow(
            self.heat[0],
            cmap=style.HEAT,
            extent=extent,
            aspect=aspect,
            vmin=0,
            vmax=max(float(self.heat.max()), 1e-12),
            interpolation="nearest" if (height, width) == (rows, columns) else "bilinear",
        )
        heads = self.gaze.shape[1]
        self.colours = [style.HEADS[head % len(style.HEADS)] for head in range(heads)]
        self.paths = LineCollection([], linewidths=2.2, capstyle="round")
        axes.add_collection(self.paths, autolim=False)
        self.dots = axes.scatter(
            *self.gaze[0].T, s=dot, c=self.colours, edgecolors=style.PAPER, linewidths=1.1, zorder=3
        )

    def show(self, tick: int) -> None:
        if self.scene.moments:
            picture, words = self.scene.moments[tick]
            self.picture.set_data(picture)
            self.words.set_text(words)
        if self.heat is None or self.gaze is None:
            return
        self.glow.set_data(self.heat[tick])
        self.dots.set_offsets(self.gaze[tick])
        seen = self.gaze[max(tick - self.tail, 0) : tick + 1]
        if np.isnan(seen[-1]).all():
            seen = seen[:0]  # it attends to nothing now
        steps = np.stack([seen[:-1], seen[1:]], axis=2)  # (step, head, end, xy)
        self.paths.set_segments(list(steps.reshape(-1, 2, 2)))
        fades = [
            style.fading(colour, self.tail)[self.tail - len(steps) :] for colour in self.colours
        ]
        colours: Any = np.stack(fades, axis=1).reshape(-1, 4)
        self.paths.set_color(colours)


class CertaintyPanel:
    """Certainty up to the tick."""

    def __init__(self, axes: Axes, scene: Scene) -> None:
        self.certainty = scene.certainty
        self.ticks = np.arange(1, scene.ticks + 1)
        style.tick_axis(axes, scene.ticks)
        axes.tick_params(axis="x", labelbottom=False)
        axes.set(ylim=(0, 1.04), yticks=(0, 0.5, 1))
        axes.set_yticklabels(("0", "0.5", "1"))
        axes.grid(axis="y", linewidth=0.8)
        (self.line,) = axes.plot([], [], color=style.CERTAINTY, linewidth=2)
        (self.tip,) = axes.plot(
            [], [], "o", color=style.CERTAINTY, markersize=6, markeredgecolor=style.PAPER
        )
        self.tip.set(clip_on=False, zorder=4)

    def show(self, tick: int) -> None:
        self.line.set_data(self.ticks[: tick + 1], self.certainty[: tick + 1])
        self.tip.set_data(self.ticks[tick : tick + 1], self.certainty[tick : tick + 1])


class TracesPanel:
    """The most variable neurons up to the tick, each in a lane and on a scale of its own."""

    def __init__(self, axes: Axes, scene: Scene, count: int = 5) -> None:
        neurons = most_variable(scene.post_activations, count)
        traces = scene.post_activations[:, neurons]
        low, high = traces.min(0), traces.max(0)
        self.lanes = np.arange(len(neurons)) + 0.1 + 0.8 * (traces - low) / (high - low + 1e-12)
        self.ticks = np.arange(1, scene.ticks + 1)
        style.tick_axis(axes, scene.ticks)
        axes.set(ylim=(0, len(neurons)), xlabel="tick")
        axes.set_yticks(np.arange(len(neurons)) + 0.5, [str(neuron) for neuron in neurons])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        self.now = axes.axvline(1, color=style.FAINT, linewidth=1.2)
        self.lines = [
            axes.plot([], [], color=hue, linewidth=1.5)[0] for hue in style.hues(len(neurons))
        ]
        self.tips = axes.scatter(
            np.ones(len(neurons)), self.lanes[0], s=14, c=style.hues(len(neurons)), zorder=3
        )

    def show(self, tick: int) -> None:
        self.now.set_xdata([tick + 1, tick + 1])
        for line, lane in zip(self.lines, self.lanes.T, strict=True):
            line.set_data(self.ticks[: tick + 1], lane[: tick + 1])
        self.tips.set_offsets(
            np.column_stack([np.full(len(self.lines), tick + 1), self.lanes[tick]])
        )


def most_variable(
    post_activations: Float[np.ndarray, "ticks neurons"], count: int
) -> Int[np.ndarray, " count"]:
    """Neurons of the largest standard deviation over ticks, the largest first."""
    return np.argsort(-post_activations.std(0), kind="stable")[:count]
