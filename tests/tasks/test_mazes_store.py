"""Sets of mazes on disk: what comes back, and what is said of a damaged set."""

import json
import pickle
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ctm.errors import UserError
from ctm.tasks.mazes import store
from ctm.tasks.mazes.generate import draw_mazes, draw_set
from ctm.tasks.mazes.maze import MazeArrays
from ctm.tasks.mazes.store import MazeSet, MazeSettings, make_mazes, pack, unpack
from tests.app.commands import complaint, run_well

SETTINGS = MazeSettings(side=11, train=120, test=30, seed=3)


def assert_equal(one: MazeArrays, other: MazeArrays) -> None:
    for name in ("free", "start", "goal", "moves"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def drawn(count: int, side: int) -> MazeArrays:
    return draw_mazes(count, side, np.random.default_rng(0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_mazes(tmp_path / "mazes", SETTINGS)
    return tmp_path / "mazes"


@pytest.mark.parametrize("side", [5, 11, 39])
def test_packed_mazes_come_back(side: int) -> None:
    mazes = drawn(100, side)
    assert_equal(unpack(pack(mazes), side), mazes)


@pytest.mark.parametrize("most", [1, 3, 4, 10, 1000])
def test_the_first_moves_are_decoded_alone(most: int) -> None:
    mazes = drawn(100, 11)
    assert_equal(unpack(pack(mazes), 11, most), replace(mazes, moves=mazes.moves[:, :most]))


def test_a_maze_of_39_pixels_takes_under_400_bytes() -> None:
    records = pack(drawn(1000, 39))
    assert records.nbytes / len(records) < 400


def test_a_written_set_is_read_back(folder: Path) -> None:
    mazes = MazeSet.open(folder)
    mazes.verify()
    assert mazes.settings == SETTINGS
    for split, drawn in zip((mazes.train, mazes.test), draw_set(11, 120, 30, 3), strict=True):
        whole = replace(drawn, moves=drawn.moves[:, : drawn.lengths.max()])
        assert_equal(split.take(np.arange(split.size)), whole)
    some = np.array([17, 0, 99, 17])
    taken, those = mazes.train.take(some), mazes.train.take(np.arange(120))[some]
    assert_equal(taken, replace(those, moves=those.moves[:, : those.lengths.max()]))


def test_records_are_mapped_not_loaded(folder: Path) -> None:
    assert isinstance(MazeSet.open(folder).train.records, np.memmap)


def test_a_split_that_was_read_travels_to_another_process_as_its_path(folder: Path) -> None:
    split = MazeSet.open(folder).train
    before = split.take(np.arange(5))
    sent = pickle.dumps(split)
    assert len(sent) < 1000
    assert_equal(pickle.loads(sent).take(np.arange(5)), before)


def test_the_same_settings_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    make_mazes(tmp_path / "again", SETTINGS)
    for file in ("train.npy", "test.npy", "mazes.json"):
        assert (folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_the_test_set_does_not_depend_on_the_size_of_the_training_set(tmp_path: Path) -> None:
    test = []
    for train in (40, 3000):
        make_mazes(tmp_path / str(train), replace(SETTINGS, train=train))
        test.append(MazeSet.open(tmp_path / str(train)).test.take(np.arange(30)))
    assert_equal(*test)


def test_a_folder_that_is_there_is_left_alone(folder: Path) -> None:
    before = (folder / "mazes.json").read_bytes()
    with pytest.raises(UserError, match="is there already; choose another folder or delete it"):
        make_mazes(folder, replace(SETTINGS, seed=4))
    assert (folder / "mazes.json").read_bytes() == before


def test_nothing_is_left_of_a_set_that_could_not_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_set", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_mazes(tmp_path / "mazes", SETTINGS)
    assert not list(tmp_path.iterdir())


def test_of_two_processes_that_make_a_set_at_once_the_first_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set, folder = store.write_set, tmp_path / "mazes"

    def overtaken(place: Path, *arguments: MazeSettings, **splits: MazeArrays) -> None:
        write_set(place, *arguments, **splits)
        folder.mkdir()
        write_set(folder, *arguments, **splits)

    monkeypatch.setattr(store, "write_set", overtaken)
    make_mazes(folder, SETTINGS)
    MazeSet.open(folder).verify()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"\A.*: not writable \(Not a directory\); choose another"):
        make_mazes(tmp_path / "file" / "mazes", SETTINGS)


def test_a_file_gets_a_line_and_a_terminal_a_bar(tmp_path: Path) -> None:
    for terminal in (False, True):
        console = Console(record=True, force_terminal=terminal, width=100, file=StringIO())
        make_mazes(tmp_path / str(terminal), SETTINGS, console)
        said = console.export_text()
        assert "making 150 mazes of 11x11" in said
        assert ("150/150" in said) == terminal


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"side": 10}, "side=10: want an odd number of pixels, 5 or more"),
        ({"side": 3}, "side=3: want an odd number of pixels, 5 or more"),
        ({"train": 0}, "train=0: want 1 or more"),
        ({"test": 0}, "test=0: want 1 or more"),
        ({"seed": -1}, "seed=-1: want 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(UserError) as refused:
        replace(SETTINGS, **wrong)
    assert str(refused.value) == said


# -- damage ----------------------------------------------------------------------------------------


def damage(kind: str, folder: Path) -> None:
    data, description = folder / "train.npy", folder / "mazes.json"
    whole, described = data.read_bytes(), json.loads(description.read_text())
    match kind:
        case "no_description":
            description.unlink()
        case "cut_description":
            description.write_text(description.read_text()[:50])
        case "other_description":
            description.write_text('["mazes"]')
        case "no_side":
            del described["side"]
            description.write_text(json.dumps(described))
        case "other_longest":
            described["train"]["longest"] += 8
            description.write_text(json.dumps(described))
        case "missing":
            data.unlink()
        case "truncated":
            data.write_bytes(whole[:-100])
        case "empty":
            data.write_bytes(b"")
        case "no_header":
            data.write_bytes(bytes(len(whole)))
        case "header_cut_up":
            data.write_bytes(whole[:20] + b"?" * 20 + whole[40:])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no_description", r": no mazes there \(mazes.json is missing\)"),
        ("cut_description", r"mazes.json: damaged: .*; delete the folder and make it again"),
        ("other_description", r"mazes.json: damaged: want the description of a set of format 1"),
        ("no_side", r"mazes.json: damaged: no 'side'"),
        ("other_longest", r"train.npy: damaged: its records are not those of the settings"),
        ("missing", r"train.npy: damaged: no such file; delete the folder and make it again"),
        ("truncated", r"train.npy: damaged: [\d,]+ bytes; want [\d,]+; delete the folder"),
        ("empty", r"train.npy: damaged: 0 bytes; want [\d,]+; delete the folder"),
        ("no_header", r"train.npy: damaged: .*; delete the folder and make it again"),
        ("header_cut_up", r"train.npy: damaged: .*; delete the folder and make it again"),
    ],
)
def test_damage_is_told_in_one_line(folder: Path, kind: str, said: str) -> None:
    damage(kind, folder)
    with pytest.raises(UserError, match=rf"\A\S*{said}") as refused:
        MazeSet.open(folder).train.take(np.arange(3))
    assert "\n" not in str(refused.value)


