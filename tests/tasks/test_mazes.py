"""The task of mazes: examples, turned ones too, and what people type and see."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ctm.config import from_plain, to_plain
from ctm.errors import ConfigError, UserError
from ctm.interface import Batch, InputKind
from ctm.tasks import TASKS
from ctm.tasks.mazes import Mazes, Source
from ctm.tasks.mazes.augment import augmented
from ctm.tasks.mazes.generate import draw_mazes
from ctm.tasks.mazes.maze import MazeArrays, PixelRange, model_inputs, targets
from ctm.tasks.mazes.pictures import draw, write_pictures
from ctm.tasks.mazes.store import MazeSet
from tests.build import generator
from tests.tasks.maze_search import WAIT, check_route, distances, walked


def task(folder: Path, **settings: Any) -> Mazes:
    sizes: dict[str, Any] = {
        "train_size": 60,
        "test_size": 20,
        "validation_size": 15,
        "route_length": 20,
    }
    return Mazes(**{"side": 11, "folder": str(folder), "make": True} | sizes | settings)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Mazes:
    """A task whose mazes are made."""
    made = task(tmp_path_factory.mktemp("mazes") / "set")
    assert made.test().size == 20
    return made


def images(batch: Batch) -> Tensor:
    assert isinstance(batch.inputs, Tensor)
    return batch.inputs


def seen(image: Tensor) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """Where one can stand, start and goal, read off an input pixel by pixel."""
    free = np.zeros(image.shape[1:], dtype=bool)
    ends: dict[tuple[float, ...], tuple[int, int]] = {}
    for row, column in np.ndindex(*free.shape):
        colour = tuple(image[:, row, column].tolist())
        free[row, column] = colour != (0.0, 0.0, 0.0)
        if colour not in ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
            assert colour not in ends
            ends[colour] = row, column
    assert set(ends) == {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)}
    return free, ends[1.0, 0.0, 0.0], ends[0.0, 1.0, 0.0]


def check_examples(batch: Batch, route_length: int) -> None:
    """Each target is the way from red to green that its picture has, cut or drawn out."""
    for image, target in zip(images(batch), batch.targets, strict=True):
        free, start, goal = seen(image)
        moves = target.tolist()
        assert len(moves) == route_length
        if WAIT in moves:
            check_route(free, start, goal, moves)
        else:  # so far every move leads nearer
            left = distances(free, goal)
            assert left[walked(free, start, moves)] == left[start] - route_length


# -- examples --------------------------------------------------------------------------------------


def test_the_splits_have_their_sizes_and_are_parts_of_the_set(small: Mazes) -> None:
    parts = small.training(), small.validation(), small.test()
    assert [part.size for part in parts] == [45, 15, 20]
    mazes = MazeSet.open(small.place)
    together = MazeArrays.joined([parts[0].mazes(), parts[1].mazes()])
    np.testing.assert_array_equal(together.free, mazes.train.take(np.arange(60)).free)
    pictures = np.concatenate([draw(part.mazes(), route=False) for part in parts])
    assert len({picture.tobytes() for picture in pictures}) == 80


@pytest.mark.parametrize("route_length", [4, 20, 60])
def test_inputs_show_the_maze_and_targets_the_shortest_route(
    small: Mazes, route_length: int
) -> None:
    made = replace(small, route_length=route_length)
    for part in (made.validation(), made.test()):
        for batch in part.batches(8):
            check_examples(batch, route_length)
    check_examples(made.training().take(torch.arange(45), generator(0)), route_length)


def test_a_thousand_routes_of_39_pixels_are_right(tmp_path: Path) -> None:
    made = task(tmp_path / "large", side=39, train_size=40, test_size=1000, route_length=100)
    for batch in made.test().batches(100):
        check_examples(batch, 100)


def test_batches_are_all_examples_once_in_order(small: Mazes) -> None:
    part = small.validation()
    batches = list(part.batches(6))
    assert [len(batch) for batch in batches] == [6, 6, 3]
    inputs = [images(batch) for batch in batches]
    whole = part.mazes()
    assert torch.equal(torch.cat(inputs), model_inputs(whole))
    assert torch.equal(torch.cat([batch.targets for batch in batches]), targets(whole, 20))
    some = part.take(torch.tensor([5, 3]), generator(0))
    assert torch.equal(images(some), model_inputs(whole)[[5, 3]])


def test_pixels_are_in_the_range_that_was_asked_for(small: Mazes) -> None:
    unit = small.test().take(torch.arange(20), generator(0))
    signed = replace(small, pixel_range=PixelRange.signed).test()
    other = signed.take(torch.arange(20), generator(0))
    assert images(unit).unique().tolist() == [0.0, 1.0]
    assert torch.equal(images(other), 2 * images(unit) - 1)


# -- turned and mirrored ---------------------------------------------------------------------------


def plain(count: int, side: int = 11) -> tuple[Tensor, Tensor]:
    mazes = draw_mazes(count, side, np.random.default_rng(0))
    return model_inputs(mazes), targets(mazes, 40)


def ways(image: Tensor) -> list[Tensor]:
    """The outcomes of turn, mirror and upside down, in the order of their index."""
    turned = [image, image.rot90(1, (1, 2)), image.rot90(-1, (1, 2))]
    mirrored = [way for each in turned for way in (each, each.flip(2))]
    return [way for each in mirrored for way in (each, each.flip(1))]


def test_turned_mazes_keep_right_routes() -> None:
    pictures, moves = plain(300)
    batch = augmented(pictures, moves, generator(0))
    assert not torch.equal(images(batch), pictures)
    check_examples(batch, 40)


def test_turns_and_mirrors_come_as_often_as_they_should() -> None:
    """Half stay unturned, a quarter turns each way; both mirrors are independent of that."""
    image, moves = (values[:1] for values in plain(1, side=15))
    count = 12_000
    batch = augmented(image.repeat(count, 1, 1, 1), moves.repeat(count, 1), generator(0))
    # outcomes that look the same, such as a half turn by two mirrors, are counted together
    outcomes: dict[bytes, float] = {}
    for index, way in enumerate(ways(image[0])):
        key = way.numpy().tobytes()
        outcomes[key] = outcomes.get(key, 0.0) + (1 / 8 if index < 4 else 1 / 16)
    assert len(outcomes) == 8
    found = [example.numpy().tobytes() for example in images(batch)]
    for key, probability in outcomes.items():
        assert found.count(key) / count == pytest.approx(probability, abs=0.015)


def test_only_training_is_turned_and_only_if_asked(small: Mazes) -> None:
    numbers = torch.arange(15)
    for part in (small.validation(), replace(small, augment=False).training()):
        batch = part.take(numbers, generator(0))
        assert torch.equal(images(batch), model_inputs(part.mazes())[:15])
    turned = small.training().take(numbers, generator(0))
    assert not torch.equal(images(turned), model_inputs(small.training().mazes())[:15])


def test_what_is_random_comes_from_the_given_generator_alone(small: Mazes) -> None:
    before = torch.get_rng_state()
    first, again, other = (
        small.training().take(torch.arange(45), generator(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(images(first), images(again))
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(images(first), images(other))
    assert torch.equal(torch.get_rng_state(), before)


# -- where the mazes lie ---------------------------------------------------------------------------


def test_mazes_are_made_on_first_use_and_kept(tmp_path: Path) -> None:
    made = task(tmp_path / "data" / "set")
    inputs = [images(next(made.test().batches(20))) for _ in range(2)]
    assert torch.equal(*inputs)
    written = (made.place / "test.npy").stat().st_mtime_ns
    assert replace(made, make=False).test().size == 20
    assert (made.place / "test.npy").stat().st_mtime_ns == written


def test_a_missing_folder_is_answered_by_the_command_that_makes_it(tmp_path: Path) -> None:
    settings = {"train_size": 90, "test_size": 30, "seed": 5, "make": False}
    for part in (Mazes.training, Mazes.validation, Mazes.test):
        with pytest.raises(UserError) as refused:
            part(task(tmp_path / "set", **settings))
        assert str(refused.value) == (
            f"task.folder={tmp_path}/set: no such folder; make the mazes: python "
            "scripts/make_mazes.py --side 11 --train 90 --test 30 --seed 5 "
            f"--out {tmp_path}/set"
        )


def test_the_folder_is_named_by_the_side_unless_given() -> None:
    assert str(Mazes().place) == "data/mazes-39"
    assert str(Mazes(side=15, folder="elsewhere").place) == "elsewhere"


@pytest.mark.parametrize(("setting", "value"), [("side", 9), ("train_size", 61), ("seed", 1)])
def test_a_folder_of_other_mazes_is_refused(small: Mazes, setting: str, value: int) -> None:
    with pytest.raises(UserError, match=r"holds 60 training and 20 test mazes of 11x11, seed 0; "):
        replace(small, **{setting: value}).training()


def test_pictures_give_the_same_examples_as_the_file(small: Mazes, tmp_path: Path) -> None:
    mazes = MazeSet.open(small.place)
    write_pictures(mazes.train.take(np.arange(60)), tmp_path / "train" / "all")
    write_pictures(mazes.test.take(np.arange(20)), tmp_path / "test")
    drawn = replace(small, source=Source.png, folder=str(tmp_path))
    for one, other in (
        (small.training(), drawn.training()),
        (small.validation(), drawn.validation()),
        (small.test(), drawn.test()),
    ):
        numbers = torch.arange(one.size)
        first, second = (part.take(numbers, generator(0)) for part in (one, other))
        assert one.size == other.size
        assert torch.equal(images(first), images(second))
        assert torch.equal(first.targets, second.targets)


def test_too_few_pictures_for_validation_are_refused(tmp_path: Path) -> None:
    write_pictures(draw_mazes(15, 11, np.random.default_rng(0)), tmp_path / "train")
    with pytest.raises(ConfigError, match=r"task.validation_size=15: want fewer than the 15 train"):
        task(tmp_path, source=Source.png).training()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"side": 10}, "task.side=10: want an odd number of pixels, 5 or more"),
        ({"side": 3}, "task.side=3: want an odd number of pixels, 5 or more"),
        ({"route_length": 0}, "task.route_length=0: want 1 or more"),
        ({"train_size": 0}, "task.train_size=0: want 1 or more"),
        ({"test_size": 0}, "task.test_size=0: want 1 or more"),
        ({"validation_size": 0}, "task.validation_size=0: want 1 or more"),
        ({"validation_size": 45000}, "task.validation_size=45000: want fewer than the 45000 train"),
        ({"seed": -1}, "task.seed=-1: want 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Mazes(**settings)  # pyright: ignore
    assert str(refused.value).startswith(said)


def test_settings_survive_being_saved() -> None:
    settings = Mazes(side=15, source=Source.png, pixel_range=PixelRange.signed, augment=False)
    assert from_plain(TASKS, to_plain(settings)) == settings


# -- what people type and see ----------------------------------------------------------------------


def test_the_spec_says_what_the_data_is() -> None:
    spec = Mazes(side=15, route_length=50).spec
    assert (spec.input_kind, spec.input_shape, spec.output_shape) == (
        InputKind.image,
        (3, 15, 15),
        (50, 5),
    )
    assert Mazes().labels == ("up", "down", "left", "right", "wait")
    assert Mazes().token_grid((10, 10)) == (10, 10)


@pytest.mark.parametrize("pixel_range", list(PixelRange))
@pytest.mark.parametrize("route", [True, False])
def test_a_picture_file_is_read_without_its_route(
    tmp_path: Path, pixel_range: PixelRange, route: bool
) -> None:
    mazes = draw_mazes(10, 11, np.random.default_rng(0))
    reader = task(tmp_path, pixel_range=pixel_range)
    for index, pixels in enumerate(draw(mazes, route=route)):
        Image.fromarray(pixels).save(tmp_path / "maze.png")
        parsed = reader.parse(str(tmp_path / "maze.png"))
        assert torch.equal(parsed[0], model_inputs(mazes, pixel_range)[index])


@pytest.mark.parametrize("pixel_range", list(PixelRange))
def test_a_picture_shows_the_maze_in_colour(pixel_range: PixelRange) -> None:
    mazes = draw_mazes(5, 11, np.random.default_rng(0))
    for index, pixels in enumerate(draw(mazes, route=False)):
        shown = Mazes(side=11, pixel_range=pixel_range).picture(
            model_inputs(mazes, pixel_range)[index]
        )
        np.testing.assert_array_equal(shown * 255, pixels)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (None, "no such file; want a picture of a maze"),
        ((9, 11), "11 x 9 pixels; want 11 x 11"),
        ((15, 15), "15 x 15 pixels; want 11 x 11"),
        ((11, 11), "0 red pixels (the start); want one"),
    ],
)
def test_what_is_no_maze_is_refused_in_one_line(
    tmp_path: Path, size: tuple[int, int] | None, said: str
) -> None:
    file = tmp_path / "maze.png"
    if size is not None:
        Image.fromarray(np.zeros((*size, 3), dtype=np.uint8)).save(file)
    with pytest.raises(UserError) as refused:
        task(tmp_path).parse(str(file))
    assert str(refused.value) == f"input={file}: {said}"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("moves", "said"),
    [([0, 3, 3, 1, 2, 4, 4], "↑→→↓←"), ([0, 4, 3, 4], "↑·→"), ([4, 4, 4], "·"), ([1], "↓")],
)
def test_an_answer_is_arrows_up_to_the_last_wait(moves: list[int], said: str) -> None:
    assert Mazes().answer(torch.eye(5)[moves]) == said


def test_the_commands_defaults_make_what_the_task_reads_by_default() -> None:
    with pytest.raises(UserError) as refused:
        Mazes(folder="no/such/folder").test()
    assert "--side 39 --train 45000 --test 5000 --seed 0" in str(refused.value)
