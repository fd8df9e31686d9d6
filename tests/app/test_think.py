"""`scripts/think.py` and `scripts/evaluate.py`: right answers, and one line for every mistake."""

from pathlib import Path

import pytest

from tests.app.commands import ROOT, TINY, complaint, run_well


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a parity run (`run`) and a digits run (`digits`), hardly trained."""
    folder = tmp_path_factory.mktemp("trained")
    run_well("train.py", *TINY, "trainer.steps=1", cwd=folder)
    few = ["trainer.steps=2", "model.ticks=2", "run_dir=digits"]
    run_well("train.py", "experiment=digits/quick", *few, cwd=folder)
    return folder


def test_think_prints_answer_and_certainty_of_each_tick(trained: Path) -> None:
    out = run_well("think.py", "run=run", "input=01100101", cwd=trained)
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert len(rows) == 3
    answer = out.rsplit("answer ", 1)[1].split()[0]
    assert len(answer) == 8
    assert set(answer) <= {"0", "1"}
    assert "by the readout certain; most certain at tick" in out.splitlines()[-1]


def test_think_reads_a_picture(trained: Path) -> None:
    picture = ROOT / "docs" / "images" / "digit.png"
    out = run_well("think.py", "run=digits", f"input={picture}", cwd=trained)
    assert out.rsplit("answer ", 1)[1].split()[0] in "0123456789"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run=run", "input=0110"], "input=0110: 4 characters; want 8 characters 0 or 1"),
        (["run=run", "input=0110x101"], "characters ['x']; want 8 characters 0 or 1"),
        (["run=run", "input="], "0 characters; want 8"),
        (["run=digits", "input=none.png"], "input=none.png: no such file"),
        (["run=digits", "input=digits/config.yaml"], "not a picture that can be read"),
        (["run=digits", "input=digits"], "input=digits"),
        (["run=nowhere", "input=0"], "nowhere: no such folder; want a run folder"),
        (["run=.", "input=0"], ".: an empty or foreign folder; want a run folder"),
        (["run=run"], "input missing; usage: run=... input=..."),
        (["run=run", "inputs=0"], "inputs=0: no such argument; usage: run=... input=..."),
        (["run"], "run: no such argument; usage"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, trained: Path) -> None:
    line = complaint("think.py", *arguments, cwd=trained)
    assert line.startswith("think.py: ")
    assert said in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run=nowhere"], "nowhere: no such folder"),
        (["run=run", "device=tpu"], "device=tpu: want cpu or cuda"),
        (["run=run", "batch_size=0"], "batch_size=0: want a whole number of 1 or more"),
        (
            ["run=run", "reapply=data"],
            "reapply=data: for models of mazes; this one's task is parity",
        ),
        (["run=run", "task.folder=x"], "task.folder=x: the task parity has no such setting"),
        (["run=run", "task.download=1"], "task.download=1: want true or false"),
        (
            [],
            "run missing; usage: run=... [task.folder=] [task.download=false] [device=cpu] "
            "[batch_size=256] [reapply=]",
        ),
    ],
)
def test_a_mistake_in_evaluate_is_one_line(arguments: list[str], said: str, trained: Path) -> None:
    assert said in complaint("evaluate.py", *arguments, cwd=trained)
