"""Training a run from wherever it stands to its result."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from lightning.fabric import Fabric
from rich.console import Console

from ctm.allocator import keep_freed_memory
from ctm.app.compose import Experiment, instantiate
from ctm.app.console import plain_console
from ctm.app.describe import count, describe
from ctm.app.folder import claimed
from ctm.app.result import RESULT, read_result, show_result, write_result
from ctm.errors import ConfigError
from ctm.interface import Thoughts
from ctm.models.build import Model, build_model, set_computation
from ctm.models.pretrained import CHECKPOINTS, description, open_pretrained
from ctm.training.checkpoint import CheckpointStore, load_training
from ctm.training.clipping import Clipper
from ctm.training.evaluation import evaluate
from ctm.training.loop import Trainee, TrainingLoop
from ctm.training.progress import ProgressReport
from ctm.training.randomness import seed_everything
from ctm.training.settings import PRECISIONS
from ctm.training.stream import Stream
from ctm.training.tracking import JsonLines, Tracker

METRICS = "metrics.jsonl"


def train(experiment: Experiment) -> int:
    """What `scripts/train.py` does. Returns the exit status.

    The same command goes on with a run that was stopped, and only shows one that is finished.
    """
    console = plain_console()
    if experiment.describe:
        describe(experiment, console)
        return 0
    rehearse(experiment)
    keep_freed_memory()
    fabric = start_fabric(experiment)
    folder = experiment.run_dir
    with claimed(folder, experiment.plain):
        if (folder / RESULT).exists():
            console.print(f"{folder}: finished before")
            show_result(read_result(folder), folder, console)
            return 0
        stopped = run(experiment, fabric, console)
        if stopped is not None:
            return 128 + stopped  # as shells report a process that a signal ended
        write_result(experiment, fabric, console)
    return 0


def rehearse(experiment: Experiment) -> None:
    """One step on blanks: what doesn't fit is refused before the run folder is touched."""
    spec = experiment.task.spec
    if experiment.trainer.examples and len(experiment.task.blank_sizes(1, "meta")) > 1:
        raise ConfigError(
            f"trainer.examples={experiment.trainer.examples}: batches of this task have a length "
            "each, so a few of them lack some lengths; want null"
        )
    model = build_model(experiment.model, spec, device="meta")
    optimizer = instantiate(experiment.optimizer, "optimizer", params=model.parameters())
    steps = experiment.trainer.steps
    instantiate(experiment.schedule, "schedule", optimizer=optimizer, steps=steps)
    loss = instantiate(experiment.loss, "loss")
    thoughts = model(experiment.task.blank_inputs(2, "meta"))
    blank = torch.zeros(thoughts.logits.shape)  # for real: CTC can't do without numbers
    targets = torch.zeros(2, *experiment.task.target_shape, dtype=torch.long)
    loss(Thoughts.of(blank, answering=thoughts.answering), targets)


def start_fabric(experiment: Experiment) -> Fabric:
    """The device and precision that were asked for.

    Raises:
        ConfigError: this machine doesn't have them.
    """
    settings = experiment.trainer
    accelerator = settings.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator=cuda: no CUDA GPU here; want cpu or auto")
    if settings.precision == "16-mixed" and accelerator == "cpu":
        raise ConfigError("trainer.precision=16-mixed: needs a GPU; want 32 or bf16-mixed on a CPU")
    precision: Any = PRECISIONS[settings.precision]
    return Fabric(accelerator=accelerator, devices=1, precision=precision)


def run(experiment: Experiment, fabric: Fabric, console: Console) -> signal.Signals | None:
    """Trains to the last step, or until a signal: then all is saved and the signal returned."""
    settings, folder = experiment.trainer, experiment.run_dir
    store = CheckpointStore(folder / CHECKPOINTS, settings.keep_every)
    last = store.last()
    saved = load_training(last) if last else None
    step = saved["position"]["step"] if saved else 0
    seed_everything(experiment.seed)
    spec = experiment.task.spec
    model = (
        open_pretrained(last).model
        if last
        else build_model(experiment.model, spec, seed=experiment.seed)
    )
    set_computation(model, experiment.model)  # as asked for now, not then
    trainee = prepare(experiment, fabric, model)
    trackers = start_trackers(experiment, step, saved["trackers"] if saved else {})
    console.print(
        f"{folder}: {count(model):,} parameters, "
        + (f"going on from step {step}" if last else "from the start")
        + f", to step {settings.steps} on {fabric.device}"
    )
    with ProgressReport(settings.steps, step, console) as report, closed_after(trackers):
        loop = TrainingLoop(
            fabric,
            trainee,
            stream=Stream(
                experiment.task.training(),
                batch_size=settings.batch_size,
                seed=experiment.seed,
                rank=fabric.global_rank,
                ranks=fabric.world_size,
                only=settings.examples,
            ),
            evaluate=partial(
                evaluate,
                trainee.model,
                experiment.task,
                experiment.task.validation(),
                batch_size=settings.evaluation_batch_size,
                device=fabric.device,
            ),
            store=store,
            trackers=trackers,
            report=report,
            settings=settings,
            readout=experiment.model.readout,
        )
        if saved is not None:
            loop.restore(saved)
        stopped = loop.run()
    if stopped is not None:
        console.print(
            f"{stopped.name}: saved at step {loop.position.step}; the same command goes on"
        )
    return stopped


def prepare(experiment: Experiment, fabric: Fabric, model: Model) -> Trainee:
    """The model on its device, with all that changes it."""
    settings, task = experiment.trainer, experiment.task
    model.train()
    optimizer = instantiate(experiment.optimizer, "optimizer", params=model.parameters())
    schedule = instantiate(
        experiment.schedule, "schedule", optimizer=optimizer, steps=settings.steps
    )
    loss = instantiate(experiment.loss, "loss")
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    return Trainee(
        model=wrapped,
        optimizer=wrapped_optimizer,
        schedule=schedule,
        clipper=Clipper(
            norm=settings.clip_norm,
            quantile=settings.clip_quantile,
            window=settings.clip_window,
        ),
        loss=loss,
        config=description(experiment.model, task.spec, task, task.labels),
    )


def start_trackers(experiment: Experiment, step: int, state: dict[str, Any]) -> list[Tracker]:
    """`metrics.jsonl` always, and the one that was asked for."""
    trackers: list[Tracker] = [JsonLines(experiment.run_dir / METRICS, step)]
    if experiment.tracker.get("_target_"):
        asked = instantiate(
            experiment.tracker,
            "tracker",
            name=f"{experiment.name}/seed{experiment.seed}",
            folder=experiment.run_dir,
            config=experiment.plain,
            state=state,
        )
        trackers.append(asked)
    return trackers


@contextmanager
def closed_after(trackers: list[Tracker]) -> Iterator[None]:
    """Closes the trackers, and lets them know whether the run ended by an error."""
    try:
        yield
    except BaseException:
        for tracker in trackers:
            tracker.close(failed=True)
        raise
    for tracker in trackers:
        tracker.close()
