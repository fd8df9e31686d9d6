"""The training loop: one for every model and task, on CPU and GPU, resumable to the bit."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from lightning.fabric import Fabric
from lightning.fabric.wrappers import _FabricModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ctm.errors import UserError
from ctm.interface import Batch, Readout
from ctm.metrics.evaluation import by
from ctm.training.checkpoint import CheckpointStore
from ctm.training.clipping import Clipper
from ctm.training.evaluation import peak_memory
from ctm.training.interrupts import Interrupts
from ctm.training.progress import ProgressReport
from ctm.training.randomness import random_states, restore_random_states
from ctm.training.settings import TrainerConfig
from ctm.training.stream import Stream
from ctm.training.tracking import Tracker


class TrainingDiverged(UserError):
    """The loss or its gradient is no longer a number."""


@dataclass
class Position:
    """Where a run stands. Data position: batches drawn = step * accumulate."""

    step: int = 0
    seconds: float = 0.0  # spent training, evaluation left out
    best: float = -1.0  # accuracy on the validation examples


@dataclass
class Trainee:
    """What is being trained, as the optimiser sees it.

    Args:
        model: set up by Fabric.
        loss: thoughts and targets to a scalar.
        config: what is written as `config.json` beside the weights.
    """

    model: _FabricModule
    optimizer: Optimizer
    schedule: LRScheduler
    clipper: Clipper
    loss: nn.Module
    config: dict[str, Any]


class TrainingLoop:
    """Steps, and what is done every so many of them.

    Args:
        stream: batch number k of the training data.
        evaluate: metrics of the validation examples.
        store: of checkpoints.
        trackers: where metrics go.
        report: what a person sees.
        settings: how long and how often.
        readout: whose validation accuracy decides which checkpoint is the best.
    """

    def __init__(
        self,
        fabric: Fabric,
        trainee: Trainee,
        *,
        stream: Stream,
        evaluate: Callable[[], dict[str, Any]],
        store: CheckpointStore,
        trackers: Sequence[Tracker],
        report: ProgressReport,
        settings: TrainerConfig,
        readout: Readout = Readout.certain,
    ) -> None:
        self.fabric, self.trainee, self.stream = fabric, trainee, stream
        self.evaluate, self.store, self.trackers = evaluate, store, trackers
        self.report, self.settings, self.readout = report, settings, readout
        self.position = Position()
        self.tracked: dict[str, Any] = {}
        # since the last log, on the device: nothing is read back inside a step
        self.losses = torch.zeros((), device=fabric.device)
        self.diverged_at = torch.full((), torch.inf, device=fabric.device)
        self.counted = 0
        self.lr = 0.0
        self.overflows = torch.zeros((), device=fabric.device)
        self.overflows_allowed = 100 if settings.precision == "16-mixed" else 0

    # -- running -------------------------------------------------------------------------------

    def run(self) -> signal.Signals | None:
        """Trains from where it stands to the end, or until a signal asks to stop.

        Returns:
            The signal, once a checkpoint of that moment is saved; None if there was none.

        Raises:
            TrainingDiverged: the loss is not finite; the last checkpoint is from before.
        """
        settings, position = self.settings, self.position
        batches = self.stream.batches(
            position.step * settings.accumulate,
            settings.steps * settings.accumulate,
            workers=settings.workers,
            pin=self.fabric.device.type == "cuda",
        )
        self.trainee.model.train()
        self._start_clock()
        try:
            with Interrupts() as interrupts:
                while position.step < settings.steps and interrupts.received is None:
                    parts = [next(batches) for _ in range(settings.accumulate)]
                    norm = self.step(parts)
                    position.step += 1
                    self.report.step(position.step)
                    self._afterwards(norm)
                if interrupts.received is not None:
                    self._stop_clock()
                    self.save()
                return interrupts.received
        finally:
            # ends the workers, which an error's traceback would keep alive, and this process too
            del batches

    def step(self, parts: Sequence[Batch]) -> Float[Tensor, ""]:
        """One optimiser step over the parts of its batch. Returns the gradient's norm."""
        trainee, fabric = self.trainee, self.fabric
        total = torch.zeros((), device=fabric.device)
        for number, part in enumerate(parts, 1):
            batch = part.to(fabric.device)
            with fabric.no_backward_sync(trainee.model, enabled=number < len(parts)):
                loss = trainee.loss(trainee.model(batch.inputs), batch.targets) / len(parts)
                fabric.backward(loss)
            total += loss.detach()
        norm = trainee.clipper(fabric, trainee.model, trainee.optimizer)
        self.lr = trainee.schedule.get_last_lr()[0]
        trainee.optimizer.step()
        trainee.optimizer.zero_grad()
        trainee.schedule.step()
        self._note(total, norm)
        return norm

    def _note(self, loss: Float[Tensor, ""], norm: Float[Tensor, ""]) -> None:
        """Keeps what will be logged, and the first step whose loss or gradient is not finite."""
        self.losses += loss
        self.counted += 1
        # a scaler skips steps whose gradient overflows; so many in a row are no accident
        self.overflows = torch.where(norm.isfinite(), 0, self.overflows + 1)
        fine = loss.isfinite() & (self.overflows <= self.overflows_allowed)
        here = torch.where(fine, torch.inf, float(self.position.step + 1))
        self.diverged_at = torch.minimum(self.diverged_at, here)

    def _afterwards(self, norm: Float[Tensor, ""]) -> None:
        """What is due after this step, in an order that a checkpoint can rely on."""
        settings, step = self.settings, self.position.step
        at_end = step == settings.steps
        due = {
            name: at_end or step % every == 0
            for name, every in (
                ("log", settings.log_every),
                ("evaluate", settings.evaluate_every),
                ("save", settings.checkpoint_every),
            )
        }
        if any(due.values()):
            self._check_finite()
            self._stop_clock()
            if due["log"]:
                self._log(norm)
            best = self._evaluate() if due["evaluate"] else False
            if due["save"] or best:
                self.save(best=best)
            self._start_clock()

    def _check_finite(self) -> None:
        if self.diverged_at.isfinite():
            last = self.store.last()
            kept = f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"
            raise TrainingDiverged(
                f"step {int(self.diverged_at)}: the loss or its gradient is not finite; {kept}. "
                "Try a smaller optimizer.lr, a longer schedule.warmup, trainer.clip_norm=1 or "
                "trainer.precision=32, in a new run_dir"
            )

    def _start_clock(self) -> None:
        self._began = time.perf_counter()
        self._began_at = self.position.step

    def _stop_clock(self) -> None:
        self._lap = time.perf_counter() - self._began
        self.position.seconds += self._lap

    # -- what is due now and then --------------------------------------------------------------

    def _log(self, norm: Float[Tensor, ""]) -> None:
        settings, step = self.settings, self.position.step
        loss = (self.losses / self.counted).item()
        self.losses.zero_()
        self.counted = 0
        seen = (step - self._began_at) * settings.batch_size * settings.accumulate
        rate = seen * self.fabric.world_size / max(self._lap, 1e-9)
        self._track(
            "training",
            {
                "loss": loss,
                "gradient_norm": norm.item(),
                "lr": self.lr,
                "examples_per_second": rate,
                "seconds": self.position.seconds,
                "peak_memory_bytes": peak_memory(self.fabric.device),
            },
        )
        self.report.report(step, f"loss {loss:.4f}")

    def _evaluate(self) -> bool:
        """Measures on the validation examples. True: better than ever."""
        metrics = self.evaluate()
        self._track("validation", metrics)
        accuracy = by(self.readout, metrics["accuracy"])
        said = [f"accuracy {accuracy:.2%}"] + [
            f"{name.replace('_', ' ')} {by(self.readout, metrics[name]):.4f}"
            for name in ("loss", "calibration_error")
            if name in metrics
        ]
        self.report.say(f"step {self.position.step}: validation {', '.join(said)}")
        better = accuracy > self.position.best
        self.position.best = max(accuracy, self.position.best)
        return better

    def _track(self, split: str, metrics: dict[str, Any]) -> None:
        for tracker in self.trackers:
            tracker.log(self.position.step, split, metrics)

    # -- saving and going on -------------------------------------------------------------------

    def save(self, *, best: bool = False) -> None:
        """Writes a checkpoint of this very moment."""
        trainee = self.trainee
        self._check_finite()
        training = {
            "position": asdict(self.position),
            "optimizer": trainee.optimizer.state_dict(),
            "schedule": trainee.schedule.state_dict(),
            "clipper": trainee.clipper.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "random": random_states(self.fabric.device),
            "trackers": self.tracker_states(),
            "since_log": {"losses": self.losses.cpu(), "counted": self.counted},
        }
        self.store.save(
            self.position.step, trainee.model.state_dict(), trainee.config, training, best=best
        )

    def tracker_states(self) -> dict[str, Any]:
        """Of all trackers, those of an earlier start that is not tracked so now included."""
        states = dict(self.tracked)
        for tracker in self.trackers:
            states |= tracker.state_dict()
        return states

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what `save` put beside the weights; the model holds those already."""
        trainee = self.trainee
        trainee.optimizer.load_state_dict(saved["optimizer"])
        trainee.schedule.load_state_dict(saved["schedule"])
        trainee.clipper.load_state_dict(saved["clipper"])
        self.fabric.strategy.precision.load_state_dict(saved["precision"])
        self.position = Position(**saved["position"])
        self.losses.copy_(saved["since_log"]["losses"])
        self.counted = saved["since_log"]["counted"]
        self.tracked = dict(saved["trackers"])
        restore_random_states(saved["random"], self.fabric.device)
