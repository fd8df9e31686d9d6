"""Reports of every task, from results as untrained models give them."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from ctm.app.compare import budget, larger_problems, outcomes
from ctm.app.compare.arguments import parsed
from ctm.app.compare.budget import equal_time
from ctm.app.compare.comparison import Comparison
from ctm.app.compare.plan import Run, contestants, runs
from ctm.app.compare.records import Records
from ctm.app.compare.report import write_report
from ctm.app.compare.speed import Rates, usual_batches
from ctm.app.compare.training import unfinished
from ctm.app.result import read_result
from ctm.config import to_plain
from ctm.errors import CheckpointError, UserError
from ctm.models.build import Model, build_model
from ctm.training.evaluation import evaluate

QUIET = Console(quiet=True)
SMALL = ["model.neurons=16", "model.d_input=8", "model.memory_length=3", "model.heads=2"]
TASKS = {
    "state_tracking/s3": [*SMALL, "task.length=3", "task.test_each=8"],
    "qamnist/quick": [*SMALL, "task.test_each=4", "task.validation_each=4"],
    "mazes/quick": [*SMALL, "task.train_size=20", "task.test_size=8", "task.validation_size=8"],
    "parity/quick": [*SMALL, "task.length=6", "task.test_size=8"],
    "sort/quick": ["task.test_size=8", "models=ctm,transformer,lstm"],
    "digits/quick": [*SMALL],
}


class Fakes:
    """Results of untrained models, in the folders where runs would lie."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models: dict[str, Model] = {}
        monkeypatch.setattr(outcomes, "open_pretrained", self.open)

    def open(self, folder: Path, device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(model=self.models[str(folder)].to(device))

    def finish(self, run: Run) -> None:
        experiment = run.experiment
        model = build_model(experiment.model, experiment.task.spec, seed=run.name.seed).eval()
        self.models[str(run.folder)] = model
        test = evaluate(model, experiment.task, experiment.task.test(), batch_size=64, device="cpu")
        result = {
            "experiment": experiment.name, "task": to_plain(experiment.task), "seed": run.name.seed,
            "steps": 4, "seconds": 1.0, "date": "2026-01-02T03:04:05", "commit": "0123456",
            "readout": experiment.model.readout.value, "test": test,
        }  # fmt: skip
        self.log(run, test, steps=(2, 4))
        (run.folder / "result.json").write_text(json.dumps(result))

    def log(self, run: Run, metrics: dict[str, Any], steps: Sequence[int]) -> None:
        """As after so many steps."""
        run.folder.mkdir(parents=True)
        lines = ({"step": step, "split": "validation", **metrics} for step in steps)
        (run.folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    monkeypatch.chdir(tmp_path)
    return Fakes(monkeypatch)


def reported(words: list[str], fakes: Fakes, done: Callable[[Run], bool] = lambda _: True) -> str:
    """The page, where some of the runs are finished."""
    arguments = parsed([*words, "out=there", "tolerance=0.5"])
    found = contestants(arguments)
    planned = list(runs(arguments, found))
    for run in filter(done, planned):
        fakes.finish(run)
    harder, notes = larger_problems(found[0].experiment.task)
    records = Records(arguments.out)
    missing = unfinished(planned, records)
    finished = outcomes.finished(planned, records, harder)
    begun = outcomes.underway(planned, records)
    comparison = Comparison(arguments, found, finished, missing, begun, None, "command", {}, notes)
    page = write_report(comparison).read_text()
    records.write(outcome.record for outcome in [*finished, *begun])
    return page


@pytest.mark.parametrize("experiment", TASKS)
def test_every_task_has_its_report(experiment: str, fakes: Fakes) -> None:
    words = ["models=ctm,twin,transformer,looped,lstm,feedforward", *TASKS[experiment], "seeds=2"]
    page = reported([f"experiment={experiment}", *words], fakes)
    with Path("there/runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    models = list(dict.fromkeys(row["model"] for row in rows))
    assert len(rows) == 2 * len(models) >= 6
    for model in models:
        first, second = (float(row["accuracy"]) for row in rows if row["model"] == model)
        mean, half = (first + second) / 2, abs(first - second) / 2
        deviation = half * 2**0.5  # of two values
        assert f"| {model} | {100 * mean:.2f} ± {100 * deviation:.2f} |" in page
        assert f"{100 * first:.2f}, {100 * second:.2f}" in page
    # sorting and digits have one size only
    assert ("(sizes.png)" in page) == (experiment not in ("sort/quick", "digits/quick"))


def test_a_report_of_few_runs_names_those_that_are_missing(fakes: Fakes) -> None:
    words = ["experiment=digits/quick", *SMALL, "models=ctm,lstm", "seeds=2", "examples=[128]"]
    page = reported(words, fakes, lambda run: run.name.examples is None and run.name.seed == 0)
    missing = "ctm, 128 examples, seed 0; lstm, 128 examples, seed 0; ctm, seed 1"
    assert f"left out of the tables:** {missing}" in page


def test_runs_that_are_underway_show_how_far_they_are_also_when_their_folders_are_gone(
    fakes: Fakes,
) -> None:
    words = ["experiment=digits/quick", *SMALL, "models=ctm,lstm", "seeds=2", "tolerance=0.5"]
    arguments = parsed([*words, "out=there"])
    third = list(runs(arguments, contestants(arguments)))[3]
    fakes.log(third, {"accuracy": {"certain": 0.125}}, steps=(100, 300))
    page = reported(words, fakes, lambda run: run.name.seed == 0)
    said = "ctm, seed 1; lstm, seed 1 (12.50 % of the validation examples after 19,200 of 38,400)."
    assert f"**Not finished, and left out of the tables:** {said}" in page
    shutil.rmtree("there/lstm")
    shutil.rmtree("there/ctm")
    assert reported(words, fakes, lambda _: False) == page


def test_larger_problems_whose_data_are_missing_are_not_measured(fakes: Fakes) -> None:
    words = ["experiment=mazes/quick", *TASKS["mazes/quick"], "models=ctm", "seeds=1"]
    task = contestants(parsed(words))[0].experiment.task
    assert larger_problems(task)[0] is not None
    vars(task)["make"] = False
    vars(task)["side"] = 15
    harder, (note,) = larger_problems(task)
    assert harder is None
    assert "Larger problems were not measured: task.folder=data/mazes-19: no such folder" in note


def test_what_is_not_equal_is_said(fakes: Fakes) -> None:
    words = ["experiment=state_tracking/s3", *TASKS["state_tracking/s3"], "seeds=1"]
    page = reported(words, fakes, lambda _: False)
    assert "The twin is not matched: it is the CTM's own weights with one tick, to each" in page
    assert "their average, so it can't tell in which order they came" in page


def test_readouts_are_called_equal_only_where_they_are(fakes: Fakes) -> None:
    words = ["experiment=digits/quick", *SMALL, "models=ctm,looped", "seeds=1"]
    assert "the readout `certain`" in reported(words, fakes, lambda _: False)
    page = reported([*words, "looped.readout=last"], fakes, lambda _: False)
    assert "the readout" not in page
    assert "looped: readout=last" in page


def test_the_seconds_given_to_each_stand_on_the_page(fakes: Fakes) -> None:
    words = ["experiment=digits/quick", *SMALL, "models=ctm", "seeds=1", "match=time"]
    kept = {"asked": 90.0, "seconds": 90.0, "steps": {"ctm": 600}}
    Path("there").mkdir()
    Path("there/budget.json").write_text(json.dumps(kept))
    page = reported([*words, "seconds=90"], fakes, lambda _: False)
    assert "90 s of training by speeds measured before, alone (steps: ctm 600)" in page


def test_equal_time_is_measured_once_and_a_model_that_joins_gets_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    speeds = {"ctm": 640.0, "lstm": 1280.0, "looped": 64.0}

    def measured(asked: dict[str, Any], *, faster: float = 1) -> dict[str, Rates]:
        return {name: Rates(faster * speeds[name], 0.0) for name in asked}

    def steps(models: str, *words: str) -> list[int]:
        more = ["match=time", f"models={models}", "out=there", *words]
        arguments = parsed(["experiment=digits/quick", *more])
        found = equal_time(arguments, contestants(arguments), QUIET)
        return [contestant.experiment.trainer.steps for contestant in found]

    monkeypatch.setattr(budget, "rates_of", measured)
    assert steps("ctm,lstm") == [600, 1200]
    monkeypatch.setattr(budget, "rates_of", partial(measured, faster=2))
    assert steps("ctm,lstm") == [600, 1200]
    assert steps("ctm,looped") == [600, 120]
    with pytest.raises(UserError, match=r"seconds=5: .* holds a comparison with seconds: as long"):
        steps("ctm,lstm", "seconds=5")


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{}", '{"asked": 0, "seconds": 3}', '{"asked": 0, "seconds": 0, "steps": {}}',
     '{"asked": 0, "seconds": 3, "steps": {"ctm": "x"}}'],
)  # fmt: skip
def test_a_damaged_budget_is_refused_with_what_to_do(content: str, tmp_path: Path) -> None:
    (tmp_path / "budget.json").write_text(content)
    arguments = parsed(["experiment=digits/quick", "match=time", f"out={tmp_path}"])
    with pytest.raises(UserError, match=r"budget\.json: damaged, .* choose another out="):
        equal_time(arguments, [], QUIET)


@pytest.mark.parametrize("content", ["", "[]", "3", "{}", '{"readout": "certain", "test": 3}'])
def test_a_damaged_result_is_refused_with_what_to_do(content: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"result\.json: not the result of a finished run"):
        read_result(tmp_path)


def test_speed_is_timed_on_every_length_however_few_examples_it_has() -> None:
    few = ["experiment=state_tracking/s3", "models=ctm", "task.validation_each=4"]
    (ours,) = contestants(parsed(few))
    batches = usual_batches(ours.experiment)
    assert sorted(batch.inputs.shape[1] for batch in batches) == list(range(1, 9))
    assert {len(batch) for batch in batches} == {4}


def test_records_of_other_settings_are_refused(fakes: Fakes) -> None:
    words = ["experiment=digits/quick", *SMALL, "models=ctm", "seeds=1"]
    reported(words, fakes)
    with pytest.raises(UserError) as refusal:
        reported([*words, "optimizer.lr=0.5"], fakes, lambda _: False)
    for said in ("there/runs.json: holds ctm, seed 0 with other", "optimizer.lr (0.001 there, 0.5"):
        assert said in str(refusal.value)


def record(**changes: Any) -> str:
    """Of a run that has not begun, with something wrong."""
    whole = {"run": {"model": "ctm", "seed": 0}, "settings": {}, "result": None, "curve": []}
    return json.dumps([{**whole, "harder": None, **changes}])


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{}", '[{"model": "ctm", "curve": []}]', "[null]", record(settings=3),
     record(run={"model": "ctm", "seed": [0]})],
)  # fmt: skip
def test_damaged_records_are_refused_with_what_to_do(content: str, tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text(content)
    with pytest.raises(UserError, match=r"runs\.json: not the runs of a comparison; delete it"):
        Records(tmp_path)
