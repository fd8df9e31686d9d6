"""Every experiment file trains, evaluates and goes on: small models, data in their real formats."""

import json
import signal
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
import torch

import ctm
from ctm.app.compose import compose, experiments
from ctm.app.train import train
from ctm.training.progress import ProgressReport
from tests.app.commands import complaint, run_well
from tests.tasks import picture_files

# what makes any experiment small; of the models' settings each takes those that it has
SHRUNK = [
    "trainer.steps=2", "trainer.batch_size=4", "trainer.evaluation_batch_size=8",
    "trainer.log_every=1", "trainer.evaluate_every=1", "schedule.warmup=1", "run_dir=run",
]  # fmt: skip
SHRUNK_MODEL = {
    "ticks": 8, "neurons": 32, "memory_length": 3, "d_input": 8, "heads": 4, "nlm_hidden": 4,
    "sync_out": 16, "sync_action": 16, "self_pairs": 2, "width": 16, "hidden": 16,
}  # fmt: skip
SHRUNK_TASK = {
    "parity": ["task.length=6", "task.validation_size=8", "task.test_size=8"],
    "sort": ["task.length=8", "task.validation_size=8", "task.test_size=8"],  # as model.d_input
    "digits": [],
    "state_tracking": ["task.length=3", "task.validation_each=4", "task.test_each=4"],
    "qamnist": [
        "task.validation_each=2", "task.test_each=2", "task.max_digits=2", "task.max_operations=1",
        "task.test_digits=3", "task.test_operations=2",
    ],
    "mazes": [
        "task.make=true", "task.train_size=24", "task.validation_size=8", "task.test_size=8",
    ],
    "cifar10": ["task.validation_size=8"],
    "cifar100": ["task.validation_size=8"],
    "imagenet": [
        "task.validation_size=4", "task.classes=3", "task.crop=32", "task.short_side=40",
        "model.encoder.depth=18",
    ],
}  # fmt: skip
# the files that a task reads and does not make
FILES: dict[str, Callable[[Path, pytest.MonkeyPatch], object]] = {
    "qamnist": picture_files.write_mnist,
    "cifar10": picture_files.write_cifar10,
    "cifar100": picture_files.write_cifar100,
    "imagenet": lambda folder, _: picture_files.write_imagenet(folder / "imagenet"),
}


def kinds() -> dict[str, str]:
    """The first experiment of each kind: `parity/ctm`, `parity/lstm`, ...; these are drawn."""
    first: dict[str, str] = {}
    for name in experiments():
        task, _, row = name.rpartition("/")
        first.setdefault(f"{task}/{row.split('_')[0]}", name)
    return first


def shrunk(name: str) -> list[str]:
    """The experiment, with all that makes it small."""
    full = compose([f"experiment={name}"])
    smaller = [
        f"model.{setting}={size}"
        for setting, size in SHRUNK_MODEL.items()
        if getattr(full.model, setting, 0)  # 0 is something else than a size
    ]
    return [f"experiment={name}", *SHRUNK, *smaller, *SHRUNK_TASK[full.task.kind]]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return ctm.load(folder / "run").state_dict()


@pytest.mark.parametrize("name", experiments())
def test_two_steps_an_evaluation_and_a_resume(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = compose(shrunk(name))
    if write := FILES.get(experiment.task.kind):
        write(tmp_path / "data", monkeypatch)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
        (folder / "data").symlink_to(tmp_path / "data", target_is_directory=True)
    (tmp_path / "data").mkdir(exist_ok=True)

    drawn = name in kinds().values()
    if not drawn:  # half of the time
        monkeypatch.setattr("ctm.app.result.draw", lambda *_: None)
    with chdir(whole):
        assert train(experiment) == 0
    result = json.loads((whole / "run" / "result.json").read_text())
    assert (result["experiment"], result["steps"]) == (name, 2)
    assert result["test"]["examples"] > 0
    assert (whole / "run" / "figures" / "ticks.png").is_file() == drawn

    # stopped by a signal after each step: what comes second starts from a checkpoint
    monkeypatch.setattr(ProgressReport, "step", lambda *_: signal.raise_signal(signal.SIGTERM))
    with chdir(stopped):
        for step in (1, 2):
            assert train(experiment) == 128 + signal.SIGTERM
            assert f"saved at step {step}" in capsys.readouterr().out
    expected, found = weights(whole), weights(stopped)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize("loss", ["two_tick", "maze"])
def test_a_loss_that_is_not_for_sorting_is_refused_in_one_line(loss: str, tmp_path: Path) -> None:
    line = complaint("train.py", "experiment=sort/quick", f"loss={loss}", cwd=tmp_path, apart=True)
    assert "want a class for each position, or choose loss=sort" in line
    assert not list(tmp_path.iterdir())


def test_a_question_is_described_by_its_longest(tmp_path: Path) -> None:
    out = run_well("train.py", "experiment=qamnist/ctm_10", "describe=true", cwd=tmp_path)
    # 4 digits, 4 operations (9 codes) and the answer, 10 ticks each
    assert "forward, at 140 ticks" in out
