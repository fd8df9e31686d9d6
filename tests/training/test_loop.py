"""The training loop: learns, stops, goes on to the bit, and never saves what has diverged."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

import ctm
from ctm.interface import Batch, Thoughts, certainty
from ctm.losses import TwoTickLoss
from ctm.tasks.parity import EndlessParity, Parity
from ctm.training.checkpoint import load_training
from ctm.training.clipping import Clipper
from ctm.training.loop import TrainingDiverged, TrainingLoop
from tests.build import small
from tests.training.build import TASK, Run, assert_same, settings_of, weights_in

STEPS = 6


class Watched(TwoTickLoss):
    """Remembers what came by; from call number `broken` on, its result is spoilt."""

    def __init__(self, broken: int | None = None, spoil: str = "loss") -> None:
        super().__init__()
        self.broken, self.spoil = broken, spoil
        self.seen: list[Thoughts] = []

    def forward(self, thoughts: Thoughts, targets: Tensor) -> Tensor:
        self.seen.append(thoughts)
        loss = super().forward(thoughts, targets)
        if self.broken is None or len(self.seen) < self.broken:
            return loss
        if self.spoil == "loss":
            return loss * torch.nan
        return loss + (0 * thoughts.logits.sum()).sqrt()  # plus 0, whose gradient is 0 * inf


class Catching(Clipper):
    """Keeps the gradients as the optimiser will see them."""

    def __call__(self, fabric: Fabric, model: nn.Module, optimizer: Any) -> Tensor:
        norm = super().__call__(fabric, model, optimizer)
        named = model.named_parameters()
        self.caught = {name: w.grad.clone() for name, w in named if w.grad is not None}
        return norm


@dataclass
class Failing:
    """Parity that a crash ends at some batch."""

    at: int | None
    examples: EndlessParity = field(default_factory=TASK.training)
    size: int | None = None
    taken: int = 0

    def take(self, indices: Tensor, generator: torch.Generator) -> Batch:
        if self.taken == self.at:
            raise MemoryError("killed")
        self.taken += 1
        return self.examples.take(indices, generator)


def weights_of(loop: TrainingLoop) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in loop.trainee.model.state_dict().items()}


def batches(loop: TrainingLoop, count: int) -> list[Batch]:
    return [loop.stream[k] for k in range(count)]


# -- steps -----------------------------------------------------------------------------------------


def test_the_loss_falls_and_every_weight_moves(tmp_path: Path) -> None:
    settings = settings_of(steps=80, log_every=20, evaluate_every=80, checkpoint_every=80)
    run = Run(tmp_path, settings, small(), task=Parity(length=2, validation_size=8))
    loop = run.start()
    before = weights_of(loop)
    assert loop.run() is None
    losses = [line["loss"] for line in run.lines() if line["split"] == "training"]
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 0.1
    after = weights_of(loop)
    trained = [name for name, _ in loop.trainee.model.module.named_parameters()]
    assert [name for name in trained if torch.equal(after[name], before[name])] == []


def test_the_logged_loss_is_the_mean_since_the_last_log(tmp_path: Path) -> None:
    run = Run(tmp_path / "a", settings_of(log_every=3))
    run.start().run()
    every = Run(tmp_path / "b", settings_of(log_every=1))
    every.start().run()
    losses = [line["loss"] for line in every.lines() if line["split"] == "training"]
    means = [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
    found = [line["loss"] for line in run.lines() if line["split"] == "training"]
    assert found == pytest.approx(means, rel=1e-5)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_equal_those_of_one_batch(tmp_path: Path, parts: int) -> None:
    whole = Run(tmp_path, settings_of(batch_size=16), small()).start()
    (batch,) = batches(whole, 1)
    size = 16 // parts
    pieces = [
        Batch(batch.inputs[start : start + size], batch.targets[start : start + size])
        for start in range(0, 16, size)
    ]
    gradients, norms = [], []
    for given in ([batch], pieces):
        loop = Run(tmp_path, settings_of(batch_size=16), small()).start()
        loop.trainee.clipper = Catching()
        norms.append(loop.step(given))
        gradients.append(loop.trainee.clipper.caught)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(norms[1], norms[0], rtol=1e-5, atol=0)
    assert any(gradient.any() for gradient in gradients[0].values())


def test_a_step_takes_as_many_batches_as_it_accumulates(tmp_path: Path) -> None:
    examples = Failing(at=None)
    Run(tmp_path, settings_of(steps=3, accumulate=4), examples=examples).start().run()
    assert examples.taken == 12


def test_gradients_do_not_leak_from_step_to_step(tmp_path: Path) -> None:
    loop = Run(tmp_path, model=small()).start()
    (batch,) = batches(loop, 1)
    loop.trainee.optimizer.param_groups[0]["lr"] = 0.0
    loop.trainee.clipper = Catching()
    loop.step([batch])
    first = loop.trainee.clipper.caught
    loop.trainee.optimizer.param_groups[0]["lr"] = 0.0
    loop.step([batch])
    assert_same(loop.trainee.clipper.caught, first)


def test_bf16_trains_and_certainty_stays_float32(tmp_path: Path) -> None:
    loss = Watched()
    run = Run(tmp_path, settings_of(steps=3, precision="bf16-mixed"), loss=loss)
    loop = run.start()
    before = weights_of(loop)
    assert loop.run() is None
    for thoughts in loss.seen:
        assert thoughts.certainty.dtype is torch.float32
        torch.testing.assert_close(thoughts.certainty, certainty(thoughts.logits))
        # it was computed in bf16 and so is exact in it
        assert torch.equal(thoughts.logits, thoughts.logits.bfloat16().float())
    after = weights_of(loop)
    assert {value.dtype for value in after.values()} == {value.dtype for value in before.values()}
    assert not all(torch.equal(after[name], value) for name, value in before.items())


def test_what_is_due_happens_at_its_steps_and_at_the_end(tmp_path: Path) -> None:
    settings = settings_of(steps=7, log_every=2, evaluate_every=3, checkpoint_every=4, keep_every=1)
    run = Run(tmp_path, settings)
    run.start().run()
    steps: dict[str, list[int]] = {"training": [], "validation": []}
    for line in run.lines():
        steps[line["split"]].append(line["step"])
    assert steps == {"training": [2, 4, 6, 7], "validation": [3, 6, 7]}
    assert {4, 7} <= set(run.store.steps())


def test_best_is_the_first_checkpoint_of_highest_validation_accuracy(tmp_path: Path) -> None:
    run = Run(tmp_path, settings_of(steps=12))
    run.start().run()
    accuracies = {
        line["step"]: line["accuracy"]["certain"]
        for line in run.lines()
        if line["split"] == "validation"
    }
    best = run.store.best()
    assert best is not None
    assert best.name == f"step_{max(accuracies, key=lambda step: accuracies[step]):08d}"
    last = run.store.last()
    assert last is not None
    assert load_training(last)["position"]["best"] == max(accuracies.values())


# -- going on --------------------------------------------------------------------------------------


def full(folder: Path, **settings: Any) -> Run:
    """A run in which all that has a state is in use."""
    many: dict[str, Any] = {"accumulate": 2, "clip_quantile": 0.5, "clip_window": 3}
    return Run(folder, settings_of(steps=STEPS, log_every=3, **many | settings))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = full(tmp_path_factory.mktemp("uninterrupted"))
    assert run.start().run() is None
    return run.outcome()


@pytest.mark.parametrize("stop_at", range(1, STEPS))
def test_resume_is_bit_exact(tmp_path: Path, stop_at: int, uninterrupted: dict[str, Any]) -> None:
    run = full(tmp_path)
    assert run.start(stop_at=stop_at).run() is signal.SIGTERM
    last = run.store.last()
    assert last is not None
    assert last.name == f"step_{stop_at:08d}"
    torch.rand(stop_at)  # a process of its own would draw other numbers
    assert run.start().run() is None
    assert_same(run.outcome(), uninterrupted)


def test_a_run_stopped_at_every_step_is_bit_exact(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    run = full(tmp_path)
    for step in range(1, STEPS):
        assert run.start(stop_at=step).run() is signal.SIGTERM
    assert run.start().run() is None
    assert_same(run.outcome(), uninterrupted)


@pytest.mark.parametrize("at", [7, 9])
def test_resume_after_a_crash_is_bit_exact(
    tmp_path: Path, at: int, uninterrupted: dict[str, Any]
) -> None:
    run = full(tmp_path)
    run.examples = Failing(at=at)
    with pytest.raises(MemoryError):
        run.start().run()
    last = run.store.last()
    assert last is not None
    assert last.name == f"step_{at // 2 // 2 * 2:08d}"
    run.examples = None
    assert run.start().run() is None
    assert_same(run.outcome(), uninterrupted)


def test_resume_with_worker_processes_is_bit_exact(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    run = full(tmp_path, workers=1)
    assert run.start(stop_at=3).run() is signal.SIGTERM
    assert run.start().run() is None
    assert_same(run.outcome(), uninterrupted)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    run = full(tmp_path)
    run.start().run()
    before = run.outcome()
    assert run.start().run() is None
    assert_same(run.outcome(), before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_is_returned(tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path, settings_of(checkpoint_every=100, evaluate_every=100))
    loop = run.start(stop_at=3, number=number)
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    assert loop.run() is number
    assert handlers == [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    last = run.store.last()
    assert last is not None
    assert last.name == "step_00000003"
    assert_same(weights_in(last), weights_of(loop))


def test_a_signal_at_the_last_step_is_returned_with_all_saved(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.start(stop_at=STEPS).run() is signal.SIGTERM
    assert STEPS in run.store.steps()


def test_a_saved_run_is_a_model_to_load(tmp_path: Path) -> None:
    run = Run(tmp_path)
    loop = run.start()
    loop.run()
    model = ctm.load(run.folder)
    assert_same(dict(model.state_dict()), weights_of(loop))


# -- what has diverged -----------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", ["loss", "gradient"])
def test_divergence_names_its_step_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, spoil: str
) -> None:
    good = Run(tmp_path / "good", settings_of(steps=9))
    good.start(stop_at=4).run()
    run = Run(tmp_path / "bad", settings_of(steps=9, log_every=3), loss=Watched(5, spoil))
    with pytest.raises(TrainingDiverged, match=r"\Astep 5: .*step_00000004.*optimizer\.lr.*\Z"):
        run.start().run()
    assert max(run.store.steps()) == 4
    last, expected = run.store.last(), good.store.last()
    assert last is not None
    assert expected is not None
    assert_same(weights_in(last), weights_in(expected))
    assert all(line["step"] <= 4 for line in run.lines())


@pytest.mark.parametrize("spoil", ["loss", "gradient"])
def test_divergence_before_any_checkpoint_leaves_none(tmp_path: Path, spoil: str) -> None:
    run = Run(tmp_path, loss=Watched(1, spoil))
    with pytest.raises(TrainingDiverged, match=r"\Astep 1: .*there is no checkpoint yet.*\Z"):
        run.start().run()
    assert run.store.last() is None


@pytest.mark.parametrize("spoil", ["loss", "gradient"])
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 1.0}, {"clip_quantile": 0.9}])
def test_a_signal_never_saves_poisoned_weights(
    tmp_path: Path, spoil: str, clip: dict[str, float]
) -> None:
    run = Run(tmp_path, settings_of(**clip), loss=Watched(3, spoil))
    with pytest.raises(TrainingDiverged, match="step 3"):
        run.start(stop_at=3).run()
    last = run.store.last()
    assert last is not None
    assert last.name == "step_00000002"
    assert all(value.isfinite().all() for value in weights_in(last).values())


def test_a_diverged_run_goes_on_from_its_last_good_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", loss=Watched(4))
    with pytest.raises(TrainingDiverged):
        run.start().run()
    run.loss = TwoTickLoss()
    assert run.start().run() is None
    whole = Run(tmp_path / "whole")
    whole.start().run()
    assert_same(run.outcome(), whole.outcome())
