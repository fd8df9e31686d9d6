"""Metrics on their way out: JSON lines, and Weights & Biases without a network."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import wandb

from ctm.errors import UserError
from ctm.training.tracking import JsonLines, WeightsAndBiases, flat, overview


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Metrics of a run that was killed some steps after its checkpoint of step 20."""
    file = tmp_path / "metrics.jsonl"
    lines = JsonLines(file, 0)
    for step in (10, 20, 30):
        lines.log(step, "training", {"loss": 1 / step})
        lines.log(step, "validation", {"accuracy": {"certain": step / 100}})
    return file


def test_a_line_is_a_json_object_with_step_and_split(file: Path) -> None:
    assert read(file)[:2] == [
        {"step": 10, "split": "training", "loss": 0.1},
        {"step": 10, "split": "validation", "accuracy": {"certain": 0.1}},
    ]


def test_nothing_is_written_before_something_is_logged(tmp_path: Path) -> None:
    JsonLines(tmp_path / "metrics.jsonl", 0).close()
    assert list(tmp_path.iterdir()) == []


def test_lines_of_later_steps_are_dropped_at_a_resume(file: Path) -> None:
    before = read(file)
    lines = JsonLines(file, 20)
    assert read(file) == before[:4]
    lines.log(30, "training", {"loss": 0.5})
    assert read(file) == [*before[:4], {"step": 30, "split": "training", "loss": 0.5}]
    assert [path.name for path in file.parent.iterdir()] == ["metrics.jsonl"]


def test_a_run_from_the_start_drops_all(file: Path) -> None:
    JsonLines(file, 0)
    assert file.read_text() == ""


@pytest.mark.parametrize("cut", [1, 2, 20, 40])
def test_a_last_line_that_was_cut_off_is_dropped(file: Path, cut: int) -> None:
    before, text = read(file), file.read_text()
    file.write_text(text[:-cut])
    lines = JsonLines(file, 30)
    complete = before if cut == 1 else before[:-1]  # 1: only the end of the line is missing
    assert read(file) == complete
    lines.log(40, "training", {"loss": 0.0})
    assert read(file) == [*complete, {"step": 40, "split": "training", "loss": 0.0}]


@pytest.mark.parametrize("line", ["", "[]", "3", "null", "{}", '{"split": "training"}', "\x00\x00"])
def test_a_line_that_is_no_metrics_is_dropped(file: Path, line: str) -> None:
    before = read(file)
    file.write_text(file.read_text() + line + "\n")
    JsonLines(file, 30)
    assert read(file) == before


def test_json_lines_have_no_state(file: Path) -> None:
    assert JsonLines(file, 30).state_dict() == {}


def test_nested_metrics_are_flattened_by_slashes_and_ticks() -> None:
    metrics = {
        "loss": 0.5,
        "accuracy": {"certain": 0.75, "last": 0.5},
        "per_tick": {"accuracy": [0.1, 0.2], "loss": [3.0]},
    }
    assert flat(metrics) == {
        "loss": 0.5,
        "accuracy/certain": 0.75,
        "accuracy/last": 0.5,
        "per_tick/accuracy/01": 0.1,
        "per_tick/accuracy/02": 0.2,
        "per_tick/loss/01": 3.0,
    }
    assert flat({}) == flat({"empty": []}) == {}


def test_an_overview_leaves_breakdowns_out() -> None:
    kept = {"examples": 5, "accuracy": {"certain": 0.5}, "per_tick": {"loss": [1.0, 0.5]}}
    broken_down = {
        "per_class": {"accuracy": [0.1] * 1000},
        "by_length": {"accuracy": {"certain": {"1-2": 0.5}}},
        "waiting": {"gap_edges": [0.05], "correlation_with_gap": 0.5},
    }
    assert overview(kept | broken_down) == kept


# -- Weights & Biases ------------------------------------------------------------------------------


def start(folder: Path, state: dict[str, Any], mode: str = "offline") -> WeightsAndBiases:
    return WeightsAndBiases(
        mode=mode,
        project="ctm",
        entity=None,
        group="parity",
        name="parity/seed0",
        folder=folder,
        config={"task": {"length": 10}},
        state=state,
    )


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """W&B, kept to a folder of its own."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "home"))
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def written(folder: Path, run: str) -> str:
    """All that W&B has on the disk for one run, to be sent later."""
    files = folder.glob(f"wandb/offline-run-*-{run}/run-{run}.wandb")
    return "".join(file.read_bytes().decode(errors="replace") for file in files)


def test_wandb_runs_offline_and_keeps_its_id_over_a_resume(offline: Path) -> None:
    first = start(offline, {})
    first.log(10, "validation", {"accuracy": {"certain": 0.75}, "per_tick": {"loss": [1.0, 0.5]}})
    assert first.run.config["task"] == {"length": 10}
    assert first.run.group == "parity"
    first.close()
    wandb.teardown()  # as at the end of the process: waits until all is on the disk
    kept = written(offline, first.id)
    assert "validation/accuracy/certain" in kept
    assert "validation/per_tick/loss/02" in kept
    later = offline / "later"  # W&B names folders by the second, and both starts may lie in one
    later.mkdir()
    again = start(later, first.state_dict())
    again.log(20, "training", {"loss": math.pi})
    again.close()
    wandb.teardown()
    assert again.id == first.id == again.run.id
    assert first.state_dict() == again.state_dict() == {"wandb_id": first.id}
    assert "training/loss" in written(later, first.id)


@pytest.mark.parametrize("mode", ["on", "", "disabled"])
def test_a_wrong_mode_is_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(UserError, match=rf"\Atracker\.mode={mode}: want online or offline\Z"):
        start(tmp_path, {}, mode)
    assert list(tmp_path.iterdir()) == []
