"""Sets of mazes on disk: what comes back, and what is said of a damaged set."""

import json
import os
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
from ctm.tasks.mazes.records import pack, unpack
from ctm.tasks.mazes.store import (
    MazeSet,
    MazeSettings,
    check_side,
    make_mazes,
    record_type,
)
from tests.app.commands import BAD_INPUT, complaint, run_here, run_well

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
    assert MazeSet.open(folder).settings == SETTINGS
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
        ({"side": 10}, "side=10: want an odd number of pixels, 5 or more, 65,535 at most"),
        ({"side": 3}, "side=3: want an odd number of pixels, 5 or more, 65,535 at most"),
        ({"side": 65537}, "side=65537: want an odd number of pixels, 5 or more, 65,535 at most"),
        ({"train": 0}, "train=0: want 1 or more"),
        ({"test": 0}, "test=0: want 1 or more"),
        ({"seed": -1}, "seed=-1: want 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(UserError) as refused:
        replace(SETTINGS, **wrong)
    assert str(refused.value) == said


def test_the_largest_side_fits_the_records() -> None:
    side = store.LARGEST_SIDE
    check_side("side", side)
    ends = np.zeros(1, record_type(5, 1))
    ends["goal"] = side - 1
    assert (ends["goal"] == side - 1).all()


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
        case "deep_description":
            description.write_text("[" * 100_000)
        case "a_folder":
            data.unlink()
            data.mkdir()
            described["train"]["bytes"] = data.stat().st_size
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
        case "no_header" | "header_cut_up":
            changed = bytes(len(whole))
            if kind == "header_cut_up":
                changed = whole[:20] + b"?" * 20 + whole[40:]
            data.write_bytes(changed)
            described["train"]["sha256"] = store.sha256(data)
            description.write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no_description", r": no mazes there \(mazes.json is missing\)"),
        ("cut_description", r"mazes.json: damaged: .*; delete the folder and make it again"),
        ("other_description", r"mazes.json: damaged: want the description of a set of format 1"),
        ("deep_description", r"mazes.json: damaged: .*; delete the folder and make it again"),
        ("a_folder", r"train.npy: damaged: Is a directory; delete the folder and make it again"),
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


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        (None, "side", None, "no side; want a whole number, 5 or more"),
        (None, "side", 11.0, "side=11.0; want a whole number, 5 or more"),
        (None, "side", "11", 'side="11"; want a whole number, 5 or more'),
        (None, "side", 3, "side=3; want a whole number, 5 or more"),
        (None, "side", 10, "side=10: want an odd number of pixels, 5 or more"),
        (None, "side", 10**9 + 1, "side=1000000001: want an odd number of pixels, 5 or more"),
        (None, "seed", True, "seed=true; want a whole number, 0 or more"),
        (None, "seed", -1, "seed=-1; want a whole number, 0 or more"),
        (None, "train", "all", 'train="all"; want a part with names and values'),
        ("test", "mazes", [30], "test.mazes=[30]; want a whole number, 1 or more"),
        ("test", "mazes", 0, "test.mazes=0; want a whole number, 1 or more"),
        ("train", "longest", "x", 'train.longest="x"; want a whole number, 1 to 121'),
        ("train", "longest", 10**30, "train.longest=1000000000"),
        ("train", "bytes", "x\n" * 1000, r'train.bytes="x\nx\nx'),
        ("test", "bytes", None, "no test.bytes; want a whole number, 1 or more"),
        ("test", "sha256", 7, "test.sha256=7; want a string"),
    ],
)
def test_a_description_of_other_types_or_ranges_is_refused_by_name(
    folder: Path, part: str | None, key: str, value: object, said: str
) -> None:
    file = folder / "mazes.json"
    described = json.loads(file.read_text())
    values = described if part is None else described[part]
    values[key] = value
    if value is None:
        del values[key]
    file.write_text(json.dumps(described))
    with pytest.raises(UserError) as refused:
        MazeSet.open(folder)
    assert str(refused.value).startswith(f"{file}: damaged: {said}")
    assert str(refused.value).endswith("; delete the folder and make it again")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < len(str(file)) + 200


def change_a_bit(file: Path, at: int) -> None:
    whole = bytearray(file.read_bytes())
    whole[at] ^= 1
    file.write_bytes(whole)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("at", [7, 200, -5])
def test_a_single_changed_bit_is_found(folder: Path, split: str, at: int) -> None:
    change_a_bit(folder / f"{split}.npy", at)
    with pytest.raises(
        UserError, match=rf"\A\S*{split}.npy: damaged: its SHA-256 sum is not"
    ) as no:
        MazeSet.open(folder)
    assert "\n" not in str(no.value)


