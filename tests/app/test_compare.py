"""Comparing: sizes that match, words that are refused, and a report of what was trained."""

import csv
import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from ctm.app.compare import compare
from ctm.app.compare.arguments import parsed
from ctm.app.compare.budget import with_steps
from ctm.app.compare.contenders import CONTENDERS
from ctm.app.compare.matching import Knob, Match, Search, cost
from ctm.app.compare.outcomes import Estimate
from ctm.app.compare.plan import contestants, runs
from ctm.app.compare.tuning import rate_of, trials, tuned
from ctm.app.folder import read_settings
from ctm.errors import ConfigError
from ctm.models.config import CTMConfig, TransformerConfig
from tests.app.commands import TINY, complaint, run_well, start

EXPERIMENTS = ["parity/quick", "mazes/quick", "digits/quick", "state_tracking/s3", "qamnist/quick"]
SMALL = [*(word for word in TINY if word != "run_dir=run"), "trainer.steps=4",
         "trainer.log_every=2", "trainer.evaluate_every=2"]  # fmt: skip


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_contender_comes_within_one_percent_of_the_parameters(experiment: str) -> None:
    words = [f"experiment={experiment}", "models=ctm,transformer,looped,lstm,feedforward"]
    for contestant in contestants(parsed(words)):
        assert abs(contestant.error) <= 0.01, contestant.name


@pytest.mark.slow
def test_ten_million_parameters_on_the_papers_mazes_match_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["task.make=true", "task.train_size=200", "task.test_size=8", "task.validation_size=8"]
    ours, *others = contestants(
        parsed(["experiment=mazes/ctm", "model.neurons=864", "looped.ticks=4", *few])
    )
    assert 9.9e6 < ours.size.parameters < 10e6
    for contestant in others:
        assert abs(contestant.error) <= 0.01, contestant.name


def test_every_contender_comes_within_one_percent_of_the_flops() -> None:
    words = ["experiment=parity/quick", "match=flops", "models=ctm,transformer,looped,lstm"]
    ours, *others = contestants(parsed(words))
    for contestant in others:
        found = cost(contestant.experiment, Match.flops)
        assert abs(found / ours.size.flops - 1) <= 0.01, contestant.name


def test_the_twin_has_the_same_parameters_and_one_tick() -> None:
    ours, twin = contestants(parsed(["experiment=state_tracking/s3", "models=ctm,twin"]))
    assert twin.size.parameters == ours.size.parameters
    assert isinstance(twin.experiment.model, CTMConfig)
    assert (twin.experiment.model.ticks, twin.experiment.task.spec.code_ticks) == (1, 1)


@pytest.mark.parametrize("goal", [1, 7, 100, 12345])
def test_the_nearest_size_is_found(goal: int) -> None:
    search = Search(lambda sizes: 3 * sizes["width"] ** 2 + 5, goal)
    best = min(range(4, 4000, 4), key=lambda width: abs(3 * width**2 + 5 - goal))
    assert search.nearest(Knob("width", step=4)) == best


def test_a_size_that_a_model_refuses_is_too_small() -> None:
    def cost(sizes: dict[str, int]) -> int:
        if sizes["width"] < 8:
            raise ConfigError("heads too narrow")
        return sizes["width"]

    assert Search(cost, 10).nearest(Knob("width", step=2)) == 10
    assert Search(cost, 3).nearest(Knob("width")) == 8


def test_settings_of_one_model_change_it_alone_and_its_size_still_matches() -> None:
    words = ["experiment=parity/quick", "models=ctm,transformer,looped", "looped.ticks=3"]
    ours, plain, looped = contestants(parsed([*words, "transformer.width=64"]))
    assert isinstance(plain.experiment.model, TransformerConfig)
    assert isinstance(looped.experiment.model, TransformerConfig)
    assert (looped.experiment.model.ticks, plain.experiment.model.width) == (3, 64)
    assert abs(plain.error) <= 0.01
    assert abs(looped.error) <= 0.01
    assert ours.size.parameters == 256642


