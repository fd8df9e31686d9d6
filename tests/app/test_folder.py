"""Which folders a run may use."""

from pathlib import Path

import pytest

from ctm.app.compose import compose
from ctm.app.folder import claimed, read_settings
from ctm.errors import UserError

CONFIG: dict[str, object] = {
    "model": {"ticks": 3},
    "trainer": {"workers": 0},
    "tracker": {"kind": "none"},
}


def claim(path: Path, config: dict[str, object] = CONFIG) -> None:
    with claimed(path, config):
        pass


def refusal(path: Path, config: dict[str, object] = CONFIG) -> str:
    with pytest.raises(UserError) as caught:
        claim(path, config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_same_settings_find_their_folder_again(tmp_path: Path) -> None:
    claim(tmp_path / "run", CONFIG)
    claim(tmp_path / "run", CONFIG)


def test_other_settings_are_refused_with_the_differing_keys(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    said = refusal(tmp_path, {**CONFIG, "model": {"ticks": 4, "neurons": 2}})
    assert "model.neurons (absent there, 2 here), model.ticks (3 there, 4 here)" in said


def test_a_setting_that_was_not_there_yet_has_its_default(tmp_path: Path) -> None:
    now = dict(compose(["experiment=mazes/feedforward"]).plain)
    old = {name: value for name, value in now["model"].items() if name not in ("second", "answers")}
    trainer = {name: value for name, value in now["trainer"].items() if name != "examples"}
    claim(tmp_path, {**now, "model": old, "trainer": trainer})
    claim(tmp_path, now)
    said = refusal(tmp_path, {**now, "trainer": {**now["trainer"], "examples": 70}})
    assert "trainer.examples (None there, 70 here)" in said


def test_free_settings_are_kept_as_they_were_asked_for_last(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    claim(tmp_path, {**CONFIG, "trainer": {"workers": 2}})
    assert read_settings(tmp_path)["trainer"] == {"workers": 2}


def test_settings_that_change_no_result_are_free(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    claim(tmp_path, {**CONFIG, "trainer": {"workers": 2}, "tracker": {"kind": "wandb"}})
    other = {"ticks": 3, "engine": "eager", "checkpoint_ticks": 2, "checkpoint_neurons": True}
    claim(tmp_path, {**CONFIG, "model": other})


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "has files but no config.yaml" in refusal(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", ["", "- 1\n", "a: [1\n", "\x00\x01", "\udcff"])
def test_a_damaged_config_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_bytes(content.encode(errors="surrogateescape"))
    assert str(tmp_path) in refusal(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "not writable (Not a directory)" in refusal(tmp_path / "file" / "run")
    assert "not writable" in refusal(tmp_path / "file")


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    with claimed(tmp_path, CONFIG):
        assert "another process trains there" in refusal(tmp_path)
    claim(tmp_path)


def test_what_a_kill_left_of_a_new_folder_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "config.yaml.partial").write_text("model: {ti")
    claim(tmp_path)
    assert (tmp_path / "config.yaml").exists()
