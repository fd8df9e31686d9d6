"""Whole runs by the command line: trained, stopped, killed, gone on with, finished."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import ctm
import ctm.app.train
from ctm.app.compose import compose
from ctm.models import fast
from ctm.models.machine import ContinuousThoughtMachine
from tests.app.commands import TINY, complaint, run_well, start

STEPS = 120
OFTEN = ["trainer.log_every=5", "trainer.checkpoint_every=10", "trainer.evaluate_every=40"]
LONG = [*TINY, *OFTEN, f"trainer.steps={STEPS}"]


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return ctm.load(run_dir).state_dict()


def metrics(run_dir: Path) -> list[dict[str, object]]:
    """What was logged, without the figures that measure time or memory."""
    measured = {"seconds", "examples_per_second", "peak_memory_bytes"}
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in measured} for line in lines]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny model from start to end."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    run_well("train.py", *LONG, cwd=folder)
    return folder / "run"


def test_a_run_leaves_result_metrics_and_pictures(uninterrupted: Path) -> None:
    result = json.loads((uninterrupted / "result.json").read_text())
    assert result["experiment"] == "parity/quick"
    assert result["steps"] == STEPS
    assert result["seed"] == 0
    assert result["parameters"] == sum(p.numel() for p in ctm.load(uninterrupted).parameters())
    assert {"date", "commit", "hardware", "versions", "seconds", "task"} <= result.keys()
    assert len(result["test"]["per_tick"]["accuracy"]) == 3
    assert set(result["test"]["accuracy"]) == {"certain", "last", "mean", "weighted"}
    for picture in ("ticks.png", "neurons.png", "thinking.png", "thinking.gif"):
        with Image.open(uninterrupted / "figures" / picture) as image:
            image.verify()
    with Image.open(uninterrupted / "figures" / "thinking.gif") as image:
        assert getattr(image, "n_frames", 1) == 3
    splits = [line["split"] for line in metrics(uninterrupted)]
    assert splits.count("training") == STEPS // 5
    assert splits.count("validation") == STEPS // 40


def test_evaluate_gives_the_numbers_of_the_result_again(uninterrupted: Path) -> None:
    result = json.loads((uninterrupted / "result.json").read_text())
    again = json.loads(run_well("evaluate.py", f"run={uninterrupted}", cwd=uninterrupted))
    timing = {"seconds", "examples_per_second", "peak_memory_bytes"}
    for key in result["test"].keys() - timing:
        assert again["test"][key] == result["test"][key], key


def test_a_finished_run_is_shown_and_not_trained_again(uninterrupted: Path) -> None:
    before = (uninterrupted / "metrics.jsonl").read_text()
    out = run_well("train.py", *LONG, cwd=uninterrupted.parent)
    assert "finished before" in out
    assert "test accuracy" in out
    assert (uninterrupted / "metrics.jsonl").read_text() == before


def test_same_seed_same_weights_other_seed_others(uninterrupted: Path, tmp_path: Path) -> None:
    run_well("train.py", *LONG, cwd=tmp_path)
    again = weights(tmp_path / "run")
    assert all(torch.equal(value, again[name]) for name, value in weights(uninterrupted).items())
    run_well("train.py", *TINY, "seed=1", "trainer.steps=1", "run_dir=other", cwd=tmp_path)
    assert not torch.equal(weights(tmp_path / "other")["start_z"], again["start_z"])


def wait_for_a_checkpoint(folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last").exists():
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.01)


def assert_equal_to_the_uninterrupted(folder: Path, uninterrupted: Path) -> None:
    expected, found = weights(uninterrupted), weights(folder)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert metrics(folder) == metrics(uninterrupted)


def test_a_killed_run_ends_equal_to_the_bit(uninterrupted: Path, tmp_path: Path) -> None:
    process = start("train.py", *LONG, cwd=tmp_path)
    wait_for_a_checkpoint(tmp_path / "run")
    time.sleep(random.Random(time.time_ns()).uniform(0, 1))
    process.kill()
    process.wait()
    out = run_well("train.py", *LONG, cwd=tmp_path)
    assert "going on from step" in out or "finished before" in out
    assert_equal_to_the_uninterrupted(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_cleanly(
    number: signal.Signals, uninterrupted: Path, tmp_path: Path
) -> None:
    process = start("train.py", *LONG, "trainer.workers=1", cwd=tmp_path)
    wait_for_a_checkpoint(tmp_path / "run")
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    if process.returncode != 0:  # 0: it had come to its end before
        assert process.returncode == 128 + number
        assert f"{number.name}: saved at step" in out
        assert "Traceback" not in out
        run_well("train.py", *LONG, cwd=tmp_path)
    assert_equal_to_the_uninterrupted(tmp_path / "run", uninterrupted)


def test_a_signal_to_the_whole_group_saves_too(uninterrupted: Path, tmp_path: Path) -> None:
    # as schedulers send it: data workers get it as well
    process = start("train.py", *LONG, "trainer.workers=2", cwd=tmp_path)
    wait_for_a_checkpoint(tmp_path / "run")
    os.killpg(process.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode in (0, 128 + signal.SIGTERM), out
    assert "Traceback" not in out
    run_well("train.py", *LONG, cwd=tmp_path)
    assert_equal_to_the_uninterrupted(tmp_path / "run", uninterrupted)


def test_a_run_goes_on_with_the_engine_and_stretches_asked_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with those it was begun with: they are no part of what is computed."""
    prepare, models = ctm.app.train.prepare, list[ContinuousThoughtMachine]()

    def watched(experiment: Any, fabric: Any, model: ContinuousThoughtMachine) -> Any:
        models.append(model)
        return prepare(experiment, fabric, model)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ctm.app.train, "prepare", watched)
    monkeypatch.setattr(ctm.app.train, "write_result", lambda *_: None)  # it seems unfinished
    few = [*TINY, "trainer.steps=2", "trainer.accelerator=cpu"]
    asked = [("eager", None, False), ("fast", 2, True), ("fast", None, False), ("eager", 3, True)]
    for engine, checkpoint_ticks, neurons in asked:
        stretches = "null" if checkpoint_ticks is None else checkpoint_ticks
        now = [f"model.engine={engine}", f"model.checkpoint_ticks={stretches}"]
        now.append(f"model.checkpoint_neurons={neurons}")
        assert ctm.app.train.train(compose([*few, *now])) == 0
        assert models[-1].neuron_models.recompute is neurons
        assert models[-1].engine is (fast.think if engine == "fast" else None)
        assert models[-1].stretches.longest == checkpoint_ticks
    first = models[0].state_dict()
    for model in models[1:]:
        assert all(torch.equal(value, first[name]) for name, value in model.state_dict().items())


