"""Trained models, wherever they come from: `ctm.load("runs/digits/quick/seed0")`.

- the folder of a run (its last checkpoint is taken) or of a checkpoint: `config.json` describes the
  model, `model.safetensors` holds its weights;
- such a folder as the authors of the CTM publish them, and a training checkpoint of theirs, a `.pt`
  file;
- the id of either kind of folder on the Hugging Face hub.

Nothing that a file holds is ever run.
"""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from ctm.config import from_plain, to_plain
from ctm.errors import CheckpointError, ConfigError, UserError, first_line
from ctm.interface import InputKind, TaskSpec
from ctm.models import hub
from ctm.models.build import Model, build_model, set_engine
from ctm.models.config import MODELS, Engine, ModelConfig
from ctm.models.machine import ContinuousThoughtMachine
from ctm.models.pickles import read_pickle
from ctm.models.published import translated
from ctm.models.published.origin import kind_of, looks_published, task_of
from ctm.models.weights import CONFIG, WEIGHTS, load_strictly, read_weights

CHECKPOINTS, LAST = "checkpoints", "last"  # of a run folder
FORMAT = 1


@dataclass(frozen=True)
class Pretrained:
    """A model with its weights, and what they were trained on."""

    file: Path  # that described it
    model: Model
    config: ModelConfig
    spec: TaskSpec
    task: Mapping[str, Any]  # settings of the task, as they were saved; empty: nobody said
    labels: tuple[str, ...] = ()  # names of the classes; empty: those that the task has


@dataclass(frozen=True)
class Found:
    """A checkpoint before it becomes a model.

    Args:
        file: that described it.
    """

    file: Path
    config: ModelConfig
    spec: TaskSpec
    task: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    labels: tuple[str, ...] = ()


def description(
    config: ModelConfig, spec: TaskSpec, task: Any, labels: Sequence[str] = ()
) -> dict[str, Any]:
    """The content of `config.json`.

    Args:
        labels: names of the classes, so that an answer can be told where the data are not.
    """
    about = {
        "format": FORMAT,
        "model": to_plain(config),
        "spec": to_plain(spec),
        "task": to_plain(task),
    }
    return about | {"labels": list(labels)} if labels else about


def load(
    source: str | Path,
    *,
    device: torch.device | str = "cpu",
    engine: Engine | str = Engine.fast,
    revision: str | None = None,
    token: str | None = None,
    offline: bool = False,
) -> Model:
    """A trained model, ready to think: `ctm.load("runs/digits/quick/seed0")`.

    Args:
        source: a folder, a published `.pt` file, or an id on the hub: `SakanaAI/ctm-imagenet`.
        device: where the model shall be.
        engine: how it is computed: the loader's choice, whatever it was trained with.
        revision, token, offline: of the hub; see `ctm.models.hub.fetched`.

    Raises:
        CheckpointError: nothing there, a damaged file, or weights that don't fit, by name.
        ConfigError: no such engine.
    """
    return open_pretrained(
        source, device=device, engine=engine, revision=revision, token=token, offline=offline
    ).model


def open_pretrained(
    source: str | Path,
    *,
    device: torch.device | str = "cpu",
    engine: Engine | str = Engine.fast,
    revision: str | None = None,
    token: str | None = None,
    offline: bool = False,
) -> Pretrained:
    """As `load`, with the settings of the model and of its task."""
    path = Path(source)
    if path.is_file():
        found = in_file(path)
    elif not path.exists() and hub.is_id(str(source)):
        place = hub.fetched(str(source), revision=revision, token=token, offline=offline)
        found = in_folder(place)
    else:
        found = in_folder(weights_folder(path))
    with named(found.file):
        # on the meta device first: no weight is drawn only to be overwritten
        model = build_model(found.config, found.spec, device="meta")
        load_strictly(model, found.weights, assign=True)
    if isinstance(model, ContinuousThoughtMachine):
        set_engine(model, engine)
    model = model.to(device).eval()
    return Pretrained(found.file, model, found.config, found.spec, found.task, found.labels)


# -- the three forms -------------------------------------------------------------------------------


def in_folder(folder: Path) -> Found:
    """Of a checkpoint: ours, or a published one."""
    file = folder / CONFIG
    saved = read_config(file)
    if "format" not in saved and looks_published(saved):
        weights = read_weights(folder / WEIGHTS)
        return published(file, saved, weights)
    if saved.get("format") != FORMAT:
        raise CheckpointError(f"{file}: not a model description of format {FORMAT}")
    with named(file):
        config = from_plain(MODELS, saved.get("model"), "model")
        spec = _spec(saved.get("spec"))
        labels = _labels(saved.get("labels"), spec)
    weights = read_weights(folder / WEIGHTS)
    return Found(file, config, spec, saved.get("task") or {}, weights, labels)


def in_file(file: Path) -> Found:
    """A published training checkpoint."""
    saved = read_pickle(file)
    args = saved.get("args") if isinstance(saved, Mapping) else None
    state = saved.get("model_state_dict") if isinstance(saved, Mapping) else None
    if not isinstance(args, Namespace) or not is_state(state):
        raise CheckpointError(
            f"{file}: no published training checkpoint: want a dict with the "
            "model's arguments as args and its weights as model_state_dict"
        )
    return published(file, vars(args), state)


def is_state(state: Any) -> TypeGuard[Mapping[str, Tensor]]:
    return isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )


def published(file: Path, args: Mapping[str, Any], state: Mapping[str, Tensor]) -> Found:
    with named(file):
        config, spec, weights = translated(args, state, kind_of(args))
        # once more from plain values: these types were nobody's to check
        config = from_plain(MODELS, to_plain(config), "model")
        return Found(file, config, spec, task_of(args, spec), weights)


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Whatever is wrong in there is wrong with this file."""
    try:
        yield
    except UserError as error:
        raise CheckpointError(f"{file}: {error}") from None
    except Exception as error:  # values of any kind fail in as many ways as there are
        raise CheckpointError(f"{file}: {first_line(error)}") from None


def weights_folder(path: Path) -> Path:
    """The folder with the weights: `path` itself, or the last checkpoint of a run folder."""
    for folder in (path, path / CHECKPOINTS / LAST):
        if (folder / CONFIG).is_file():
            return folder
    found = "an empty or foreign folder" if path.is_dir() else "no such folder"
    raise CheckpointError(
        f"{path}: {found}; want a run folder (runs/<experiment>/seed<k>), one with {CONFIG} and "
        f"{WEIGHTS}, a published .pt file, or the id of a checkpoint on the hub"
    )


def read_config(file: Path) -> dict[str, Any]:
    try:
        saved = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not readable JSON ({first_line(error)})") from None
    if not isinstance(saved, dict):
        raise CheckpointError(f"{file}: not a model description of format {FORMAT}")
    return saved


def _labels(saved: Any, spec: TaskSpec) -> tuple[str, ...]:
    """
    Raises:
        ConfigError: they are no names, or not one for each class.
    """
    match saved:
        case None:
            return ()
        case [*names] if len(names) == spec.classes and all(isinstance(n, str) for n in names):
            return tuple(names)
    raise ConfigError(f"labels={saved!r:.80}: want {spec.classes} names")


def _spec(saved: Any) -> TaskSpec:
    try:
        return TaskSpec(
            InputKind(saved["input_kind"]),
            tuple(map(int, saved["input_shape"])),
            tuple(map(int, saved["output_shape"])),
            int(saved.get("image_ticks", 1)),
            int(saved.get("code_ticks", 1)),
            int(saved.get("symbols", 0)),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"spec={saved!r:.80}: not a task's sizes ({error})") from None
