"""Panels of the prediction: bars for one answer, a grid of cells for many."""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from ctm.analysis import style
from ctm.analysis.scene import Scene


class BarsPanel:
    """Probability of each class, the right one in a band of its own; of many the likeliest."""

    def __init__(self, axes: Axes, scene: Scene, named: bool = True) -> None:
        self.shown = likeliest(scene)
        self.probabilities = scene.probabilities[:, self.shown]
        self.bars = axes.barh(range(len(self.shown)), self.probabilities[0], height=0.68)
        axes.set(xlim=(0, 1), ylim=(len(self.shown) - 0.4, -0.6), xticks=(0, 0.5, 1))
        axes.set_xticklabels(("0", "0.5", "1"))
        axes.set_xlabel("probability")
        axes.grid(axis="x", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.set_yticks(range(len(self.shown)), bar_names(scene) if named else [])
        axes.tick_params(axis="y", length=0, labelsize=style.BODY, labelcolor=style.INK)
        self.true = self.shown.tolist().index(int(scene.target))
        axes.barh(self.true, 1, height=0.94, color=style.RIGHT, alpha=0.14, zorder=0)
        if named:
            axes.get_yticklabels()[self.true].set(color=style.RIGHT, fontweight="bold")

    def show(self, tick: int) -> None:
        best = int(self.probabilities[tick].argmax())
        for row, (bar, share) in enumerate(zip(self.bars, self.probabilities[tick], strict=True)):
            bar.set_width(float(share))
            mistaken = style.WRONG if row == best else style.OTHER
            bar.set_facecolor(style.RIGHT if row == self.true else mistaken)


class AnswersPanel:
    """Many answers as a grid, wrong ones outlined.

    Colour is the probability of class 1 where there are two classes, else that of the right class.
    """

    def __init__(self, axes: Axes, scene: Scene, outline: float = 2.0) -> None:
        self.outline = outline
        self.shares = shares(scene)
        self.wrong = ~scene.right.reshape(scene.ticks, -1)
        self.cells = draw_cells(axes, self.shares[0])
        columns = self.shares.shape[2]
        squares = [
            Rectangle((k % columns + 0.07, k // columns + 0.07), 0.86, 0.86)
            for k in range(scene.positions)
        ]
        self.marks = PatchCollection(squares, facecolor="none", edgecolor=style.WRONG)
        axes.add_collection(self.marks, autolim=False)

    def show(self, tick: int) -> None:
        self.cells.set_data(self.shares[tick])
        self.marks.set_linewidth(list(np.where(self.wrong[tick], self.outline, 0.0)))


def draw_cells(axes: Axes, cells: Float[np.ndarray, "rows columns"]) -> AxesImage:
    """Shares from 0 to 1 as a grid of square cells; NaN stays blank."""
    rows, columns = cells.shape
    image = axes.imshow(
        cells, cmap=style.SHARES, vmin=0, vmax=1, extent=(0, columns, rows, 0), aspect="equal"
    )
    style.unframe(axes)
    axes.vlines(range(1, columns), 0, rows, color=style.PAPER, linewidth=1.0)
    axes.hlines(range(1, rows), 0, columns, color=style.PAPER, linewidth=1.0)
    axes.set_anchor("NW")
    return image


def draw_truth(axes: Axes, scene: Scene) -> None:
    """The right answers of two classes, laid out and coloured as `AnswersPanel` does."""
    draw_cells(axes, on_grid(scene, scene.target.reshape(-1).astype(float)))


def draw_key(axes: Axes, scene: Scene) -> None:
    """What the colours of `AnswersPanel` mean, as a bar to be read from left to right."""
    axes.imshow(np.linspace(0, 1, 128)[None], cmap=style.SHARES, extent=(0, 1, 0, 1), aspect="auto")
    style.unframe(axes)
    two = scene.classes == 2
    left, right = (shortened(name, 9) for name in scene.labels) if two else ("0", "1")
    axes.text(0, -0.5, left, ha="left", va="top", fontsize=style.SMALL, color=style.MUTED)
    axes.text(1, -0.5, right, ha="right", va="top", fontsize=style.SMALL, color=style.MUTED)
    if not two:
        axes.set_title("probability of the truth", fontsize=style.SMALL, color=style.MUTED)


def likeliest(scene: Scene, most: int = 10) -> Int[np.ndarray, " shown"]:
    """Classes with the largest probability at any tick, and the right one, in their order."""
    peak = scene.probabilities.max(0).copy()
    peak[int(scene.target)] = np.inf
    return np.sort(np.argsort(-peak, kind="stable")[:most])


def bar_names(scene: Scene, longest: int = 16) -> list[str]:
    """Names of the classes that bars show, cut where they are long."""
    return [shortened(scene.labels[k], longest) for k in likeliest(scene)]


def shortened(name: str, longest: int) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def answer_grid(scene: Scene) -> tuple[int, int]:
    """Rows and columns for the positions: the tokens' where they match, else nearly square."""
    rows, columns = scene.token_grid
    if rows * columns == scene.positions:
        return rows, columns
    columns = int(np.ceil(np.sqrt(scene.positions)))
    return -(-scene.positions // columns), columns


def on_grid(scene: Scene, values: Float[np.ndarray, "*ticks positions"]) -> np.ndarray:
    """Positions laid out in rows; cells left over are NaN."""
    rows, columns = answer_grid(scene)
    blank = np.full((*values.shape[:-1], rows * columns - scene.positions), np.nan)
    return np.concatenate([values, blank], axis=-1).reshape(*values.shape[:-1], rows, columns)


def shares(scene: Scene) -> Float[np.ndarray, "ticks rows columns"]:
    """What the cells of `AnswersPanel` show."""
    flat = scene.probabilities.reshape(scene.ticks, -1, scene.classes)
    which = np.ones(scene.positions, int) if scene.classes == 2 else scene.target.reshape(-1)
    return on_grid(scene, np.take_along_axis(flat, which[None, :, None], axis=2)[..., 0])