def test_a_diverging_run_stops_with_advice_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    wild = ["optimizer.lr=1e30", "schedule.warmup=0", "trainer.clip_quantile=null"]
    often = ["trainer.log_every=1", "trainer.steps=50", "trainer.checkpoint_every=1"]
    line = complaint("train.py", *TINY, *wild, *often, cwd=tmp_path)
    assert "not finite" in line
    assert "Try a smaller optimizer.lr" in line
    assert all(value.isfinite().all() for value in weights(tmp_path / "run").values())


def test_another_config_in_the_folder_is_refused(uninterrupted: Path) -> None:
    line = complaint("train.py", *LONG, "optimizer.lr=0.5", cwd=uninterrupted.parent)
    assert "optimizer.lr (0.002 there, 0.5 here)" in line


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    run_well("train.py", *TINY, "trainer.steps=2", cwd=tmp_path)
    (tmp_path / "run" / "result.json").unlink()
    for name, wanted in (("training.pt", "damaged"), ("model.safetensors", "not a whole")):
        file = tmp_path / "run" / "checkpoints" / "last" / name
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        line = complaint("train.py", *TINY, "trainer.steps=2", cwd=tmp_path)
        assert name in line
        assert wanted in line
        file.write_bytes(content)


def test_wandb_offline_keeps_one_run_over_a_resume(tmp_path: Path) -> None:
    asked = [*TINY, "tracker=wandb", "tracker.mode=offline", "trainer.steps=4"]
    run_well("train.py", *asked, cwd=tmp_path, apart=True)
    (tmp_path / "run" / "result.json").unlink()
    run_well("train.py", *asked, cwd=tmp_path, apart=True)
    files = list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert files
    assert len({file.stem for file in files}) == 1