def test_sums_are_taken_once_unless_a_file_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(file: Path) -> str:
        read.append(file.name)
        return sha256(file)

    sha256 = store.sha256
    monkeypatch.setattr(store, "sha256", counted)
    for _ in range(3):
        MazeSet.open(folder)
    assert read == ["train.npy", "test.npy"]
    monkeypatch.chdir(folder.parent)  # the same files by another name
    MazeSet.open(Path(folder.name))
    assert read == ["train.npy", "test.npy"]
    changed = (folder / "test.npy").stat().st_mtime_ns
    change_a_bit(folder / "test.npy", -5)
    os.utime(folder / "test.npy", ns=(changed + 1, changed + 1))
    with pytest.raises(UserError, match=r"test.npy: damaged: its SHA-256 sum is not the one"):
        MazeSet.open(folder)


# -- the command -----------------------------------------------------------------------------------


def test_the_command_of_the_settings_makes_the_set(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "typed"
    arguments = SETTINGS.command(place).split()
    assert arguments[:2] == ["python", "scripts/make_mazes.py"]
    said = run_well("make_mazes.py", *arguments[2:], cwd=tmp_path)
    assert f"{place}: 120 training and 30 test mazes of 11x11, seed 3" in said
    assert (place / "train.npy").read_bytes() == (folder / "train.npy").read_bytes()
    assert "every byte" in run_well("make_mazes.py", "--verify", str(place), cwd=tmp_path)


MADE = SETTINGS.command(Path("mazes")).split()[2:]  # what makes the fixture's set beside itself


def test_pictures_are_drawn_of_a_new_set_and_of_one_that_is_there(tmp_path: Path) -> None:
    first, again = (
        run_here("make_mazes.py", *MADE, "--pictures", name, cwd=tmp_path) for name in ("a", "b")
    )
    assert first.stdout.startswith(f"mazes: {SETTINGS}; 0.0 MB in ")
    assert again.stdout.startswith(f"mazes: {SETTINGS}; there already, drawn as it is\n")
    assert first.stdout.endswith("\na: the same as PNG files\n")
    drawing = "drawing 150 mazes of 11x11\n"
    assert (first.stderr, again.stderr) == (f"making 150 mazes of 11x11\n{drawing}", drawing)
    for split, count in (("train", 120), ("test", 30)):
        files = sorted((tmp_path / "a" / split).iterdir())
        assert len(files) == count
        for drawn in files:
            assert drawn.read_bytes() == (tmp_path / "b" / split / drawn.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--side", "10"], "side=10: want an odd number of pixels, 5 or more"),
        (["--side", "1000001"], "side=1000001: want an odd number of pixels, 5 or more, 65,535 at"),
        (["--side", "many"], "argument --side: invalid int value: 'many'; --help shows all"),
        (["--sides", "9"], "unrecognized arguments: --sides 9; --help shows all arguments"),
        (["--verify", "nowhere"], "nowhere: no mazes there (mazes.json is missing)"),
        (["--verify", "file"], "file: no mazes there (mazes.json is missing)"),
        (["--pictures", "file/x"], "file/x: not writable (Not a directory); choose another"),
        (["--pictures", "."], "test: holds files already; choose another folder or delete it"),
    ],
)
def test_a_mistake_of_the_command_is_answered_by_one_line(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "0.png").write_text("")
    assert said in complaint("make_mazes.py", *arguments, cwd=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "test"]


def test_a_set_of_other_settings_is_not_drawn(folder: Path) -> None:
    said = complaint(
        "make_mazes.py", *MADE, "--seed", "4", "--pictures", "drawn", cwd=folder.parent
    )
    assert said == (
        f"make_mazes.py: mazes: holds {SETTINGS}; want {replace(SETTINGS, seed=4)}; choose another "
        "--out or type the settings of that set"
    )
    assert not (folder.parent / "drawn").exists()


def test_a_damaged_set_is_neither_drawn_nor_verified(folder: Path) -> None:
    change_a_bit(folder / "train.npy", -5)
    for arguments in ([*MADE, "--pictures", "drawn"], ["--verify", "mazes"]):
        said = complaint("make_mazes.py", *arguments, cwd=folder.parent)
        assert "train.npy: damaged: its SHA-256 sum is not the one of mazes.json; delete" in said


def test_without_pictures_a_set_that_is_there_is_refused(folder: Path) -> None:
    said = complaint("make_mazes.py", *MADE, cwd=folder.parent)
    assert said.endswith("mazes: is there already; choose another folder or delete it")


def test_mazes_too_large_for_the_memory_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(*arguments: object) -> None:
        raise MemoryError("Unable to allocate 1.00 TiB")

    monkeypatch.setattr(store, "draw_set", drawn)
    done = run_here("make_mazes.py", *MADE, cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[1:]) == (
        BAD_INPUT,
        ["make_mazes.py: out of memory (Unable to allocate 1.00 TiB); ask for something smaller"],
    )
    assert not list(tmp_path.iterdir())