def test_an_optimisers_setting_is_that_of_one_model_alone() -> None:
    words = ["experiment=parity/quick", "models=ctm,lstm", "lstm.optimizer.lr=0.5"]
    ours, other = (found.experiment for found in contestants(parsed(words)))
    assert (ours.optimizer.lr, other.optimizer.lr) == (2e-3, 0.5)
    assert other.plain["optimizer"] == {**ours.plain["optimizer"], "lr": 0.5}


def test_runs_lie_in_folders_of_their_own_the_reference_in_the_experiments() -> None:
    words = ["experiment=parity/quick", "models=ctm,looped", "seeds=[1,4]", "examples=[128]"]
    arguments = parsed(words)
    folders = [str(run.folder) for run in runs(arguments, contestants(arguments))]
    out = "runs/compare/parity/quick/parameters"
    assert folders == [
        place
        for seed in (1, 4)
        for place in (
            f"runs/parity/quick/seed{seed}",
            f"{out}/looped/seed{seed}",
            f"{out}/ctm/examples128/seed{seed}",
            f"{out}/looped/examples128/seed{seed}",
        )
    ]


def test_other_steps_are_warmed_up_and_validated_by_the_same_share() -> None:
    (ours,) = contestants(parsed(["experiment=parity/quick", "models=ctm"]))
    fewer = with_steps(ours, 500).experiment
    assert (fewer.trainer.steps, fewer.trainer.evaluate_every) == (500, 50)
    assert (ours.experiment.schedule.warmup, fewer.schedule.warmup) == (200, 10)
    assert fewer.plain["schedule"]["warmup"] == 10
    assert with_steps(ours, 3).experiment.trainer.evaluate_every == 1


def test_a_trial_reaches_the_rate_that_it_tries() -> None:
    arguments = parsed(["experiment=digits/quick", "models=ctm", "tune=[3e-3]"])
    for trial in trials(arguments, contestants(arguments)):
        assert trial.experiment.schedule.warmup < trial.experiment.trainer.steps


