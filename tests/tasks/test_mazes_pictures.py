"""Mazes as pictures: how they look, and what comes back of them."""

import sys
import tracemalloc
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ctm.errors import UserError
from ctm.tasks.mazes import open_test, pictures
from ctm.tasks.mazes.generate import draw_mazes
from ctm.tasks.mazes.maze import MazeArrays
from ctm.tasks.mazes.pictures import (
    PictureFolder,
    check_room,
    draw,
    read_hub_record,
    read_layouts,
    read_mazes,
    read_pixels,
    write_pictures,
    write_set_pictures,
)
from ctm.tasks.mazes.store import MazeSet, MazeSettings, make_mazes
from tests.tasks.maze_search import STEPS, place_of

NAMES = [f"maze {number}" for number in range(60)]
BLACK, WHITE, RED, GREEN, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)


def drawn(count: int = 60, side: int = 11) -> MazeArrays:
    return draw_mazes(count, side, np.random.default_rng(0))


def assert_equal(one: MazeArrays, other: MazeArrays) -> None:
    for name in ("free", "start", "goal", "moves"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def route_of(mazes: MazeArrays, index: int) -> list[tuple[int, int]]:
    """All pixels of a route, ends included."""
    place = place_of(mazes.start[index])
    places = [place]
    for move in mazes.moves[index, : mazes.lengths[index]]:
        place = place[0] + STEPS[move][0], place[1] + STEPS[move][1]
        places.append(place)
    return places


def test_a_picture_has_the_colours_of_the_published_ones() -> None:
    mazes = drawn()
    pictures = draw(mazes)
    for index, picture in enumerate(pictures):
        route = route_of(mazes, index)
        for place in np.ndindex(11, 11):
            colour = WHITE if mazes.free[index][place] else BLACK
            if place in route:
                colour = BLUE
            if place == route[0]:
                colour = RED
            if place == route[-1]:
                colour = GREEN
            assert tuple(picture[place].tolist()) == colour


def test_a_picture_without_its_route_has_no_blue() -> None:
    pictures = draw(drawn(), route=False)
    assert not (pictures == BLUE).all(-1).any()
    layouts, blue = read_layouts(pictures, NAMES)
    assert not blue.any()
    np.testing.assert_array_equal(layouts.goal, drawn().goal)


@pytest.mark.parametrize("side", [5, 11, 39])
def test_drawn_mazes_are_read_back(side: int) -> None:
    mazes = drawn(side=side)
    assert_equal(read_mazes(draw(mazes), NAMES), mazes)


def test_written_files_are_read_back_in_their_order(tmp_path: Path) -> None:
    mazes = drawn()
    write_pictures(mazes, tmp_path / "train")
    folder = PictureFolder.open(tmp_path / "train", 11)
    assert (folder.size, folder.files[7].name) == (60, "07.png")
    assert_equal(folder.take(np.arange(60)), mazes)
    cut = folder.take(np.arange(60), 4)
    np.testing.assert_array_equal(cut.moves, mazes.moves[:, :4])


def test_files_in_folders_within_are_found_and_other_files_are_not(tmp_path: Path) -> None:
    mazes = drawn(6)
    for part in ("0", "1"):
        start = 3 * int(part)
        write_pictures(mazes[slice(start, start + 3)], tmp_path / part / "deep")
    (tmp_path / "notes.txt").write_text("not a maze")
    (tmp_path / "1" / "deep" / "2.png").rename(tmp_path / "1" / "deep" / "2.PNG")
    folder = PictureFolder.open(tmp_path, 11)
    assert_equal(folder.take(np.arange(6)), mazes)


def test_pictures_of_other_modes_and_nearly_right_colours_are_read(tmp_path: Path) -> None:
    (mazes, pixels) = drawn(1), draw(drawn(1))[0]
    for mode in ("RGB", "RGBA", "P"):
        Image.fromarray(pixels).convert(mode).save(tmp_path / "maze.png")
        assert_equal(read_mazes(read_pixels(tmp_path / "maze.png")[None], NAMES[:1]), mazes)
    faded = (30 + pixels * (195 / 255)).astype(np.uint8)
    assert_equal(read_mazes(faded[None], NAMES[:1]), mazes)


# -- whole sets ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mazes(tmp_path_factory: pytest.TempPathFactory) -> MazeSet:
    folder = tmp_path_factory.mktemp("mazes") / "set"
    make_mazes(folder, MazeSettings(11, train=101, test=25, seed=0))
    return MazeSet.open(folder)


def test_a_set_is_drawn_some_mazes_at_a_time(
    mazes: MazeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def counting(some: MazeArrays) -> np.ndarray:
        counts.append(len(some))
        return draw(some)

    monkeypatch.setattr(pictures, "CHUNK", 40)
    monkeypatch.setattr(pictures, "draw", counting)
    write_set_pictures(mazes, tmp_path / "drawn")
    assert counts == [40, 40, 21, 25]
    for name, split in (("train", mazes.train), ("test", mazes.test)):
        folder = PictureFolder.open(tmp_path / "drawn" / name, 11)
        assert_equal(folder.take(np.arange(folder.size)), split.take(np.arange(split.size)))
    assert [path.name for path in sorted((tmp_path / "drawn" / "train").iterdir())][::50] == [
        "000.png",
        "050.png",
        "100.png",
    ]


def test_drawing_takes_bytes_not_words() -> None:
    some = drawn(200, side=39)
    tracemalloc.start()
    pixels = draw(some)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pixels.dtype == np.uint8
    assert peak < 5 * pixels.nbytes


def test_drawing_tells_how_far_it_is(mazes: MazeSet, tmp_path: Path) -> None:
    for terminal in (False, True):
        console = Console(record=True, force_terminal=terminal, width=100, file=StringIO())
        write_set_pictures(mazes, tmp_path / str(terminal), console)
        said = console.export_text()
        assert "drawing 126 mazes of 11x11" in said
        assert ("126/126" in said) == terminal


@pytest.mark.parametrize("there", ["train/0.png", "test/deep/0.png", "train/notes.txt"])
def test_pictures_are_not_mixed_with_what_is_there(
    mazes: MazeSet, tmp_path: Path, there: str
) -> None:
    file = tmp_path / there
    file.parent.mkdir(parents=True)
    file.write_text("")
    for refuse in (check_room, lambda folder: write_set_pictures(mazes, folder)):
        with pytest.raises(UserError) as refused:
            refuse(tmp_path)
        place = tmp_path / Path(there).parts[0]
        assert str(refused.value) == (
            f"{place}: holds files already; choose another folder or delete it"
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_empty_folders_and_other_files_are_no_hindrance(mazes: MazeSet, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "notes.txt").write_text("")
    check_room(tmp_path)
    write_set_pictures(mazes, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "test", "train"]


linux = pytest.mark.skipif(sys.platform != "linux", reason="has no /proc")


@pytest.mark.parametrize("place", ["file", "file/deep/x", pytest.param("full/x", marks=linux)])
def test_a_place_that_cannot_be_written_is_refused_in_one_line(
    mazes: MazeSet, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").symlink_to("/proc/self")  # not even root makes files there
    for refuse in (check_room, lambda folder: write_set_pictures(mazes, folder)):
        with pytest.raises(UserError, match=r": not writable \(.*\); choose another\Z") as refused:
            refuse(tmp_path / place)
        assert "\n" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_room_is_checked_without_making_anything(tmp_path: Path) -> None:
    check_room(tmp_path / "deep" / "drawn")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_pictures_that_could_not_all_be_drawn(
    mazes: MazeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def failing(some: MazeArrays) -> np.ndarray:
        if len(some) == 25:  # the test mazes; those for training are drawn
            raise error
        return draw(some)

    monkeypatch.setattr(pictures, "draw", failing)
    expected = UserError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as stopped:
        write_set_pictures(mazes, tmp_path)
    if isinstance(error, OSError):
        assert str(stopped.value) == (
            f"{tmp_path}: not writable (No space left on device); choose another"
        )
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(pictures, "draw", draw)
    write_set_pictures(mazes, tmp_path)


# -- records of the hub ----------------------------------------------------------------------------


@pytest.mark.parametrize("shows_route", [True, False])
@pytest.mark.parametrize("names_ends", [True, False])
@pytest.mark.parametrize("as_array", [True, False])
def test_a_record_of_the_hub_is_the_same_maze(
    shows_route: bool, names_ends: bool, as_array: bool
) -> None:
    mazes = drawn()
    for index, pixels in enumerate(draw(mazes, route=shows_route)):
        route = route_of(mazes, index)
        record: dict[str, Any] = {
            "image": pixels if as_array else Image.fromarray(pixels),
            "solution_path": [list(place) for place in (route if names_ends else route[1:-1])],
        }
        here = mazes[slice(index, index + 1)]
        length = int(here.lengths[0])
        assert_equal(
            read_hub_record(record),
            MazeArrays(here.free, here.start, here.goal, here.moves[:, :length]),
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: [*path, [0, 0]], "record: its path goes through a wall"),
        (lambda path: [*path, [11, 3]], "record: its path leaves the picture"),
        (lambda path: [*path, [-1, 3]], "record: its path leaves the picture"),
        (lambda path: path[:2] + path[3:], "record: the route is not one line of pixels"),
    ],
)
def test_a_path_that_is_no_route_is_refused(
    change: Callable[[list[list[int]]], list[list[int]]], said: str
) -> None:
    mazes = drawn()
    index = int(mazes.lengths.argmax())
    path = change([list(place) for place in route_of(mazes, index)])
    with pytest.raises(UserError, match=said):
        read_hub_record({"image": draw(mazes)[index], "solution_path": path})


# -- what is no maze -------------------------------------------------------------------------------


def longest() -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The picture with the longest route, and the route."""
    mazes = drawn()
    index = int(mazes.lengths.argmax())
    return draw(mazes)[index], route_of(mazes, index)


def spoiled(kind: str) -> np.ndarray:
    pixels, route = longest()
    off_route = [
        place for place in np.ndindex(11, 11)
        if (pixels[place] == WHITE).all() and all(abs(place[0] - r) + abs(place[1] - c) > 1
                                                  for r, c in route)
    ]  # fmt: skip
    match kind:
        case "grey":
            pixels[0, 3] = 128
        case "yellow":
            pixels[0, 3] = (255, 255, 0)
        case "no_start":
            pixels[route[0]] = WHITE
        case "two_goals":
            pixels[route[2]] = GREEN
        case "gap":
            pixels[route[3]] = WHITE
        case "unsolved":
            pixels[(pixels == BLUE).all(-1)] = WHITE
        case "stray":
            pixels[off_route[0]] = BLUE
        case "all_blue":
            pixels[(pixels == WHITE).all(-1)] = BLUE
    return pixels


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("grey", r"maze: pixel \(row 0, column 3\) has the colour \(128, 128, 128\); want black"),
        ("yellow", r"maze: pixel \(row 0, column 3\) has the colour \(255, 255, 0\); want black"),
        ("no_start", r"maze: 0 red pixels \(the start\); want one"),
        ("two_goals", r"maze: 2 green pixels \(the goal\); want one"),
        ("gap", r"maze: the route is not one line of pixels from start to goal \(see row \d+"),
        ("unsolved", r"maze: the route is not one line of pixels from start to goal \(see row"),
        ("stray", r"maze: the route is not one line of pixels from start to goal \(see row \d+"),
        ("all_blue", r"maze: the route is not one line of pixels from start to goal \(see row"),
    ],
)
def test_a_picture_that_is_no_solved_maze_is_refused_by_name(kind: str, said: str) -> None:
    pictures = np.stack([longest()[0], spoiled(kind)])
    with pytest.raises(UserError, match=rf"\A{said}") as refused:
        read_mazes(pictures, ["whole", "maze"])
    assert "\n" not in str(refused.value)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no PNG files there; want pictures of solved mazes"):
        PictureFolder.open(tmp_path / "train", 11)


def test_a_picture_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    write_pictures(drawn(3, side=9), tmp_path)
    with pytest.raises(UserError, match=r"1.png: 9 x 9 pixels; want 11 x 11"):
        PictureFolder.open(tmp_path, 11).take(np.array([1]))


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    write_pictures(drawn(3), tmp_path)
    file = tmp_path / "2.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(UserError, match=r"2.png: not a picture that can be read"):
        PictureFolder.open(tmp_path, 11).take(np.arange(3))


@pytest.mark.parametrize("side", [7, 13])
def test_test_mazes_of_any_side_open_from_either_format(side: int, tmp_path: Path) -> None:
    make_mazes(tmp_path / "set", MazeSettings(side, train=3, test=12, seed=0))
    mazes = open_test(tmp_path / "set")
    assert (mazes.side, len(mazes)) == (side, 12)
    write_pictures(mazes, tmp_path / "pictures" / "test")
    assert_equal(open_test(tmp_path / "pictures"), mazes)
