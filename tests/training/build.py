"""A tiny run: a machine of few neurons on short parity, put together as `ctm.app.train` does."""

import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from rich.console import Console
from torch import Tensor, nn
from torch.optim import AdamW

from ctm.losses import TwoTickLoss
from ctm.models.build import build_model
from ctm.models.config import CTMConfig
from ctm.models.pretrained import description, open_pretrained
from ctm.tasks.parity import Parity
from ctm.tasks.task import Examples
from ctm.training.checkpoint import CheckpointStore, load_training
from ctm.training.clipping import Clipper
from ctm.training.evaluation import evaluate
from ctm.training.loop import Trainee, TrainingLoop
from ctm.training.progress import ProgressReport
from ctm.training.randomness import seed_everything
from ctm.training.schedule import WarmupCosine
from ctm.training.settings import PRECISIONS, TrainerConfig
from ctm.training.stream import Stream
from ctm.training.tracking import JsonLines
from tests.build import small

TASK = Parity(length=10, validation_size=24, test_size=24)


def fabric_of(precision: str = "32") -> Fabric:
    plugin: Any = PRECISIONS[precision]
    return Fabric(accelerator="cpu", devices=1, precision=plugin)


def settings_of(**settings: Any) -> TrainerConfig:
    """Of a run of few steps in which something is due every two."""
    few: dict[str, Any] = {
        "steps": 6,
        "batch_size": 8,
        "log_every": 2,
        "evaluate_every": 2,
        "checkpoint_every": 2,
        "evaluation_batch_size": 16,
    }
    return TrainerConfig(**few | settings)


class Stopping(ProgressReport):
    """Sends this process a signal right after a step."""

    def __init__(self, total: int, start: int, at: int | None, number: signal.Signals) -> None:
        super().__init__(total, start, Console(file=StringIO()))
        self.at, self.number = at, number

    def step(self, step: int) -> None:
        super().step(step)
        if step == self.at:
            signal.raise_signal(self.number)


@dataclass
class Run:
    """One run and its folder. Each `start()` goes on from the last checkpoint, if there is one."""

    folder: Path
    settings: TrainerConfig = field(default_factory=settings_of)
    model: CTMConfig = field(default_factory=lambda: small(dropout=0.2))
    loss: nn.Module = field(default_factory=TwoTickLoss)
    task: Parity = field(default_factory=lambda: TASK)
    examples: Examples | None = None  # other training examples than the task's
    lr: float = 1e-2

    @property
    def store(self) -> CheckpointStore:
        return CheckpointStore(self.folder / "checkpoints", self.settings.keep_every)

    def start(
        self, *, stop_at: int | None = None, number: signal.Signals = signal.SIGTERM
    ) -> TrainingLoop:
        settings, fabric, spec = self.settings, fabric_of(self.settings.precision), self.task.spec
        self.folder.mkdir(parents=True, exist_ok=True)
        seed_everything(0)
        last = self.store.last()
        saved = load_training(last) if last else None
        step = saved["position"]["step"] if saved else 0
        model = open_pretrained(last).model if last else build_model(self.model, spec, seed=0)
        optimizer = AdamW(model.parameters(), lr=self.lr)
        schedule = WarmupCosine(optimizer, steps=settings.steps, warmup=min(3, settings.steps))
        wrapped, wrapped_optimizer = fabric.setup(model.train(), optimizer)
        validation = self.task.validation()
        clipper = Clipper(
            norm=settings.clip_norm, quantile=settings.clip_quantile, window=settings.clip_window
        )
        loop = TrainingLoop(
            fabric,
            Trainee(
                model=wrapped,
                optimizer=wrapped_optimizer,
                schedule=schedule,
                clipper=clipper,
                loss=self.loss,
                config=description(self.model, spec, self.task),
            ),
            stream=Stream(
                self.examples or self.task.training(), batch_size=settings.batch_size, seed=0
            ),
            evaluate=lambda: evaluate(
                wrapped,
                self.task,
                validation,
                batch_size=settings.evaluation_batch_size,
                device=fabric.device,
            ),
            store=self.store,
            trackers=[JsonLines(self.folder / "metrics.jsonl", step)],
            report=Stopping(settings.steps, step, stop_at, number),
            settings=settings,
        )
        if saved is not None:
            loop.restore(saved)
        return loop

    def lines(self) -> list[dict[str, Any]]:
        """What `metrics.jsonl` says, without what differs from run to run."""
        text = (self.folder / "metrics.jsonl").read_text()
        return [without_clocks(json.loads(line)) for line in text.splitlines()]

    def outcome(self) -> dict[str, Any]:
        """All that is left of a run, without clocks."""
        last, best = self.store.last(), self.store.best()
        assert last is not None
        assert best is not None
        training = load_training(last)
        del training["position"]["seconds"]
        return {
            "weights": weights_in(last),
            "training": training,
            "lines": self.lines(),
            "best": (best.name, weights_in(best)),
            "kept": sorted(self.store.steps()),
        }


CLOCKS = ("seconds", "examples_per_second", "peak_memory_bytes")


def without_clocks(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in CLOCKS}


def weights_in(checkpoint: Path) -> dict[str, Tensor]:
    return dict(open_pretrained(checkpoint).model.state_dict())


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in nested dicts and lists, by where it is."""
    match value:
        case Mapping():
            for key, item in value.items():
                yield from leaves(item, f"{path}/{key}")
        case list() | tuple():
            for place, item in enumerate(value):
                yield from leaves(item, f"{path}/{place}")
        case _:
            yield path, value


def assert_same(ours: Any, expected: Any) -> None:
    """Equal to the bit, wherever tensors lie in it; nan equals nan."""
    found, wanted = dict(leaves(ours)), dict(leaves(expected))
    assert list(found) == list(wanted)
    for path, value in wanted.items():
        if isinstance(value, Tensor):
            assert found[path].dtype == value.dtype, path
            torch.testing.assert_close(
                found[path], value, rtol=0, atol=0, equal_nan=True, msg=f"{path} differs"
            )
        else:
            assert found[path] == value, path
