"""Writes pictures in which a person sees a model think: an animation, and a strip for print."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from ctm.analysis import style
from ctm.analysis.saying import Saying, SayingFigure, draw_saying
from ctm.analysis.scene import Scene
from ctm.analysis.thinking import ThinkingFigure, draw_strip

HOLD = 1.5  # seconds that the last tick stays


def thinking_gif(scene: Scene | Saying, path: Path | str, seconds_per_tick: float = 0.2) -> None:
    """Writes an animation of one example: a frame a tick, forever.

    Args:
        scene: what to show.
        path: of the GIF; its folder is made where it is missing.
        seconds_per_tick: how long a frame stays, rounded to hundredths as the format has them;
            the last one stays 1.5 s or more.

    Raises:
        ValueError: a time shorter than viewers show, 0.02 s.
    """
    if seconds_per_tick < 0.02:
        raise ValueError(f"seconds_per_tick={seconds_per_tick}: want 0.02 or more")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    images = indexed(frames(scene))
    tick_ms, hold_ms = (10 * round(100 * seconds) for seconds in (seconds_per_tick, HOLD))
    images[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=[tick_ms] * (len(images) - 1) + [max(hold_ms, tick_ms)],
        loop=0,
    )


def thinking_strip(
    scene: Scene | Saying, path: Path | str, ticks: Sequence[int] | None = None
) -> None:
    """Writes some ticks of one example side by side, as a still image.

    Args:
        scene: what to show.
        path: of the image; its folder is made where it is missing.
        ticks: counted from 1; None: five from the first to the last. (What is said over the ticks
            shows all of them.)

    Raises:
        ValueError: ticks that the scene does not have.
    """
    if isinstance(scene, Saying):
        style.save(draw_saying(scene).figure, path)
        return
    if ticks is None:
        ticks = sorted({int(tick) for tick in np.linspace(1, scene.ticks, 5).round()})
    with style.styled():
        style.save(draw_strip(scene, ticks), path)


@style.styled()
def frames(scene: Scene | Saying) -> list[Image.Image]:
    """The figure as an image at every tick."""
    thinking = SayingFigure(scene) if isinstance(scene, Saying) else ThinkingFigure(scene)
    canvas = cast(FigureCanvasAgg, thinking.figure.canvas)
    images = []
    for tick in range(scene.ticks):
        thinking.show(tick)
        canvas.draw()
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    return images


def indexed(images: Sequence[Image.Image]) -> list[Image.Image]:
    """Images in one palette, without dither: what does not change is equal and costs no bytes."""
    last = len(images) - 1
    picks = [images[k] for k in sorted({0, last // 3, 2 * last // 3, last})]
    width, height = images[0].size
    mosaic = Image.new("RGB", (width, height * len(picks)))
    for row, image in enumerate(picks):
        mosaic.paste(image, (0, row * height))
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours(mosaic).flatten().tolist())
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]


def colours(image: Image.Image) -> np.ndarray:
    """At most 255 colours for an image, those of `style.KEPT` among them and exact.

    One of a GIF's 256 stays free for "as in the frame before".
    """
    kept = np.array([np.round(255 * np.array(to_rgb(name))) for name in style.KEPT], int)
    flat = image.quantize(255 - len(kept), method=Image.Quantize.MEDIANCUT).getpalette() or []
    drawn = np.array(flat).reshape(-1, 3)
    # Pillow rounds down to multiples of 4 before it looks for the nearest entry: without this, a
    # twin of white would be taken in place of white
    near = np.abs(drawn[:, None] - kept).max(2).min(1) < 9
    return np.concatenate([kept, drawn[~near]])
