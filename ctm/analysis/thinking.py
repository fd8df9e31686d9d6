"""Figures of one example's thinking: everything at one tick, and some ticks side by side."""

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from ctm.analysis import style
from ctm.analysis.answers import (
    AnswersPanel,
    BarsPanel,
    bar_names,
    draw_key,
    draw_truth,
    shortened,
)
from ctm.analysis.panels import CertaintyPanel, Panel, PicturePanel, TracesPanel
from ctm.analysis.scene import Scene
from ctm.analysis.style import place, write


class ThinkingFigure:
    """Input and attention, prediction, certainty and neurons side by side, at any tick."""

    width, height = 9.0, 4.2  # inches
    columns = (0.3, 3.75, 6.75)  # left edges, inches

    @style.styled()
    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.figure = style.blank(self.width, self.height, style.SCREEN_DPI)
        self.headings = [
            write(self.figure, left, 3.8, "", fontsize=style.HEADING, fontweight="bold")
            for left in self.columns
        ]
        left, _, right = self.columns
        self._note(left, 3.54, attention_caption(scene))
        self._note(right, 3.54, "1 \N{MINUS SIGN} normalised entropy")
        self._note(right, 1.88, "most variable neurons")
        self.panels: list[Panel] = [
            PicturePanel(place(self.figure, left, 0.3, 3.1, 3.1), scene),
            self._answer(),
            CertaintyPanel(place(self.figure, right, 2.15, 2.0, 1.25), scene),
            TracesPanel(place(self.figure, right, 0.48, 2.0, 1.3), scene),
        ]

    def _answer(self) -> Panel:
        scene, left = self.scene, self.columns[1]
        if not scene.target.shape:
            truth = shortened(scene.labels[int(scene.target)], 20)
            note = (
                f"prediction; truth: {truth}" if scene.known else f"prediction, in the end {truth}"
            )
            self._note(left, 3.54, note)
            indent = names_width(scene)
            return BarsPanel(place(self.figure, left + indent, 0.48, 2.5 - indent, 2.92), scene)
        others = "mistakes" if scene.known else "what it changed later"
        self._note(left, 3.54, f"prediction, {others} outlined")
        panel = AnswersPanel(place(self.figure, left, 1.3, 2.1, 2.1), scene)
        key = left
        if scene.classes == 2:
            draw_truth(place(self.figure, left, 0.3, 0.8, 0.8), scene)
            self._note(left + 0.92, 0.98, "◂ truth" if scene.known else "◂ in the end")
            key = left + 0.95
        draw_key(place(self.figure, key, 0.5, left + 2.1 - key, 0.12), scene)
        return panel

    def _note(self, left: float, bottom: float, text: str) -> None:
        write(self.figure, left, bottom, text, fontsize=style.SMALL, color=style.MUTED)

    def show(self, tick: int) -> None:
        """Changes the figure to a tick, counted from 0."""
        for panel in self.panels:
            panel.show(tick)
        answer, colour = answer_at(self.scene, tick)
        tick_heading, answer_heading, certainty_heading = self.headings
        tick_heading(text=f"tick {tick + 1} / {self.scene.ticks}")
        answer_heading(text=answer, color=colour)
        certainty_heading(text=f"certainty {self.scene.certainty[tick]:z.2f}")


@style.styled()
def draw_strip(scene: Scene, ticks: Sequence[int]) -> Figure:
    """Attention and prediction at some ticks, a column each, over the curve of certainty.

    Args:
        scene: what to show.
        ticks: counted from 1.

    Raises:
        ValueError: no ticks, or some that the scene does not have.
    """
    if not ticks or min(ticks) < 1 or max(ticks) > scene.ticks:
        raise ValueError(f"ticks={tuple(ticks)}: want some of 1 to {scene.ticks}")
    grid = bool(scene.target.shape)
    size, gap, margin, answer_height = 1.5, 0.22, 0.25, 1.5
    curve_bottom, answer_bottom = 0.45, 1.5 if grid else 1.75
    answer_top = answer_bottom + answer_height
    picture_bottom = answer_top + 0.35
    top = picture_bottom + size
    first = margin + (size + gap if grid else max(names_width(scene), 0.35) - 0.1)
    right = first + len(ticks) * (size + gap) - gap
    figure = style.blank(right + margin, top + 0.55, style.PRINT_DPI)
    small = {"fontsize": style.SMALL, "color": style.MUTED}
    bold = {"fontsize": style.TITLE, "fontweight": "bold"}
    if grid:
        plain = replace(scene, attention=None)
        PicturePanel(place(figure, margin, picture_bottom, size, size), plain)
        write(figure, margin, top + 0.1, "input", **small)
        if scene.classes == 2:
            key = f"truth, dark: {shortened(scene.labels[1], 12)}"
            write(figure, margin, answer_top + 0.1, key, **small)
            draw_truth(place(figure, margin, answer_bottom, size, size), scene)
        else:
            draw_key(place(figure, margin, answer_top - 0.2, size, 0.12), scene)
    for column, tick in enumerate(ticks):
        left = first + column * (size + gap)
        answer, colour = answer_at(scene, tick - 1, longest=10)
        write(figure, left, top + 0.28, f"tick {tick}", **bold)
        write(figure, left, top + 0.1, f"certainty {scene.certainty[tick - 1]:z.2f}", **small)
        write(figure, left, answer_top + 0.1, answer, color=colour, **bold)
        picture = PicturePanel(place(figure, left, picture_bottom, size, size), scene, dot=22)
        axes = place(figure, left, answer_bottom, size, answer_height)
        panel = AnswersPanel(axes, scene, 1.4) if grid else BarsPanel(axes, scene, not column)
        picture.show(tick - 1)
        panel.show(tick - 1)
    axes = place(figure, first, curve_bottom, right - first, 0.6)
    CertaintyPanel(axes, scene).show(scene.ticks - 1)
    axes.tick_params(axis="x", labelbottom=True)
    axes.set(xlabel="tick")
    axes.set_title("certainty", fontsize=style.SMALL, color=style.MUTED)
    for tick in ticks:
        (dot,) = axes.plot([tick], [scene.certainty[tick - 1]], "o", color=style.CERTAINTY)
        dot.set(markersize=7, markeredgecolor=style.PAPER, clip_on=False, zorder=5)
    return figure


def names_width(scene: Scene) -> float:
    """Inches that the names beside the bars take."""
    return 0.12 + 0.085 * max(len(name) for name in bar_names(scene))


def attention_caption(scene: Scene) -> str:
    if scene.attention is None:
        return "input"
    heads = scene.attention.shape[1]
    return f"attention, mean of {heads} heads; dots: their centres" if heads > 1 else "attention"


def answer_at(scene: Scene, tick: int, longest: int = 16) -> tuple[str, str]:
    """The prediction of a tick in words, and their colour: is it wholly right?"""
    right = int(scene.right[tick].sum())
    colour = style.RIGHT if scene.right[tick].all() else style.WRONG
    if not scene.known:
        colour = style.INK
    if scene.target.shape:
        return f"{right} / {scene.positions} {'right' if scene.known else 'as in the end'}", colour
    name = shortened(scene.labels[int(scene.predictions[tick])], longest)
    return (f"{name} {'✓' if right else '✗'}" if scene.known else name), colour
