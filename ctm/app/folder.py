"""The run folder: one experiment, one seed, one run; found again by the same command."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from ctm.config import from_plain, to_dataclass, to_plain
from ctm.errors import ConfigError, UserError, listed
from ctm.models.config import MODELS
from ctm.tasks import TASKS
from ctm.training.settings import TrainerConfig

SETTINGS, LOCK = "config.yaml", ".lock"
PARTIAL = ".partial"  # end of a name while its file is written
# settings that change where and how fast a run is computed or watched, not what it computes (a
# data set may have moved; that it is the same is for its task to check)
FREE = ("describe", "run_dir", "tracker", "trainer.accelerator", "trainer.workers",
        "trainer.keep_every", "task.folder", "task.download", "task.make", "model.engine",
        "model.checkpoint_neurons", "model.checkpoint_ticks")  # fmt: skip


@contextmanager
def claimed(path: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Holds a run folder: no other process trains there, and it belongs to these settings.

    Args:
        path: of the folder; made if it isn't there.
        settings: the composed configuration, saved in a new folder and compared with an old one's.

    Raises:
        UserError: the folder can't be written, is held, isn't a run's, or is of other settings.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError("no right to write there")
        if not (path / SETTINGS).exists() and any(map(_is_foreign, path.iterdir())):
            raise UserError(
                f"run_dir={path}: has files but no {SETTINGS}: not a run's; choose another"
            )
        lock = (path / LOCK).open("w")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"run_dir={path}: not writable ({reason}); choose another") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"run_dir={path}: another process trains there; wait for it or stop it"
            ) from None
        _own(path, settings)
        yield


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that a run folder was made with.

    Raises:
        UserError: there are none, or they can't be read.
    """
    file = path / SETTINGS
    try:
        settings = OmegaConf.to_container(OmegaConf.load(file))
    except OSError:
        raise UserError(f"{path}: has no {SETTINGS}; want the folder of a run") from None
    except (YAMLError, ValueError) as error:  # ValueError: not even text
        reason = str(error).split("\n", 1)[0]
        raise UserError(
            f"{file}: not the settings of a run ({reason}); choose another run_dir"
        ) from None
    if not isinstance(settings, dict):
        raise UserError(f"{file}: not the settings of a run; choose another run_dir")
    return {str(name): value for name, value in settings.items()}


def _is_foreign(file: Path) -> bool:
    """Whether a file is none of those that a run may have left before its settings."""
    return file.name != LOCK and file.suffix != PARTIAL


def _own(path: Path, settings: Mapping[str, Any]) -> None:
    """Compares the settings with those of an old folder, and saves them: free ones may be new."""
    if (path / SETTINGS).exists():
        differing = differences(read_settings(path), settings)
        if differing:
            raise UserError(
                f"run_dir={path}: holds a run with other settings: {listed(differing)}; "
                "choose another run_dir=... or name=..., or delete the folder"
            )
    save_settings(path, settings)


def save_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Writes what `read_settings` reads: the whole of it, or nothing."""
    partial = path / f"{SETTINGS}{PARTIAL}"
    OmegaConf.save(OmegaConf.create(dict(settings)), partial)
    partial.replace(path / SETTINGS)


def differences(saved: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Which settings of a run are others, as `model.ticks (3 there, 4 here)`; free ones aside."""
    before, now = flat(with_defaults(saved)), flat(settings)
    return [
        f"{key} ({before.get(key, 'absent')} there, {now.get(key, 'absent')} here)"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, ...) != now.get(key, ...) and not _is_free(key)
    ]


def with_defaults(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Saved settings with those that there were none of yet, as they did without."""
    full = dict(saved)
    with suppress(ConfigError):  # what is no experiment's is compared as it is
        full["model"] = to_plain(from_plain(MODELS, saved.get("model"), "model"))
        full["task"] = to_plain(from_plain(TASKS, saved.get("task"), "task"))
        trainer = to_dataclass(TrainerConfig, saved.get("trainer") or {}, "trainer")
        full["trainer"] = to_plain(trainer)
    return full


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    if not isinstance(config, Mapping):
        return {prefix: config}
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found
