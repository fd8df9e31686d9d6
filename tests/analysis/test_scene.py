from dataclasses import replace

import numpy as np
import pytest

from ctm.analysis.scene import Scene
from ctm.interface import Thoughts
from tests.analysis.scenes import DIGITS, TICKS, digit, digit_thoughts, parity


def test_a_scene_is_one_example_of_the_batch():
    thoughts, images = digit_thoughts()
    scene = digit()
    assert thoughts.trace is not None
    assert thoughts.trace.attention is not None
    np.testing.assert_allclose(scene.probabilities, thoughts.logits[1].softmax(-1), rtol=1e-6)
    np.testing.assert_array_equal(scene.certainty, thoughts.certainty[1])
    np.testing.assert_array_equal(scene.attention, thoughts.trace.attention[1])
    np.testing.assert_array_equal(scene.post_activations, thoughts.trace.post_activations[1])
    np.testing.assert_array_equal(scene.picture, images[1, 0])
    assert (scene.ticks, scene.classes, scene.positions) == (TICKS, 10, 1)


def test_right_is_where_the_likeliest_class_is_the_target():
    scene = parity()
    assert scene.right.shape == (TICKS, 16)
    np.testing.assert_array_equal(scene.right, scene.probabilities.argmax(-1) == scene.target)


def test_gaze_is_the_centre_of_mass_and_nowhere_without_attention():
    attention = np.zeros((2, 2, 6), np.float32)
    attention[0, 0, 5] = 1  # all on the last cell of 2 rows, 3 columns
    attention[0, 1, [0, 1]] = 0.5  # between the first two
    scene = replace(
        digit(ticks=2), attention=attention, picture=np.zeros((4, 6)), token_grid=(2, 3)
    )
    assert scene.gaze is not None
    np.testing.assert_allclose(scene.gaze[0], [[2.5, 1.5], [1.0, 0.5]])
    assert np.isnan(scene.gaze[1]).all()


def test_a_model_without_attention_has_neither_heat_nor_gaze():
    scene = replace(digit(), attention=None)
    assert scene.heat is None
    assert scene.gaze is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_grid": (8, 7)}, r"64 tokens.*\(8, 7\) has 56"),
        ({"labels": ("a", "b")}, "2 labels, 10 classes"),
        ({"target": np.zeros(3, int)}, r"target has shape \(3,\)"),
        ({"picture": np.zeros((1, 8, 8))}, r"picture has shape \(1, 8, 8\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        replace(digit(), **changes)


def test_thoughts_without_a_trace_are_refused():
    thoughts, images = digit_thoughts()
    bare = Thoughts(thoughts.logits, thoughts.certainty)
    with pytest.raises(ValueError, match="record=True"):
        Scene.of(bare, 0, picture=images[0, 0], token_grid=(8, 8), target=0, labels=DIGITS)


def test_moments_are_one_a_tick():
    moment = (np.zeros((8, 8)), "")
    assert replace(digit(), moments=[moment] * TICKS).moments
    with pytest.raises(ValueError, match=f"3 moments, {TICKS} ticks"):
        replace(digit(), moments=[moment] * 3)
