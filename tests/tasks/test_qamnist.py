"""Q&A over digits: right answers, questions of equal lengths, and pictures that are kept apart."""

import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from ctm.errors import ConfigError, UserError
from ctm.interface import Batch, InputKind
from ctm.tasks import TASKS
from ctm.tasks.digit_pictures import DigitPictures, DigitSource, Part, load_pictures
from ctm.tasks.digits import load_splits
from ctm.tasks.qamnist import MINUS, PLUS, QAMNIST, answers_of, draw_codes
from tests.build import generator

SIDE = 8  # as scikit-learn's pictures are
FAKE_TRAINING, FAKE_TEST = 240, 50  # pictures of a small data set in MNIST's format


def task(**settings_: Any) -> QAMNIST:
    small = {"validation_each": 6, "test_each": 5, "max_digits": 3, "max_operations": 2}
    return QAMNIST(**{"source": DigitSource.sklearn, "side": SIDE, **small, **settings_})


def answer(digits: list[int], codes: list[int]) -> int:
    """From left to right, one operation after the other."""
    value = digits[codes[0]]
    for operator, place in zip(codes[1::2], codes[2::2], strict=True):
        value = (value + digits[place]) % 10 if operator == PLUS else (value - digits[place]) % 10
    return value % 10


def keys(images: Tensor) -> list[bytes]:
    """Something to compare pictures by."""
    flat = (images.flatten(0, -4) * 255).round().byte().flatten(1)
    return [bytes(row.tolist()) for row in flat]


def parts_of(batch: Batch) -> tuple[Tensor, Tensor]:
    assert isinstance(batch.inputs, tuple)
    images, codes = batch.inputs
    return images, codes


def digits_by_picture(pictures: DigitPictures) -> dict[bytes, int]:
    shown = pictures.show(torch.arange(len(pictures.digits)))
    return dict(zip(keys(shown), pictures.digits.tolist(), strict=True))


def assert_answered(
    batch: Batch, pictures: DigitPictures, image_ticks: int, code_ticks: int
) -> None:
    """Each target is the answer about the digits that its pictures show."""
    images, codes = parts_of(batch)
    known = digits_by_picture(pictures)
    for example, question, target in zip(images, codes, batch.targets.tolist(), strict=True):
        digits = [known[key] for key in keys(example[::image_ticks])]
        assert answer(digits, question[::code_ticks].tolist()) == target


# -- questions and answers -------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    digits=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    operations=st.integers(0, 6),
    seed=st.integers(0, 1000),
)
def test_answers_go_from_left_to_right_modulo_10(
    digits: list[int], operations: int, seed: int
) -> None:
    codes = draw_codes(1, len(digits), operations, generator(seed))
    assert answers_of(torch.tensor([digits]), codes).tolist() == [answer(digits, codes[0].tolist())]


@pytest.mark.parametrize(
    ("digits", "codes", "expected"),
    [
        ([3, 7], [0, PLUS, 1], 0),
        ([3, 7], [0, MINUS, 1], 6),
        ([3, 7, 5], [2, MINUS, 0, PLUS, 1], 9),
        ([9], [0, PLUS, 0, PLUS, 0, PLUS, 0, PLUS, 0], 5),
        ([9], [0, MINUS, 0, MINUS, 0, MINUS, 0], 2),
        ([4], [0], 4),
    ],
)
def test_answers_by_hand(digits: list[int], codes: list[int], expected: int) -> None:
    assert answers_of(torch.tensor([digits]), torch.tensor([codes])).tolist() == [expected]


def test_codes_are_places_with_operators_between_all_equally_often() -> None:
    codes = draw_codes(6000, 3, 2, generator(0))
    assert codes.shape == (6000, 5)
    for column, choices in enumerate(((0, 1, 2), (MINUS, PLUS)) * 2 + ((0, 1, 2),)):
        counts = Counter(codes[:, column].tolist())
        assert sorted(counts) == sorted(choices)
        fair = 6000 / len(choices)
        assert all(abs(count - fair) < 5 * fair**0.5 for count in counts.values())


