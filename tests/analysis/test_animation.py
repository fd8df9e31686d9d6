from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from ctm.analysis.animation import thinking_gif, thinking_strip
from ctm.analysis.answers import likeliest
from ctm.analysis.panels import PicturePanel
from ctm.analysis.scene import Scene
from ctm.analysis.style import blank
from ctm.analysis.thinking import ThinkingFigure, draw_strip
from tests.analysis.scenes import TICKS, digit, parity


def colour_digit() -> Scene:
    """A colour picture with fewer tokens than pixels, and long names."""
    names = tuple(f"a class of long name {k}" for k in range(10))
    return replace(digit(), picture=np.zeros((32, 32, 3), np.uint8), labels=names)


def route() -> Scene:
    """Positions that are no grid of tokens, three classes, no attention."""
    shares = np.random.default_rng(0).dirichlet(np.ones(3), (TICKS, 7))
    target = np.arange(7) % 3
    return replace(
        parity(), attention=None, probabilities=shares, target=target, labels=("u", "d", "w")
    )


def frames_of(path: Path) -> list[tuple[np.ndarray, int]]:
    """Pixels and duration in ms of every frame."""
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        assert image.width == 900
        return [
            (np.asarray(frame.convert("RGB")), frame.info["duration"])
            for frame in ImageSequence.Iterator(image)
        ]


SCENES = [digit, parity, colour_digit, route]


@pytest.mark.parametrize("make", SCENES)
def test_the_animation_has_a_frame_a_tick_and_holds_the_last(
    tmp_path: Path, make: Callable[[], Scene]
):
    path = tmp_path / "new" / "thinking.gif"
    thinking_gif(make(), path, seconds_per_tick=0.12)
    shown = frames_of(path)
    assert [duration for _, duration in shown] == [120] * (TICKS - 1) + [1500]
    for (before, _), (after, _) in pairwise(shown):
        assert (before != after).any()
    for pixels, _ in shown:  # the paper stays white
        assert (pixels[:5] == 255).all()


def test_the_same_scene_gives_the_same_bytes(tmp_path: Path):
    scene = digit(ticks=2)
    for name in ("a", "b"):
        thinking_gif(scene, tmp_path / f"{name}.gif")
        thinking_strip(scene, tmp_path / f"{name}.png")
    for kind in ("gif", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_one_tick_can_be_drawn(tmp_path: Path):
    thinking_gif(digit(ticks=1), tmp_path / "one.gif")
    thinking_strip(digit(ticks=1), tmp_path / "one.png")
    with Image.open(tmp_path / "one.gif") as image:
        image.verify()


def test_a_time_too_short_to_show_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"seconds_per_tick=0\.001"):
        thinking_gif(digit(), tmp_path / "fast.gif", seconds_per_tick=0.001)


def test_a_tick_shows_its_own_numbers():
    scene = digit()
    thinking = ThinkingFigure(scene)
    thinking.show(2)
    picture, bars, certainty, traces = thinking.figure.axes
    assert scene.heat is not None
    assert scene.gaze is not None
    np.testing.assert_array_equal(picture.images[1].get_array(), scene.heat[2])
    np.testing.assert_allclose(np.array(picture.collections[1].get_offsets()), scene.gaze[2])
    widths = [bar.get_window_extent().width for bar in bars.patches[:10]]
    np.testing.assert_allclose(widths, scene.probabilities[2] * bars.bbox.width, rtol=1e-5)
    curve = np.c_[[1, 2, 3], scene.certainty[:3]]
    np.testing.assert_allclose(np.array(certainty.lines[0].get_xydata()), curve)
    assert all(len(np.array(line.get_xdata())) == 3 for line in traces.lines[1:])
    words = {text.get_text() for text in thinking.figure.texts}
    assert {f"tick 3 / {TICKS}", f"certainty {scene.certainty[2]:.2f}"} <= words


def test_cells_show_the_probability_of_class_1_and_mistakes_are_outlined():
    scene = parity()
    thinking = ThinkingFigure(scene)
    thinking.show(1)
    answers, truth = thinking.figure.axes[1:3]
    shares = scene.probabilities[1, :, 1].reshape(4, 4)
    np.testing.assert_array_equal(answers.images[0].get_array(), shares)
    np.testing.assert_array_equal(truth.images[0].get_array(), scene.target.reshape(4, 4))
    outlined = np.array(answers.collections[-1].get_linewidth()) > 0
    np.testing.assert_array_equal(outlined, ~scene.right[1])
    assert 0 < outlined.sum() < 16


def test_of_many_classes_the_likeliest_and_the_true_one_are_shown():
    shares = np.tile(np.linspace(2, 1, 40), (TICKS, 1))
    shares /= shares.sum(1, keepdims=True)
    names = tuple(map(str, range(40)))
    scene = replace(digit(), probabilities=shares, target=np.array(33), labels=names)
    assert likeliest(scene).tolist() == [*range(9), 33]


@pytest.mark.parametrize("make", SCENES)
def test_the_strip_is_an_image(tmp_path: Path, make: Callable[[], Scene]):
    thinking_strip(make(), tmp_path / "new" / "strip.png", ticks=(1, TICKS))
    with Image.open(tmp_path / "new" / "strip.png") as image:
        image.verify()
        assert image.format == "PNG"


def test_the_strip_shows_the_ticks_asked_for():
    scene = digit()
    figure = draw_strip(scene, (2, 4))
    words = [text.get_text() for text in figure.texts]
    assert [word for word in words if word.startswith("tick")] == ["tick 2", "tick 4"]
    assert scene.heat is not None
    for axes, tick in zip(figure.axes[::2], (2, 4), strict=False):
        np.testing.assert_array_equal(axes.images[1].get_array(), scene.heat[tick - 1])


@pytest.mark.parametrize("ticks", [(), (0, 2), (1, TICKS + 1)])
def test_the_strip_refuses_ticks_that_there_are_not(ticks: tuple[int, ...]):
    with pytest.raises(ValueError, match=f"want some of 1 to {TICKS}"):
        draw_strip(digit(), ticks)


def test_what_changes_is_shown_at_its_tick():
    pictures = [np.full((8, 8), tick / TICKS) for tick in range(TICKS)]
    words = ["", "+", "", "= ?"]
    panel = PicturePanel(
        blank(3, 3, 100).add_axes((0, 0, 1, 1)),
        replace(digit(), moments=list(zip(pictures, words, strict=True))),
    )
    for tick in range(TICKS):
        panel.show(tick)
        np.testing.assert_array_equal(panel.picture.get_array(), pictures[tick])
        assert panel.words.get_text() == words[tick]
