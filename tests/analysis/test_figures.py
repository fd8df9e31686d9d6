from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ctm.analysis.figures import draw_neurons, draw_ticks, neurons_figure, ticks_figure

PER_TICK = {
    "accuracy": [0.1, 0.5, 0.9],
    "loss": [2.3, 1.2, 0.4],
    "certainty": [0.0, 0.3, 0.8],
}


def test_the_curves_are_the_numbers_given_at_ticks_from_1():
    panels = draw_ticks(PER_TICK).axes
    assert [axes.get_title("left") for axes in panels] == list(PER_TICK)
    for axes, values in zip(panels, PER_TICK.values(), strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), np.c_[[1, 2, 3], values])


def test_the_last_value_is_written_beside_its_curve():
    notes = [axes.texts[0].get_text() for axes in draw_ticks(PER_TICK).axes]
    assert notes == ["0.900", "0.400", "0.800"]


@pytest.mark.parametrize("ticks", [1, 2, 7, 24, 50, 75, 1000])
def test_the_tick_axis_names_the_first_and_the_last_tick(ticks: int):
    axes = draw_ticks({"loss": list(range(ticks))}).axes[0]
    marks = axes.get_xticks()
    assert (marks[0], marks[-1]) == (1, ticks)
    assert len(marks) < 9


@pytest.mark.parametrize("empty", [{}, {"loss": []}])
def test_nothing_to_draw_is_refused(empty: dict):
    with pytest.raises(ValueError, match="per_tick is empty"):
        draw_ticks(empty)


def test_the_most_variable_neurons_are_drawn_first():
    waves = np.sin(np.arange(20))[:, None] * np.array([1.0, 5.0, 0.1, 3.0])
    panels = draw_neurons(waves, count=3).axes
    assert [axes.get_title("left") for axes in panels] == ["1", "3", "0"]
    for axes, neuron in zip(panels, (1, 3, 0), strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), waves[:, neuron])


def test_neurons_have_hues_of_their_own():
    panels = draw_neurons(np.eye(12), count=24).axes
    assert len(panels) == 12
    assert len({axes.lines[0].get_color() for axes in panels}) == 12


def test_no_neurons_are_refused():
    with pytest.raises(ValueError, match="count=0 of 2 neurons"):
        draw_neurons(np.zeros((3, 2)), count=0)


def test_figures_are_written_the_same_every_time_into_folders_that_were_missing(tmp_path: Path):
    for folder in (tmp_path / "one" / "deep", tmp_path / "two"):
        ticks_figure(PER_TICK, folder / "ticks.png", "digits")
        neurons_figure(np.eye(5), folder / "neurons.png", "digits")
    for name in ("ticks.png", "neurons.png"):
        with Image.open(tmp_path / "two" / name) as image:
            image.verify()
        assert (tmp_path / "one/deep" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
