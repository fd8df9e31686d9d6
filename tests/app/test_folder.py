"""Which folders a run may use."""

from pathlib import Path

import pytest

from ctm.app.folder import RunFolder
from ctm.errors import UserError

CONFIG = {"model": {"ticks": 3}, "trainer": {"workers": 0}, "tracker": {"kind": "none"}}


def refusal(path: Path, config: dict[str, object] = CONFIG) -> str:
    with pytest.raises(UserError) as caught:
        RunFolder(path, config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_same_settings_find_their_folder_again(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", CONFIG)
    RunFolder(tmp_path / "run", CONFIG)


def test_other_settings_are_refused_with_the_differing_keys(tmp_path: Path) -> None:
    RunFolder(tmp_path, CONFIG)
    said = refusal(tmp_path, {**CONFIG, "model": {"ticks": 4, "neurons": 2}})
    assert "model.neurons (absent there, 2 here), model.ticks (3 there, 4 here)" in said


def test_settings_that_change_no_result_are_free(tmp_path: Path) -> None:
    RunFolder(tmp_path, CONFIG)
    RunFolder(tmp_path, {**CONFIG, "trainer": {"workers": 2}, "tracker": {"kind": "wandb"}})


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "has files but no config.yaml" in refusal(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", ["", "- 1\n", "a: [1\n", "\x00\x01"])
def test_a_damaged_config_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    assert str(tmp_path) in refusal(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "not writable (Not a directory)" in refusal(tmp_path / "file" / "run")
    assert "not writable" in refusal(tmp_path / "file")


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, CONFIG)
    again = RunFolder(tmp_path, CONFIG)
    with folder.locked(), pytest.raises(UserError, match="another process trains"), again.locked():
        pytest.fail("two processes hold the folder")
    with again.locked():
        assert (tmp_path / ".lock").exists()
