"""The picture of a model that says its answer over the ticks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ctm.analysis.animation import thinking_gif, thinking_strip
from ctm.analysis.saying import Saying, SayingFigure
from ctm.analysis.style import RIGHT, WRONG
from ctm.interface import Thoughts

NUMBERS = torch.tensor([0.5, -1.0, 2.0])
ORDER = torch.tensor([1, 0, 2])
BLANK = 3


def saying(*spoken: int) -> Saying:
    """One that says these places, one a tick, all but surely."""
    logits = 9.0 * torch.eye(BLANK + 1)[list(spoken)].unsqueeze(0)
    return Saying.of(Thoughts.of(logits), 0, NUMBERS, ORDER)


def test_numbers_stand_in_the_order_in_which_they_should_be_named() -> None:
    assert saying(1, 0, 2).numbers.tolist() == [-1.0, 0.5, 2.0]


@pytest.mark.parametrize(
    ("spoken", "named", "right"),
    [
        ((1, 0, 2), [0, 1, 2], [True, True, True]),
        (
            (BLANK, 1, 1, BLANK, 0),
            [-1, 0, -1, -1, 1],
            [False, True, False, False, True],
        ),
        ((0, 1, 2, 1), [1, 0, 2, 0], [False, False, True, False]),
    ],
)
def test_what_is_named_is_what_the_metrics_count(
    spoken: tuple[int, ...], named: list[int], right: list[bool]
) -> None:
    shown = saying(*spoken)
    assert shown.named.tolist() == named
    assert shown.right.tolist() == right


def test_probabilities_and_silence_are_one_at_every_tick() -> None:
    shown = saying(BLANK, 1, 0)
    np.testing.assert_allclose(shown.probabilities.sum(1) + shown.silence, 1, rtol=1e-6)
    assert shown.silence.argmax() == 0
    assert shown.probabilities.argmax(1).tolist()[1:] == [0, 1]


def test_a_tick_shows_what_was_said_up_to_it() -> None:
    figure = SayingFigure(saying(1, 2, BLANK, 0))
    figure.show(1)
    assert [text.get_text() for text in figure.figure.texts[:2]] == [
        "tick 2 / 4",
        "1 / 3 right, 1 wrong",
    ]
    assert figure.figure.texts[1].get_color() == WRONG
    np.testing.assert_array_equal(figure.dots.get_offsets(), [[1, 0], [2, 2]])
    drawn = np.ma.getmaskarray(np.ma.asarray(figure.shares.get_array()))
    assert drawn.all(0).tolist() == [False, False, True, True]
    figure.show(0)
    assert figure.figure.texts[1].get_text() == "1 / 3 right"
    assert figure.figure.texts[1].get_color() == RIGHT


def test_it_is_written_as_an_animation_and_as_a_still(tmp_path: Path) -> None:
    thinking_gif(saying(1, BLANK, 0, 2), tmp_path / "thinking.gif")
    thinking_strip(saying(1, BLANK, 0, 2), tmp_path / "thinking.png")
    with Image.open(tmp_path / "thinking.gif") as image:
        assert getattr(image, "n_frames", 1) == 4
    with Image.open(tmp_path / "thinking.png") as image:
        image.verify()


@pytest.mark.parametrize("length", [1, 100])
def test_any_length_can_be_drawn(length: int) -> None:
    logits = torch.zeros(1, length + 5, length + 1)
    numbers = torch.linspace(-1, 1, length)
    shown = Saying.of(Thoughts.of(logits), 0, numbers, torch.arange(length))
    SayingFigure(shown).show(length)