def test_a_single_changed_bit_is_found_by_verification(folder: Path) -> None:
    whole = bytearray((folder / "test.npy").read_bytes())
    whole[-5] ^= 1
    (folder / "test.npy").write_bytes(whole)
    mazes = MazeSet.open(folder)  # its size is right
    with pytest.raises(UserError, match=r"test.npy: damaged: its SHA-256 sum is not the one"):
        mazes.verify()


# -- the command -----------------------------------------------------------------------------------


def test_the_command_of_the_settings_makes_the_set(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "typed"
    arguments = SETTINGS.command(place).split()
    assert arguments[:2] == ["python", "scripts/make_mazes.py"]
    said = run_well("make_mazes.py", *arguments[2:], "--pictures", "drawn", cwd=tmp_path)
    assert f"{place}: 120 training and 30 test mazes of 11x11, seed 3" in said
    assert (place / "train.npy").read_bytes() == (folder / "train.npy").read_bytes()
    assert len(list((tmp_path / "drawn" / "test").glob("*.png"))) == 30
    assert "every byte" in run_well("make_mazes.py", "--verify", str(place), cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--side", "10"], "side=10: want an odd number of pixels, 5 or more"),
        (["--side", "many"], "argument --side: invalid int value: 'many'; --help shows all"),
        (["--sides", "9"], "unrecognized arguments: --sides 9; --help shows all arguments"),
        (["--verify", "nowhere"], "nowhere: no mazes there (mazes.json is missing)"),
    ],
)
def test_a_mistake_of_the_command_is_answered_by_one_line(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    assert said in complaint("make_mazes.py", *arguments, cwd=tmp_path)
