"""`scripts/think.py` and `scripts/evaluate.py`: right answers, and one line for every mistake."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctm.app.command import BAD_INPUT
from tests.app.commands import ROOT, TINY, complaint, run_here, run_well


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


def lines_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """On standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_lines_of_json_are_answered_one_by_one(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, '{"input": "01100101", "id": 7}\n\n{"input": "11111111"}\n')
    first, second = lines_of(run_well("think.py", "run=run", "stop_at=0", cwd=trained))
    assert (first["input"], first["id"], first["ticks"]) == ("01100101", 7, 1)
    assert (second["input"], second["ticks"]) == ("11111111", 1)
    assert set(first["answer"]) <= {"0", "1"}
    assert 0 <= first["certainty"] <= 1


def test_a_line_that_is_wrong_is_said_so_and_the_others_are_answered(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, 'hello\n{"input": 3}\n{"input": "01"}\n{"input": "01100101"}\n')
    done = run_here("think.py", "run=run", cwd=trained)
    *wrong, right = lines_of(done.stdout)
    assert done.returncode == BAD_INPUT
    assert [said["line"] for said in wrong] == [1, 2, 3]
    assert "want JSON such as" in wrong[0]["error"]
    assert "2 characters; want 8" in wrong[2]["error"]
    assert "answer" in right


def test_it_stops_when_it_is_sure_and_may_think_for_longer(trained: Path) -> None:
    early = run_well("think.py", "run=run", "input=01100101", "stop_at=0", cwd=trained)
    assert len([line for line in early.splitlines() if line.startswith("│")]) == 1
    asked = ["run=run", "input=01100101", "stop_at=0", "animate=early.gif"]
    run_well("think.py", *asked, cwd=trained)
    with Image.open(trained / "early.gif") as image:
        assert getattr(image, "n_frames", 1) == 1
    (late,) = lines_of(
        run_well("think.py", "run=run", "input=01100101", "max_ticks=9", "--json", cwd=trained)
    )
    assert late["ticks"] == 9


def test_a_folder_of_pictures_is_answered_by_name(trained: Path, tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        shutil.copy(ROOT / "docs" / "images" / "digit.png", tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    out = run_well("think.py", "run=digits", f"input={tmp_path}", cwd=trained)
    rows = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    assert rows == ["a.png", "b.png"]
    asked = ["run=digits", f"input={tmp_path}", "json=true"]
    lines = lines_of(run_well("think.py", *asked, cwd=trained))
    assert [Path(line["input"]).name for line in lines] == ["a.png", "b.png"]
    one = run_well("think.py", "run=digits", f"input={tmp_path / 'a.png'}", "--json", cwd=trained)
    assert lines_of(one)[0]["answer"] == lines[0]["answer"]


def test_what_it_saw_is_drawn(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "seen.gif"
    for run, text in (("run", "01100101"), ("digits", str(ROOT / "docs" / "images" / "digit.png"))):
        run_well("think.py", f"run={run}", f"input={text}", f"animate={file}", cwd=trained)
        with Image.open(file) as image:
            assert getattr(image, "n_frames", 1) == (3 if run == "run" else 2)
    run_well("think.py", "run=run", "input=01100101", "--animate", cwd=trained)
    assert (trained / "thinking.gif").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run=run", "input=0110"], "input=0110: 4 characters; want 8 characters 0 or 1"),
        (["run=run", "input=0110x101"], "characters ['x']; want 8 characters 0 or 1"),
        (["run=digits", "input=none.png"], "input=none.png: no such file"),
        (["run=digits", "input=digits/config.yaml"], "not a picture that can be read"),
        (["run=nowhere", "input=0"], "nowhere: no such folder; want a run folder"),
        (["run=.", "input=0"], ".: an empty or foreign folder; want a run folder"),
        (["run=run", "inputs=0"], "inputs=0: no such argument; usage: run=... [task.folder=]"),
        (["run=run", "input=01100101", "stop_at=2"], "stop_at=2: want a number from 0 to 1"),
        (["run=run", "input=01100101", "max_ticks=0"], "max_ticks=0: want a whole number"),
        (["run=run", "input=01100101", "json=1"], "json=1: want true or false"),
        (["run=run", "input=01100101", "device=tpu"], "device=tpu: want cpu or cuda"),
        (["run=run", "--animate"], "animate=true: draws one input; want input=..."),
        (["run=digits", "input=digits/checkpoints"], "digits/checkpoints: a folder without pic"),
        (["run=run", "input=01100101", "animate=digits"], "animate=digits: can't be written"),
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
        (["run=run", "processes=none"], "processes=none: want a whole number of 1 or more"),
        (["run=run", "stop_at=0.5,7"], "stop_at=7: want a number from 0 to 1"),
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
            "[batch_size=256] [processes=1] [stop_at=] [reapply=]",
        ),
    ],
)
def test_a_mistake_in_evaluate_is_one_line(arguments: list[str], said: str, trained: Path) -> None:
    assert said in complaint("evaluate.py", *arguments, cwd=trained)


MEASURED = {"seconds", "examples_per_second", "peak_memory_bytes"}


def test_two_processes_give_the_numbers_of_one_to_the_last_example(trained: Path) -> None:
    def evaluated(*words: str) -> dict[str, Any]:
        asked = ["run=digits", "batch_size=50", "stop_at=0.02", *words]
        return json.loads(run_well("evaluate.py", *asked, cwd=trained, apart=True))

    one, two = evaluated(), evaluated("processes=2")
    assert one["test"]["examples"] == 360
    for whole in (one["test"], two["test"], *one["stop_at"], *two["stop_at"]):
        for name in MEASURED:
            whole.pop(name, None)
    assert one == two


def test_accuracy_and_ticks_are_measured_at_each_threshold(trained: Path) -> None:
    asked = ["run=digits", "stop_at=0,1", "batch_size=64"]
    found = json.loads(run_well("evaluate.py", *asked, cwd=trained))
    first, never, end = found["stop_at"]
    assert (first["stop_at"], never["stop_at"], end["stop_at"]) == (0.0, 1.0, None)
    assert (first["mean_ticks"], never["mean_ticks"], end["mean_ticks"]) == (1.0, 2.0, 2.0)
    assert first["accuracy"] == pytest.approx(found["test"]["per_tick"]["accuracy"][0])
    assert end["accuracy"] == pytest.approx(found["test"]["accuracy"]["certain"])


def test_published_models_answer_too() -> None:
    golden = Path(__file__).parents[1] / "golden" / "checkpoints"
    asked = [f"run={golden / 'parity_checkpoint_1234.pt'}", "input=010101010101", "--json"]
    (line,) = lines_of(run_well("think.py", *asked, cwd=golden))
    assert len(line["answer"]) == 12
    picture = ROOT / "docs" / "images" / "digit.png"
    asked = [f"run={golden / 'mazes_checkpoint.pt'}", f"input={picture}"]
    assert "240 x 240 pixels; want 39 x 39" in complaint("think.py", *asked, cwd=golden)


def test_a_model_that_does_not_say_what_it_was_trained_on_is_refused(tmp_path: Path) -> None:
    fixture = Path(__file__).parents[1] / "golden" / "image_random_pairing"
    args = json.loads((fixture / "fixture.json").read_text())["args"]
    (tmp_path / "config.json").write_text(json.dumps(args))
    shutil.copy(fixture / "weights.safetensors", tmp_path / "model.safetensors")
    line = complaint("evaluate.py", f"run={tmp_path}", cwd=tmp_path)
    assert "doesn't say what it was trained on" in line