def test_compile_gives_a_run_of_the_same_loss(tmp_path: Path, uninterrupted: Path) -> None:
    few = [*TINY, *OFTEN, "trainer.steps=5", "model.dropout=0"]
    run_well("train.py", *few, cwd=tmp_path)
    more = [*few, "model.engine=compiled", "run_dir=compiled"]
    run_well("train.py", *more, cwd=tmp_path, apart=True)
    plain, compiled = metrics(tmp_path / "run")[0], metrics(tmp_path / "compiled")[0]
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-5)


def test_describe_prints_exact_parameters_and_trains_nothing(tmp_path: Path) -> None:
    out = run_well("train.py", "experiment=parity/ctm_75_25", "describe=true", cwd=tmp_path)
    assert "parameters: 5719714\n" in out
    assert "5,719,714 parameters" in out
    assert "flops per tick: " in out
    assert "memory_length: 25" in out
    assert not list(tmp_path.iterdir())


def test_describe_takes_a_model_too_big_for_any_machine(tmp_path: Path) -> None:
    out = run_well(
        "train.py",
        "experiment=parity/quick",
        "model.neurons=1000000",
        "describe=true",
        cwd=tmp_path,
    )
    assert "TFLOP an example" in out


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["experiment=parity/quik"], "train.py: experiment=parity/quik: no such experiment"),
        (["experiment=parity/quick", "model.heads=3"], "train.py: model.heads=3: want a divisor"),
        (["experiment=parity/quick", "model.engine=warp"], "train.py: model.engine=warp: Invalid"),
        (["experiment=parity/quick", "model/encoder=conv"], "it can't read inputs of kind signs"),
        (["experiment=parity/quick", "optimizer.lr=-1"], "optimizer: torch.optim.AdamW refuses"),
        (["experiment=parity/quick", "schedule.warmup=-1"], "schedule.warmup=-1: want a whole"),
        (["experiment=parity/quick", "loss.readout=mean"], "loss.readout=mean: want certain or"),
        (["experiment=digits/quick", "loss=maze"], "loss=maze: it is for routes"),
        (["experiment=parity/quick", "tracker=wandb", "tracker.mode=x"], "tracker.mode=x: want"),
        (["experiment=parity/quick", "tracker=wandb", "+tracker.x=1"], "tracker: "),
        (["experiment=parity/quick", "trainer.precision=16-mixed"], "needs a GPU"),
        (["experiment=parity/quick", "run_dir=/proc/none"], "run_dir=/proc/none: not writable"),
    ],
)
def test_a_mistake_is_one_line_on_the_terminal(
    overrides: list[str], said: str, tmp_path: Path
) -> None:
    line = complaint("train.py", *overrides, "trainer.accelerator=cpu", cwd=tmp_path)
    assert said in line


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("schedule.warmup=0.5", "schedule.warmup=0.5: want a whole number of 0 or more steps"),
        ("loss.last=2.5", "loss.last=2.5: want 1 or more ticks, or null for all"),
    ],
)
def test_a_wrong_type_for_an_object_is_one_line(override: str, said: str, tmp_path: Path) -> None:
    line = complaint("train.py", *TINY, override, cwd=tmp_path, apart=True)
    assert said in line


def test_a_refused_command_leaves_its_folder_to_the_corrected_one(tmp_path: Path) -> None:
    complaint("train.py", *TINY, "trainer.steps=1", "loss.readout=mean", cwd=tmp_path)
    run_well("train.py", *TINY, "trainer.steps=1", cwd=tmp_path)


def test_a_machine_that_reads_directly_trains_to_its_result(tmp_path: Path) -> None:
    direct = ["model/encoder=none", "model.reading=direct", "model.d_input=8"]
    run_well("train.py", *TINY, *direct, "trainer.steps=2", cwd=tmp_path)
    assert (tmp_path / "run" / "result.json").exists()


def test_a_multirun_trains_each_setting_in_its_folder(tmp_path: Path) -> None:
    swept = [setting for setting in TINY if not setting.startswith(("run_dir", "model.ticks"))]
    apart = ["model.ticks=2,3", "run_dir=runs/ticks${model.ticks}"]
    run_well("train.py", "-m", *swept, *apart, "trainer.steps=1", cwd=tmp_path)
    for ticks in (2, 3):
        assert ctm.load(tmp_path / "runs" / f"ticks{ticks}").ticks == ticks


def test_hydra_shows_its_config(tmp_path: Path) -> None:
    out = run_well("train.py", *TINY, "--cfg", "job", cwd=tmp_path)
    assert "memory_length: 3" in out
