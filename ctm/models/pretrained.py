"""Models from folders: `config.json` describes one, `model.safetensors` holds its weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ctm.config import from_plain, to_plain
from ctm.errors import CheckpointError, ConfigError
from ctm.interface import InputKind, TaskSpec
from ctm.models.build import Model, build_model, set_engine
from ctm.models.config import MODELS, Engine, ModelConfig
from ctm.models.machine import ContinuousThoughtMachine
from ctm.models.weights import load_strictly, read_weights

CONFIG, WEIGHTS = "config.json", "model.safetensors"
CHECKPOINTS, LAST = "checkpoints", "last"  # of a run folder
FORMAT = 1


@dataclass(frozen=True)
class Pretrained:
    """A model with its weights, and what they were trained on."""

    model: Model
    config: ModelConfig
    spec: TaskSpec
    task: Mapping[str, Any]  # settings of the task, as they were saved


def description(config: ModelConfig, spec: TaskSpec, task: Any) -> dict[str, Any]:
    """The content of `config.json`."""
    return {
        "format": FORMAT,
        "model": to_plain(config),
        "spec": to_plain(spec),
        "task": to_plain(task),
    }


def load(
    path: str | Path, *, device: torch.device | str = "cpu", engine: Engine | str = Engine.fast
) -> Model:
    """A trained model, ready to think: `ctm.load("runs/digits/quick/seed0")`.

    Args:
        path: a run folder (its last checkpoint is taken) or the folder of a checkpoint.
        device: where the model shall be.
        engine: how it is computed: the loader's choice, whatever it was trained with.

    Raises:
        CheckpointError: nothing there, a damaged file, or weights that don't fit, by name.
        ConfigError: no such engine.
    """
    return open_pretrained(path, device=device, engine=engine).model


def open_pretrained(
    path: str | Path, *, device: torch.device | str = "cpu", engine: Engine | str = Engine.fast
) -> Pretrained:
    """As `load`, with the settings of the model and of its task."""
    folder = weights_folder(Path(path))
    saved = read_config(folder / CONFIG)
    try:
        config = from_plain(MODELS, saved.get("model"), "model")
        spec = _spec(saved.get("spec"))
        # on the meta device first: no weight is drawn only to be overwritten
        model = build_model(config, spec, device="meta")
    except (ConfigError, RuntimeError) as error:  # torch refuses sizes past all memory so
        reason = str(error).split("\n", 1)[0]
        raise CheckpointError(f"{folder / CONFIG}: {reason}") from None
    load_strictly(model, read_weights(folder / WEIGHTS), assign=True)
    if isinstance(model, ContinuousThoughtMachine):
        set_engine(model, engine)
    return Pretrained(model.to(device).eval(), config, spec, saved.get("task") or {})


def weights_folder(path: Path) -> Path:
    """The folder with the weights: `path` itself, or the last checkpoint of a run folder."""
    for folder in (path, path / CHECKPOINTS / LAST):
        if (folder / CONFIG).is_file():
            return folder
    found = "an empty or foreign folder" if path.is_dir() else "no such folder"
    raise CheckpointError(
        f"{path}: {found}; want a run folder (runs/<experiment>/seed<k>) or one with "
        f"{CONFIG} and {WEIGHTS}"
    )


def read_config(file: Path) -> dict[str, Any]:
    try:
        saved = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not readable JSON ({error})") from None
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise CheckpointError(f"{file}: not a model description of format {FORMAT}")
    return saved


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