@pytest.mark.parametrize(("image_ticks", "code_ticks"), [(1, 1), (10, 10), (2, 3)])
def test_a_training_batch_is_questions_of_one_length_each_thing_shown_for_its_ticks(
    image_ticks: int, code_ticks: int
) -> None:
    asked = task(image_ticks=image_ticks, code_ticks=code_ticks)
    examples, pictures = asked.training(), asked._pictures(Part.training)
    for seed in range(6):
        batch = examples.take(torch.arange(7), generator(seed))
        images, codes = parts_of(batch)
        assert (images.shape[0], *images.shape[2:]) == (7, 1, SIDE, SIDE)
        assert (images.dtype, codes.dtype) == (torch.float32, torch.int64)
        assert images.shape[1] in [image_ticks * shown for shown in (1, 2, 3)]
        assert codes.shape[1] in [code_ticks * (2 * operations + 1) for operations in (1, 2)]
        for moments, ticks in ((images, image_ticks), (codes, code_ticks)):
            once = moments[:, ::ticks]
            assert all(torch.equal(once, moments[:, k::ticks]) for k in range(ticks))
        assert_answered(batch, pictures, image_ticks, code_ticks)


def test_training_asks_questions_of_every_length_equally_often() -> None:
    asked = task(min_digits=2, max_digits=4, min_operations=1, max_operations=3)
    examples = asked.training()
    assert examples.size is None
    counts = Counter[tuple[int, int]]()
    for seed in range(900):
        images, codes = parts_of(examples.take(torch.arange(1), generator(seed)))
        counts[images.shape[1], codes.shape[1] // 2] += 1
    assert sorted(counts) == [(d, k) for d in (2, 3, 4) for k in (1, 2, 3)]
    assert all(50 < count < 150 for count in counts.values())


def test_training_depends_on_its_generator_alone() -> None:
    examples = task().training()
    before = torch.get_rng_state()
    first, again = (examples.take(torch.arange(4), generator(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, parts_of(first), parts_of(again)))
    assert torch.equal(first.targets, again.targets)


# -- fixed sets ------------------------------------------------------------------------------------


def lengths(batch: Batch) -> tuple[int, int]:
    images, codes = parts_of(batch)
    return images.shape[1], codes.shape[1] // 2


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_fixed_sets_hold_the_same_number_of_questions_of_each_length(batch_size: int) -> None:
    asked = task(test_digits=4, test_operations=3)
    for examples, part, each, cells in (
        (asked.validation(), Part.validation, 6, [(d, k) for d in (1, 2, 3) for k in (1, 2)]),
        (asked.test(), Part.test, 5, [(d, k) for d in (1, 2, 3, 4) for k in (1, 2, 3)]),
    ):
        counts = Counter[tuple[int, int]]()
        for batch in examples.batches(batch_size):
            assert 1 <= len(batch) <= batch_size
            counts[lengths(batch)] += len(batch)
            assert_answered(batch, asked._pictures(part), 1, 1)
        assert counts == dict.fromkeys(cells, each)
        assert examples.size == each * len(cells)


def everything(asked: QAMNIST, batch_size: int = 3) -> dict[tuple[int, int], list[Tensor]]:
    """All of test: images, codes and targets of each length."""
    found: dict[tuple[int, int], list[list[Tensor]]] = {}
    for batch in asked.test().batches(batch_size):
        found.setdefault(lengths(batch), []).append([*parts_of(batch), batch.targets])
    return {
        cell: [torch.cat(part) for part in zip(*parts, strict=True)]
        for cell, parts in found.items()
    }


def test_questions_are_the_same_whatever_the_batches_and_the_other_lengths() -> None:
    torch.manual_seed(1)
    expected = everything(task())
    torch.manual_seed(2)
    for found in (everything(task(), 5), everything(task(test_digits=5, test_operations=4))):
        for cell, parts in expected.items():
            assert all(map(torch.equal, parts, found[cell]))


def test_validation_and_test_ask_different_questions() -> None:
    asked = task(validation_each=200, test_each=200)
    questions = [
        torch.cat([codes for _, codes in map(parts_of, part.batches(200)) if codes.shape[1] == 5])
        for part in (asked.validation(), asked.test())
    ]
    assert questions[0].shape == questions[1].shape
    assert not torch.equal(*questions)


def test_fixed_examples_can_be_asked_for_by_number() -> None:
    examples = task().test()
    first, second, *_ = examples.batches(5)
    taken = examples.take(torch.tensor([8, 5]), generator(0))
    for found, expected in zip(parts_of(taken), parts_of(second), strict=True):
        assert torch.equal(found, expected[[3, 0]])
    assert torch.equal(taken.targets, second.targets[[3, 0]])
    assert torch.equal(examples.take(torch.arange(5), generator(1)).targets, first.targets)
    with pytest.raises(ValueError, match="want questions of one length"):
        examples.take(torch.tensor([4, 5]), generator(0))


def test_the_longest_questions_come_first() -> None:
    cells = [lengths(batch) for batch in task().test().batches(5)]
    assert cells == [(3, 2), (3, 1), (2, 2), (2, 1), (1, 2), (1, 1)]


# -- pictures --------------------------------------------------------------------------------------


def write_idx(file: Path, values: np.ndarray) -> None:
    """MNIST's own format."""
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    file.write_bytes(header + values.astype(np.uint8).tobytes())


def write_mnist(folder: Path) -> Path:
    """A data set in MNIST's format, of pictures that are all different."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, count in (("train", FAKE_TRAINING), ("t10k", FAKE_TEST)):
        digits = np.arange(count) % 10
        pictures = random.integers(0, 256, (count, 28, 28))
        pictures[:, :2] = digits[:, None, None] * 25  # says which digit it is, even when enlarged
        write_idx(raw / f"{name}-images-idx3-ubyte", pictures)
        write_idx(raw / f"{name}-labels-idx1-ubyte", digits)
    return folder


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_mnist(tmp_path_factory.mktemp("data")))


def pictures_of(source: DigitSource, folder: str) -> dict[Part, DigitPictures]:
    return load_pictures(source, SIDE if source is DigitSource.sklearn else 28, folder, False)


@pytest.mark.parametrize("source", DigitSource)
def test_no_picture_is_in_two_parts(source: DigitSource, mnist: str) -> None:
    parts = pictures_of(source, mnist)
    expected = [1300, 137, 360] if source is DigitSource.sklearn else [220, 20, 50]
    assert [len(parts[part].digits) for part in Part] == expected
    seen = [set(keys(parts[part].show(torch.arange(len(parts[part].digits))))) for part in Part]
    assert len(set.union(*seen)) == sum(map(len, seen)) == sum(expected)


def test_mnist_is_read_from_its_files_with_its_digits(mnist: str) -> None:
    for part in pictures_of(DigitSource.mnist, mnist).values():
        assert len(part.digits.unique()) > 5
        assert torch.equal(part.pixels[:, 0, 0].long(), part.digits * 25)


def test_mnist_is_shown_at_32_by_32(mnist: str) -> None:
    asked = QAMNIST(folder=mnist, validation_each=2, test_each=2)
    assert asked.spec.input_shape == (1, 32, 32)
    images, _ = parts_of(asked.training().take(torch.arange(3), generator(0)))
    assert images.shape[2:] == (1, 32, 32)
    assert_answered(next(asked.test().batches(2)), asked._pictures(Part.test), 1, 1)


def test_pictures_of_scikit_learn_are_those_of_the_digits_task() -> None:
    for part, pictures in pictures_of(DigitSource.sklearn, "").items():
        original = load_splits()[part.value]
        assert torch.equal(pictures.digits, original.targets)
        shown = pictures.show(torch.arange(len(pictures.digits)))
        assert isinstance(original.inputs, Tensor)
        torch.testing.assert_close(shown, original.inputs, rtol=0, atol=0.5 / 255 + 1e-6)


def test_enlarging_keeps_what_a_picture_shows() -> None:
    small, large = (
        load_pictures(DigitSource.sklearn, side, "", False)[Part.test] for side in (8, 16)
    )
    pooled = torch.nn.functional.avg_pool2d(large.show(torch.arange(20)), 2)
    pairs = torch.stack([pooled.flatten(), small.show(torch.arange(20)).flatten()])
    assert torch.corrcoef(pairs)[0, 1] > 0.97


def test_missing_mnist_is_said_in_one_line(tmp_path: Path) -> None:
    asked = QAMNIST(folder=str(tmp_path))
    with pytest.raises(UserError, match=r"\Atask\.folder=.*no MNIST there.*\Z") as refused:
        asked.training()
    for way_out in ("task.download=true", "task.source=sklearn"):
        assert way_out in str(refused.value)


def test_damaged_mnist_is_said_in_one_line(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"\Atask\.folder=.*can't be read.*\Z"):
        QAMNIST(folder=str(tmp_path)).validation()


# -- settings --------------------------------------------------------------------------------------


def test_it_is_a_task_of_that_name_and_says_its_sizes() -> None:
    asked = task(image_ticks=3, code_ticks=2)
    assert TASKS["qamnist"] is QAMNIST
    spec = asked.spec
    assert (spec.input_kind, spec.output_shape) == (InputKind.questions, (10,))
    assert (spec.input_shape, spec.image_ticks, spec.code_ticks) == ((1, SIDE, SIDE), 3, 2)
    assert asked.answer(torch.eye(10)[7]) == "7"


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"image_ticks": 0}, "task.image_ticks=0: want 1 or more"),
        ({"code_ticks": 0}, "task.code_ticks=0: want 1 or more"),
        ({"min_digits": 0}, "task.min_digits=0: want 1 or more"),
        ({"min_operations": 0}, "task.min_operations=0: want 1 or more"),
        ({"validation_each": 0}, "task.validation_each=0: want 1 or more"),
        ({"test_each": 0}, "task.test_each=0: want 1 or more"),
        ({"side": 3}, "task.side=3: want 4 or more"),
        ({"min_digits": 4}, "task.max_digits=3: want task.min_digits=4 or more"),
        ({"max_operations": 0}, "task.max_operations=0: want task.min_operations=1 or more"),
        ({"test_digits": 2}, "task.test_digits=2: want task.max_digits=3 or more, or null"),
        ({"test_operations": 1}, "task.test_operations=1: want task.max_operations=2 or more"),
        ({"max_digits": 51}, "task.max_digits, task.test_digits=51: want at most 50"),
        ({"test_digits": 51}, "task.max_digits, task.test_digits=51: want at most 50"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        replace(task(), **settings_)
    assert str(refused.value).startswith(said)


# -- what people type and see ----------------------------------------------------------------------


def test_typed_digits_stand_for_test_pictures_of_them() -> None:
    asked = task(image_ticks=2, code_ticks=3)
    images, codes = asked.parse("3 7 3: 0 + 2 - 1")
    assert images.shape == (1, 6, 1, SIDE, SIDE)
    assert codes[0, ::3].tolist() == [0, PLUS, 2, MINUS, 1]
    pictures = asked._pictures(Part.test)
    known = digits_by_picture(pictures)
    shown = keys(images[0, ::2])
    assert [known[key] for key in shown] == [3, 7, 3]
    assert shown[0] != shown[2]
    assert asked.asked(codes[0]) == "0 + 2 - 1"
    assert torch.equal(asked.parse("3 7 3:0+2-1")[0], images)


@pytest.mark.parametrize("source", DigitSource)
def test_pictures_can_be_asked_about(source: DigitSource, mnist: str, tmp_path: Path) -> None:
    asked = task(source=source, folder=mnist, side=32)
    ink = np.zeros((100, 160), dtype=np.uint8)
    ink[20:80, 70:90] = 255  # a one, white on black
    for name, pixels in (("bright.png", ink), ("dark.png", 255 - ink)):
        Image.fromarray(pixels).save(tmp_path / name)
    bright, dark = tmp_path / "bright.png", tmp_path / "dark.png"
    images, codes = asked.parse(f"{bright} 4 {dark}: 2 - 1")
    assert images.shape == (1, 3, 1, 32, 32)
    assert (codes.tolist(), images.min() >= 0, images.max() <= 1) == ([[2, MINUS, 1]], True, True)
    torch.testing.assert_close(images[0, 0], images[0, 2], rtol=0, atol=1e-6)
    columns = images[0, 0, 0].sum(0)  # a one stands in the middle
    assert columns[10:22].sum() > 0.85 * columns.sum() > 0


def test_asking_about_pictures_needs_no_data_set(tmp_path: Path) -> None:
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(tmp_path / "line.png")
    images, _ = QAMNIST(folder=str(tmp_path)).parse(f"{tmp_path / 'line.png'}: 0 + 0")
    assert images.any()


def test_a_picture_as_large_as_mnists_is_taken_as_it_is(mnist: str, tmp_path: Path) -> None:
    pixels = load_pictures(DigitSource.mnist, 28, mnist, False)[Part.test].pixels[11].numpy().copy()
    pixels[[0, -1]] = pixels[:, [0, -1]] = 0  # ink does not touch the border
    Image.fromarray(pixels).save(tmp_path / "eleven.png")
    asked = QAMNIST(folder=mnist, side=28)
    images, _ = asked.parse(f"{tmp_path / 'eleven.png'}: 0 + 0")
    np.testing.assert_allclose(images[0, 0, 0].numpy(), pixels / 255, atol=1e-6)


@pytest.mark.parametrize("shade", [0, 255])
def test_a_blank_picture_has_no_ink(shade: int, mnist: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 50), shade, dtype=np.uint8)).save(tmp_path / "blank.png")
    images, _ = QAMNIST(folder=mnist).parse(f"{tmp_path / 'blank.png'}: 0 + 0")
    assert not images.any()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "want digits or pictures, a colon, and a question"),
        ("3 7", "want digits or pictures, a colon, and a question"),
        (": 0 + 0", "want digits or pictures, a colon, and a question"),
        ("3 7:", "not a question; want places with + or - between them"),
        ("3 7: 0 1", "not a question"),
        ("3 7: 0 + ", "not a question"),
        ("3 7: -0", "not a question"),
        ("3 7: 0 * 1", "not a question"),
        ("3 7: a + b", "not a question"),
        ("3 7: \u0660 + 1", "not a question"),
        ("3 7: 0 + 2", "no digit stands at place 2; want places 0 to 1"),
        ("3 7: 0 + " + "9" * 5000, "no digit stands at place 9999"),
        ("3 12: 0 + 1", "input=12: no such file"),
        ("3 seven.png: 0 + 1", "input=seven.png: no such file"),
        ("3 " * 51 + ": 0 + 1", "51 digits; want at most 50"),
        ("x" * 5000, "want digits or pictures"),
        ("3 7\n: 0 + 1 0", "not a question"),
    ],
)
def test_a_wrong_question_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=r"\Ainput=.*\Z") as refused:
        task().parse(text)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_picture_shows_the_digits_side_by_side() -> None:
    asked = task(image_ticks=3)
    images, codes = asked.parse("1 8: 0 + 1")
    picture = asked.picture((images[0], codes[0]))
    assert picture.shape == (SIDE, 2 * SIDE)
    assert np.array_equal(picture[:, :SIDE], images[0, 0, 0].numpy())
    assert np.array_equal(picture[:, SIDE:], images[0, 3, 0].numpy())
    assert asked.token_grid((2, 2)) == (2, 2)


def test_every_tick_shows_what_the_model_sees_then() -> None:
    asked = task(image_ticks=2, code_ticks=1)
    images, codes = asked.parse("3 7: 0 - 1")
    moments = asked.moments((images[0], codes[0]), ticks=9)
    assert [words for _, words in moments] == [
        "", "", "", "", "place 0", "\N{MINUS SIGN}", "place 1", "= ?", "= ?",
    ]  # fmt: skip
    for (picture, _), image in zip(moments[:4], images[0, :, 0], strict=True):
        np.testing.assert_array_equal(picture, image)
    assert all(picture.shape == (SIDE, SIDE) and not picture.any() for picture, _ in moments[4:])