def test_intervals_are_students() -> None:
    estimate = Estimate.of([0.90, 0.94, 0.92])
    assert estimate.mean == pytest.approx(0.92)
    assert estimate.deviation == pytest.approx(0.02)
    # 4.303 deviations over the root of three, from a table of t with two degrees of freedom
    assert estimate.low == pytest.approx(0.92 - 4.3027 * 0.02 / 3**0.5, abs=1e-5)
    assert Estimate.of([0.5]) == (0.5, None, None, None)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "experiment=?: want one, such as experiment=digits/quick"),
        (["digits"], "digits: want name=value, such as"),
        (["experiment=parity/quick", "models=[ctm,bert]"], "no bert; want some of ctm, twin"),
        (["experiment=parity/quick", "models=lstm"], "models=lstm: want ctm first"),
        (["experiment=parity/quick", "seeds=0"], "seeds=0: want how many, at most 1000"),
        (["experiment=parity/quick", "match=size"], "match=size: choose one of parameters, flops"),
        (["experiment=parity/quick", "seed=3"], "seed=3: the comparison's own"),
        (["experiment=parity/quick", "seconds=5"], "seconds=5: goes with match=time"),
        (["experiment=parity/quick", "tune=fast"], "tune=fast: want learning rates, such as"),
        (["experiment=parity/quick", "seeds=[1,1]"], "seeds=[1,1]: want each of them once"),
        (["experiment=parity/quick", "twin.ticks=3"], "twin.ticks: the twin is the CTM's own"),
        (["experiment=parity/quick", "++seed=3"], "++seed=3: the comparison's own"),
        (["experiment=parity/quick", "out="], "out=: want a folder"),
        (["experiment=parity/quick", "transformer.heads=null"], "transformer.heads"),
        (["experiment=parity/quick", "describe=yes"], "describe=yes: want true or false"),
        (["experiment=parity/quick", "tune=[]"], "tune=[]: want learning rates, such as"),
        (["experiment=parity/quick", "looped.depth=2"], "looped.depth=2: no such setting; want"),
        (["experiment=parity/quick", "looped.ticks=few"], "looped.ticks: Value 'few'"),
        (["experiment=parity/quick", "lstm.width=5"], "match=parameters has no size left"),
        (["experiment=parity/lstm_10"], "its model is of kind lstm; want an experiment of a ctm"),
        (["experiment=parity/quik"], "experiment=parity/quik: no such experiment; did you mean"),
        (["experiment=sort/quick", "models=ctm,twin"], "8 labels; or leave it out: models=[ctm]"),
        (["experiment=parity/quick", "tolerance=0.00001", "models=ctm,lstm"],
         "lstm comes no nearer to the 256,642 parameters of ctm than"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_one_line(
    words: list[str], line: str, tmp_path: Path
) -> None:
    assert line in complaint("compare.py", *words, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_comparison_is_described_without_training_or_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["experiment=parity/quick", "models=[ctm,twin]", "seeds=3", "tune=[1e-3]"]
    assert compare([*words, "describe=true"]) == 0
    said = capsys.readouterr().out
    assert "256,642" in said
    assert "6 runs, and before them 4 short ones" in said
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_any_training(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")
    line = complaint("compare.py", *SMALL, "models=ctm", "out=there", cwd=tmp_path)
    assert "out=there: not writable (File exists); choose another" in line


def test_a_comparison_trains_reports_and_goes_on(tmp_path: Path) -> None:
    words = [*SMALL, "models=ctm,looped", "jobs=2", "looped.ticks=2", "tolerance=0.3", "out=there"]
    said = run_well("compare.py", *words, "seeds=1", cwd=tmp_path)
    assert "2 runs, 0 of them finished before" in said
    again = run_well("compare.py", *words, "seeds=1", "examples=[8]", cwd=tmp_path)
    assert "4 runs, 2 of them finished before" in again

    there = tmp_path / "there"
    page = (there / "report.md").read_text()
    assert "Set by hand: looped: ticks=2." in page
    assert "Not finished" not in page
    result = json.loads((there / "looped" / "seed0" / "result.json").read_text())
    assert f"{result['parameters']:,}" in page
    assert f"{100 * result['test']['accuracy']['certain']:.2f}" in page
    with (there / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["seed"], row["examples_to_train_on"]) for row in rows] == [
        ("ctm", "0", ""), ("looped", "0", ""), ("ctm", "0", "8"), ("looped", "0", "8"),
    ]  # fmt: skip
    assert all(float(row["training_examples_per_second"]) > 0 for row in rows)
    assert all(int(row["peak_memory_bytes"]) > 1e7 for row in rows)
    for picture in ("accuracy.png", "curves.png", "sizes.png"):
        assert f"]({picture})" in page
        assert (there / picture).stat().st_size > 10_000

    for name in ("ctm", "looped"):
        shutil.rmtree(there / name)
    third = run_well("compare.py", *words, "seeds=1", "examples=[8]", cwd=tmp_path)
    known = "(4 known from there/runs.json alone: their folders are gone)"
    assert f"4 runs, 4 of them finished before {known}" in third
    assert (there / "report.md").read_text() == page
    assert not (there / "ctm").exists()


def test_a_comparison_that_is_stopped_saves_its_runs_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    words = [*SMALL, "trainer.steps=100000", "models=ctm", "seeds=1", "out=there"]
    process = start("compare.py", *words, cwd=tmp_path)
    log = tmp_path / "there" / "ctm" / "seed0" / "train.log"
    while not (log.exists() and "validation accuracy" in log.read_text()):
        time.sleep(0.2)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "not finished: ctm, seed 0; the same command goes on" in out
    assert "SIGTERM: saved at step" in log.read_text()
    page = (tmp_path / "there" / "report.md").read_text()
    assert re.search(
        r"left out of the tables:\*\* ctm, seed 0 \(\d+\.\d\d % of the validation examples after "
        r"[\d,]+ of 800,000\)\.",
        page,
    )
    assert "](curves.png)" in page
    assert "](accuracy.png)" not in page


def test_a_run_goes_on_with_the_settings_of_its_folder(tmp_path: Path) -> None:
    run_well("train.py", *TINY, "trainer.steps=3", cwd=tmp_path)
    assert "finished before" in run_well("train.py", "run=run", cwd=tmp_path)
    (tmp_path / "run" / "result.json").unlink()
    assert "going on from step 3, to step 3" in run_well("train.py", "run=run", cwd=tmp_path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run=nowhere"], "nowhere: has no config.yaml; want the folder of a run"),
        (["run=nowhere", "seed=1"], "run=nowhere seed=1: run=FOLDER stands alone"),
    ],
)
def test_a_folder_that_is_no_runs_is_refused(words: list[str], line: str, tmp_path: Path) -> None:
    assert line in complaint("train.py", *words, cwd=tmp_path)


def test_every_contender_has_a_look_of_its_own() -> None:
    from ctm.analysis.comparison import LOOKS

    assert LOOKS.keys() == CONTENDERS.keys()
    assert len({look["color"] for look in LOOKS.values()}) == len(LOOKS)


def test_each_model_trains_with_the_learning_rate_that_came_to_most(tmp_path: Path) -> None:
    words = [*SMALL, "trainer.steps=8", "models=ctm,looped", "tolerance=0.3", "out=there",
             "tune=[1e-6]", "seeds=1", "jobs=2"]  # fmt: skip
    run_well("compare.py", *words, cwd=tmp_path)
    page = (tmp_path / "there" / "report.md").read_text()
    for name in ("ctm", "looped"):
        accuracies = {}
        for rate in ("1e-06", "0.002"):
            folder = tmp_path / "there" / name / f"lr{rate}" / "seed0"
            settings = read_settings(folder)
            assert (settings["trainer"]["steps"], settings["optimizer"]["lr"]) == (2, float(rate))
            accuracies[rate] = validation(folder)
        settings = read_settings(tmp_path / "there" / name / "seed0")
        chosen = f"{settings['optimizer']['lr']:g}"
        assert settings["trainer"]["steps"] == 8
        assert accuracies[chosen] == max(accuracies.values())
        marked = [f"**{100 * accuracy:.2f}**" if rate == chosen else f"{100 * accuracy:.2f}"
                  for rate, accuracy in accuracies.items()]  # fmt: skip
        assert f"| {name} | {' | '.join(marked)} |" in page


def validation(folder: Path) -> float:
    """The last accuracy on the validation examples."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["split"] == "validation"][-1]["accuracy"]["certain"]


def test_of_equal_learning_rates_the_experiments_is_kept() -> None:
    words = ["experiment=parity/quick", "models=ctm", "tune=[1e-3]"]
    (ours,) = contestants(parsed(words))
    assert tuned(ours, {"ctm": {1e-3: 0.5, 2e-3: 0.5}}) is ours
    assert rate_of(tuned(ours, {"ctm": {1e-3: 0.6, 2e-3: 0.5}})) == 1e-3
    assert [run.name.rate for run in trials(parsed(words), [ours])] == [1e-3, 2e-3]


def test_a_learning_rate_that_was_set_by_hand_is_kept() -> None:
    words = ["experiment=parity/quick", "models=ctm,lstm", "tune=[1e-3]", "lstm.optimizer.lr=0.5"]
    arguments = parsed(words)
    assert {run.name.model for run in trials(arguments, contestants(arguments))} == {"ctm"}
