"""`scripts/evaluate.py reapply=`: a model of mazes is asked again from where its moves led."""

import json
from pathlib import Path

import pytest

from ctm.app.trained import TrainedArguments, open_trained
from ctm.interface import Readout
from ctm.tasks.mazes import open_test
from ctm.tasks.mazes.reapply import TIMES, reapply
from ctm.tasks.mazes.store import MazeSettings, make_mazes
from tests.app.commands import complaint, run_well

SMALL = [
    "model/encoder=conv", "task.side=9", "task.route_length=20", "task.make=true",
    "task.train_size=40", "task.test_size=8", "task.validation_size=8", "trainer.steps=2",
    "trainer.batch_size=4", "schedule.warmup=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of 9x9 mazes, hardly trained, and mazes of 13x13."""
    folder = tmp_path_factory.mktemp("reapplied")
    for name, *more in (
        ("mazes/quick", "model.ticks=3", "run_dir=run"),
        ("mazes/feedforward", "model.hidden=8", "model.encoder.positions=none", "run_dir=flat"),
    ):
        run_well("train.py", f"experiment={name}", *SMALL, *more, cwd=folder)
    make_mazes(folder / "larger", MazeSettings(side=13, train=4, test=30, seed=0))
    return folder


def test_larger_mazes_are_measured_as_by_the_function(folder: Path) -> None:
    out = run_well("evaluate.py", "run=run", "reapply=larger", cwd=folder)
    found = json.loads(out)["reapplied"]
    model = open_trained(TrainedArguments(run=str(folder / "run"))).model
    expected = reapply(model, open_test(folder / "larger"), readout=Readout.certain)
    assert found == {"folder": "larger", "side": 13, "readout": "certain", **expected}
    assert len(found["solved_after"]) == TIMES
    assert sum(found["by_length"]["examples"].values()) == 30


def test_mazes_may_have_moved_since_the_training(folder: Path) -> None:
    there = json.loads(run_well("evaluate.py", "run=run", cwd=folder))["test"]
    (folder / "data" / "mazes-9").rename(folder / "moved")
    try:
        line = complaint("evaluate.py", "run=run", "task.folder=elsewhere", cwd=folder)
        moved = run_well("evaluate.py", "run=run", "task.folder=moved", cwd=folder)
    finally:
        (folder / "moved").rename(folder / "data" / "mazes-9")
    assert "elsewhere" in line
    assert json.loads(moved)["test"]["accuracy"] == there["accuracy"]


@pytest.mark.parametrize(
    ("given", "said"),
    [("none", "reapply=none: no mazes there"), ("run", "reapply=run: no mazes there")],
)
def test_a_folder_without_mazes_is_one_line(folder: Path, given: str, said: str) -> None:
    assert said in complaint("evaluate.py", "run=run", f"reapply={given}", cwd=folder)


def test_a_model_of_one_size_alone_is_said_in_one_line(folder: Path) -> None:
    line = complaint("evaluate.py", "run=flat", "reapply=larger", cwd=folder)
    assert "reapply=larger: mazes of 13x13; this model's head reads 9x9 alone" in line
