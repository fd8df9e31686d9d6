"""A picture of a model that says its answer over the ticks, a label at some of them (sorting)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ctm.analysis import style
from ctm.analysis.style import place, write
from ctm.interface import Thoughts
from ctm.metrics.sorting import Decoded, says_something

SILENT = -1


@dataclass(frozen=True, eq=False)
class Saying:
    """One example's numbers, in the order in which they should be named, and how they were.

    Args:
        numbers: in that order.
        probabilities: of naming each number, at each tick.
        named: which number each tick names, by its place in that order; -1: none.
        right: whether the number named at a tick is the one whose turn it is.
    """

    numbers: Float[np.ndarray, " length"]
    probabilities: Float[np.ndarray, "ticks length"]
    named: Int[np.ndarray, " ticks"]
    right: Bool[np.ndarray, " ticks"]

    @classmethod
    def of(
        cls,
        thoughts: Thoughts,
        example: int,
        numbers: Float[Tensor, " length"],
        order: Int[Tensor, " length"],
    ) -> Self:
        """Of one example of a batch.

        Args:
            numbers: as the model was given them.
            order: the place of the smallest number, of the next, and so on.
        """
        logits = thoughts.logits[example : example + 1].detach().float().cpu()
        labels, counts = says_something(logits)
        turns = order.argsort()
        named = turns[labels[0].clamp_max(len(order) - 1)].where(counts[0], SILENT)
        return cls(
            numbers=numbers[order].numpy(),
            probabilities=logits[0].softmax(-1)[:, order].numpy(),
            named=named.numpy(),
            right=Decoded.of(logits, order.unsqueeze(0)).right[0].numpy(),
        )

    @property
    def ticks(self) -> int:
        return len(self.named)

    @property
    def silence(self) -> Float[np.ndarray, " ticks"]:
        """Probability of naming none."""
        return 1 - self.probabilities.sum(1)


class SayingFigure:
    """The numbers beside the ticks at which each was named, up to any tick.

    A right answer is a staircase; how long it rests on a step is how long the model waited.
    """

    width, height = 9.0, 4.2  # inches
    left, middle, right_end, bottom, top, low = 0.55, 2.75, 8.75, 1.3, 3.4, 0.5

    @style.styled()
    def __init__(self, saying: Saying, dpi: int = style.SCREEN_DPI) -> None:
        self.saying, self.ticks = saying, saying.ticks
        self.figure = style.blank(self.width, self.height, dpi)
        self.headings = [
            write(self.figure, left, 3.8, "", fontsize=style.HEADING, fontweight="bold")
            for left in (self.left - 0.25, self.middle)
        ]
        small = {"fontsize": style.SMALL, "color": style.MUTED}
        write(self.figure, self.left - 0.25, 3.54, "numbers, sorted", **small)
        caption = "probability of naming each number, at each tick; dots: named"
        write(self.figure, self.middle, 3.54, caption, **small)
        self._draw_numbers()
        self._draw_staircase()
        self._draw_silence()

    def _draw_numbers(self) -> None:
        saying, rows = self.saying, len(self.saying.numbers)
        height = self.top - self.bottom
        axes = place(self.figure, self.left, self.bottom, 1.7, height)
        self.bars = axes.barh(range(rows), saying.numbers, 0.7, color=style.OTHER)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.axvline(0, color=style.MUTED, linewidth=0.8)
        style.unframe(axes)
        if 0.14 * rows <= height:  # the names have room
            names = [f"{number:.2f}".replace("-", "\N{MINUS SIGN}") for number in saying.numbers]
            axes.set_yticks(range(rows), names, fontsize=style.TINY)
            axes.tick_params(axis="y", length=0)

    def _draw_staircase(self) -> None:
        rows, width = len(self.saying.numbers), self.right_end - self.middle
        axes = place(self.figure, self.middle, self.bottom, width, self.top - self.bottom)
        extent = (0.5, self.ticks + 0.5, rows - 0.5, -0.5)
        self.shares = axes.imshow(
            np.full((rows, self.ticks), np.nan), cmap=style.SHARES, vmin=0, vmax=1,
            extent=extent, aspect="auto", interpolation="nearest",
        )  # fmt: skip
        room = min(width / self.ticks, (self.top - self.bottom) / rows)  # inches of a cell
        self.dots = axes.scatter(
            [], [], s=(72 * 0.45 * room) ** 2, edgecolors=style.PAPER, linewidths=0.8, zorder=3
        )
        style.tick_axis(axes, self.ticks)
        axes.set_xlim(0.5, self.ticks + 0.5)
        axes.set_yticks([])
        axes.tick_params(axis="x", labelbottom=False)

    def _draw_silence(self) -> None:
        width = self.right_end - self.middle
        axes = place(self.figure, self.middle, self.low, width, self.bottom - self.low - 0.25)
        (self.curve,) = axes.plot([], [], color=style.MUTED, clip_on=False)
        style.tick_axis(axes, self.ticks)
        axes.set_xlim(0.5, self.ticks + 0.5)
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 1])
        axes.set_xlabel("tick")
        where = {"fontsize": style.SMALL, "color": style.MUTED, "ha": "right"}
        write(self.figure, self.middle - 0.25, self.low + 0.12, "probability\nof silence", **where)

    def show(self, tick: int) -> None:
        """Changes the figure to a tick, counted from 0."""
        saying = self.saying
        seen = saying.probabilities.copy()
        seen[tick + 1 :] = np.nan
        self.shares.set_data(seen.T)
        self.curve.set_data(np.arange(1, tick + 2), saying.silence[: tick + 1])
        (spoke,) = (saying.named[: tick + 1] != SILENT).nonzero()
        colours = [style.RIGHT if saying.right[k] else style.WRONG for k in spoke]
        self.dots.set_offsets(np.column_stack([spoke + 1, saying.named[spoke]]))
        self.dots.set_facecolor(colours)
        for bar in self.bars:
            bar.set_color(style.OTHER)
        for row, colour in zip(saying.named[spoke], colours, strict=True):
            self.bars[row].set_color(colour)
        rows, right = len(saying.numbers), int(saying.right[spoke].sum())
        tick_heading, heading = self.headings
        tick_heading(text=f"tick {tick + 1} / {self.ticks}")
        well = right == len(spoke)
        heading(
            text=f"{right} / {rows} right" + ("" if well else f", {len(spoke) - right} wrong"),
            color=style.RIGHT if well else style.WRONG,
        )


@style.styled()
def draw_saying(saying: Saying) -> SayingFigure:
    """All ticks at once, for print."""
    drawn = SayingFigure(saying, style.PRINT_DPI)
    drawn.show(saying.ticks - 1)
    return drawn
