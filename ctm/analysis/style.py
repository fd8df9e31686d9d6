"""How pictures look: the one place for colours, fonts and sizes.

Colours are Okabe and Ito's, which people with colour blindness can tell apart; what matters is
said by a mark or a place as well.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb, to_rgba
from matplotlib.figure import Figure

PAPER, INK, MUTED, FAINT = "#ffffff", "#1b2530", "#66727f", "#dfe4e9"
BLUE, ORANGE, GREEN, VERMILLION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, PURPLE = "#56b4e9", "#cc79a7"

RIGHT, WRONG, OTHER = GREEN, VERMILLION, "#b9c3cd"
CERTAINTY = BLUE
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
HEADS = (SKY, GREEN, PURPLE, BLUE)  # far from the colours of the heat
MEASURES = {"accuracy": GREEN, "loss": VERMILLION, "certainty": CERTAINTY}

# no black: a glow over black would be brown
GREYS = LinearSegmentedColormap.from_list("greys", ["#74808c", "#ffffff"])
SHARES = LinearSegmentedColormap.from_list("shares", ["#eef3f8", "#7fb2d6", BLUE, "#06304d"])
# from nothing to a glow: what lies under it stays visible
HEAT = LinearSegmentedColormap.from_list(
    "heat",
    [
        (0.0, to_rgba(ORANGE, 0.0)),
        (0.5, to_rgba(ORANGE, 0.75)),
        (1.0, to_rgba(VERMILLION, 0.95)),
    ],
)

# an animation has 255 colours: these are always among them, however few pixels have them
KEPT = (PAPER, INK, MUTED, FAINT, BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, OTHER)

TINY, SMALL, BODY, TITLE, HEADING = 7.0, 8.0, 9.0, 11.0, 14.0  # points
SCREEN_DPI, PRINT_DPI = 100, 200

SETTINGS: Any = {  # the stubs of matplotlib know its keys by a private type
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same letters on every machine
    "font.size": BODY,
    "text.color": INK,
    "text.parse_math": False,  # names of classes are not formulas
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": SMALL,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": BODY,
    "axes.titlelocation": "left",
    "grid.color": FAINT,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
}


def styled() -> Any:
    """These settings for a block, or as a decorator for a function that draws."""
    return matplotlib.rc_context(SETTINGS)


def blank(width: float, height: float, dpi: int) -> Figure:
    """An empty figure with a canvas of its own; sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the figure's lower left corner."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, width / w, height / h))


def write(figure: Figure, left: float, bottom: float, text: str, **look: Any) -> Callable[..., Any]:
    """Text at a place in inches; returns what changes it."""
    w, h = figure.get_size_inches()
    return figure.text(left / w, bottom / h, text, **look).set


def unframe(axes: Axes) -> None:
    """Takes away the frame, the ticks and their labels."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def tick_axis(axes: Axes, ticks: int) -> None:
    """A horizontal axis of ticks counted from 1, the last one labelled."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**6) if ticks / step <= 6)
    marks = [1, *range(step, ticks - step // 2, step), ticks] if ticks > 1 else [1]
    axes.set_xticks(sorted(set(marks)))
    axes.set_xlim(min(0.5, 1 - 0.02 * ticks), ticks + max(0.5, 0.02 * ticks))


def hues(count: int) -> list[tuple[float, float, float]]:
    """Hues around the circle at like lightness: readable on paper, one for each curve."""
    angle = 2 * np.pi * (np.arange(count) / max(count, 1) + 0.68)
    return [_oklch(0.6, 0.13, float(a)) for a in angle]


def _oklch(lightness: float, chroma: float, angle: float) -> tuple[float, float, float]:
    """sRGB of an OKLCH colour (Ottosson, 2020): equal lightness looks equally light."""
    a, b = chroma * np.cos(angle), chroma * np.sin(angle)
    from_lab = np.array(
        [
            [1, 0.3963377774, 0.2158037573],
            [1, -0.1055613458, -0.0638541728],
            [1, -0.0894841775, -1.291485548],
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = np.clip(to_linear @ (from_lab @ np.array([lightness, a, b])) ** 3, 0, 1)
    encoded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    red, green, blue = np.clip(encoded, 0, 1).tolist()
    return red, green, blue


def fading(colour: Any, count: int) -> Float[np.ndarray, "count 4"]:
    """A colour in `count` steps from nearly clear to full."""
    return np.column_stack([np.tile(to_rgb(colour), (count, 1)), np.linspace(0.1, 1, count)])


def save(figure: Figure, path: Path | str) -> None:
    """Writes a figure as an image, making its folder where it is missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
