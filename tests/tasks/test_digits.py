"""Digits: scikit-learn's pictures, cut in three, and pictures that people bring."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from ctm.errors import UserError
from ctm.interface import InputKind
from ctm.tasks.digits import Digits, load_splits
from tests.build import generator

TASK = Digits()
# of the test pictures, some that fill the square with dark ink, so that cutting to it keeps all
BOLD = (1, 2, 11, 13, 15, 21)


def ink(number: int = 0) -> np.ndarray:
    """A test picture, 8x8, 0 to 1."""
    return TASK.test().inputs[number, 0].numpy()


def to_bytes(values: np.ndarray) -> np.ndarray:
    return (values * 255).round().astype(np.uint8)


def enlarged(values: np.ndarray, ground: float) -> np.ndarray:
    """Pixels as squares of 20x20, off the middle of a wide ground."""
    large = np.kron(values, np.ones((20, 20)))
    return np.pad(large, ((50, 70), (90, 40)), constant_values=ground)


def write(file: Path, pixels: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, **options)
    return file


def read(file: Path) -> np.ndarray:
    parsed = TASK.parse(str(file))
    assert (parsed.shape, parsed.dtype) == ((1, 1, 8, 8), torch.float32)
    assert parsed.min() >= 0
    assert parsed.max() <= 1
    return parsed[0, 0].numpy()


# -- data ------------------------------------------------------------------------------------------


def test_the_splits_are_all_of_the_pictures_once() -> None:
    parts = TASK.training(), TASK.validation(), TASK.test()
    assert [part.size for part in parts] == [1300, 137, 360]
    ours = torch.cat([part.inputs for part in parts])
    digits = torch.cat([part.targets for part in parts])
    assert (ours.shape, ours.dtype) == ((1797, 1, 8, 8), torch.float32)
    assert (ours.min(), ours.max()) == (0, 1)
    pictures, labels = load_digits(return_X_y=True)
    expected = sorted((*row, label) for row, label in zip(pictures, labels, strict=True))
    rows = (16 * ours).flatten(1).tolist()
    assert sorted((*row, d) for row, d in zip(rows, digits.tolist(), strict=True)) == expected


def test_no_picture_is_in_two_splits() -> None:
    seen = [
        {tuple(picture) for picture in part.inputs.flatten(1).tolist()}
        for part in (TASK.training(), TASK.validation(), TASK.test())
    ]
    assert [len(part) for part in seen] == [1300, 137, 360]
    assert len(set.union(*seen)) == 1797


def test_the_order_is_fixed() -> None:
    first = TASK.test().inputs.clone()
    load_splits.cache_clear()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert torch.equal(TASK.test().inputs, first)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_split_has_every_digit() -> None:
    for part in (TASK.training(), TASK.validation(), TASK.test()):
        shares = part.targets.bincount(minlength=10) / part.size
        assert ((shares > 0.05) & (shares < 0.17)).all()


def test_batches_are_all_examples_in_order() -> None:
    part = TASK.validation()
    batches = list(part.batches(50))
    assert [len(batch) for batch in batches] == [50, 50, 37]
    assert torch.equal(torch.cat([batch.inputs for batch in batches]), part.inputs)
    assert torch.equal(torch.cat([batch.targets for batch in batches]), part.targets)
    some = part.take(torch.tensor([5, 3]), generator(0))
    assert torch.equal(some.inputs, part.inputs[[5, 3]])


def test_the_spec_says_what_the_data_is() -> None:
    spec = TASK.spec
    assert (spec.input_kind, spec.input_shape, spec.output_shape) == (
        InputKind.image,
        (1, 8, 8),
        (10,),
    )
    assert TASK.labels == tuple("0123456789")
    assert TASK.answer(torch.eye(10)[7]) == "7"
    assert TASK.token_grid((4, 8)) == (4, 8)
    assert np.array_equal(TASK.picture(TASK.test().inputs[3]), ink(3))


# -- pictures that people bring --------------------------------------------------------------------


def test_a_test_picture_written_as_png_comes_back(tmp_path: Path) -> None:
    for number in range(0, 360, 7):
        file = write(tmp_path / "digit.png", to_bytes(ink(number)))
        np.testing.assert_allclose(read(file), ink(number), atol=1 / 255)


@pytest.mark.parametrize("number", BOLD)
@pytest.mark.parametrize("dark", [True, False], ids=["dark_ink", "bright_ink"])
def test_a_large_picture_is_cut_to_its_ink(tmp_path: Path, number: int, dark: bool) -> None:
    values = 1 - ink(number) if dark else ink(number)
    found = read(write(tmp_path / "large.png", to_bytes(enlarged(values, float(dark)))))
    assert np.abs(found - ink(number)).mean() < 0.05
    assert np.corrcoef(found.flatten(), ink(number).flatten())[0, 1] > 0.97
    assert found.max() > 0.95


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_the_mode_of_a_picture_does_not_matter(tmp_path: Path, mode: str) -> None:
    plain = read(write(tmp_path / "plain.png", to_bytes(enlarged(1 - ink(2), 1.0))))
    found = read(write(tmp_path / "other.png", to_bytes(enlarged(1 - ink(2), 1.0)), mode))
    np.testing.assert_allclose(found, plain, atol=2 / 255)


def test_see_through_ground_is_white(tmp_path: Path) -> None:
    strength = to_bytes(enlarged(ink(2), 0.0))
    black_ink = np.dstack([np.zeros_like(strength)] * 3 + [strength])
    found = read(write(tmp_path / "ink.png", black_ink))
    plain = read(write(tmp_path / "plain.png", to_bytes(enlarged(1 - ink(2), 1.0))))
    np.testing.assert_allclose(found, plain, atol=2 / 255)


def test_a_see_through_palette_entry_is_white(tmp_path: Path) -> None:
    places = (enlarged(ink(2), 0.0) > 0.5).astype(np.uint8)
    image = Image.fromarray(places)
    palette = image.convert("P")
    palette.putpalette([255, 0, 0, 0, 0, 0])  # red ground, made transparent; black ink
    palette.save(tmp_path / "palette.png", transparency=0)
    plain = read(write(tmp_path / "plain.png", 255 - 255 * places))
    np.testing.assert_allclose(read(tmp_path / "palette.png"), plain, atol=1 / 255)


@pytest.mark.parametrize("side", [1, 5, 8, 9, 100])
@pytest.mark.parametrize("shade", [0, 255])
def test_a_blank_picture_has_no_ink(tmp_path: Path, side: int, shade: int) -> None:
    file = write(tmp_path / "blank.png", np.full((side, side + 3), shade, dtype=np.uint8))
    assert not read(file).any()


def test_a_thin_line_stays_thin(tmp_path: Path) -> None:
    page = np.full((160, 160), 255, dtype=np.uint8)
    page[20:140, 75:85] = 0
    found = read(write(tmp_path / "one.png", page))
    assert (found[:, 3:5].max(1) > 0.3).all()
    assert not found[:, [0, 1, 2, 5, 6, 7]].any()


def damage(kind: str, folder: Path) -> Path:
    file = folder / "digit.png"
    write(file, to_bytes(enlarged(ink(0), 0.0)))
    whole = file.read_bytes()
    match kind:
        case "missing":
            file.unlink()
        case "folder":
            return folder
        case "empty":
            file.write_bytes(b"")
        case "text":
            file.write_text("seven\nor so\n")
        case "cut_in_the_header":
            file.write_bytes(whole[:20])
        case "cut_in_the_pixels":
            file.write_bytes(whole[: len(whole) * 2 // 3])
        case "flipped":
            file.write_bytes(whole[:60] + bytes(byte ^ 0xFF for byte in whole[60:]))
        case "too_large":
            Image.new("1", (20_000, 20_000)).save(file)
    return file


@pytest.mark.parametrize(
    "kind",
    [
        "missing", "folder", "empty", "text", "cut_in_the_header", "cut_in_the_pixels", "flipped",
        "too_large",
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    file = damage(kind, tmp_path)
    with pytest.raises(UserError, match=r"\Ainput=.*(no such file|not a picture).*\Z") as refused:
        TASK.parse(str(file))
    assert str(file) in str(refused.value)


def test_a_name_of_two_lines_is_refused_in_one() -> None:
    with pytest.raises(UserError, match=r"\Ainput=.*no such file.*\Z"):
        TASK.parse("two\nlines.png")
