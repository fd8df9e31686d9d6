"""The run folder: one experiment, one seed, one run; found again by the same command."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from ctm.errors import UserError, listed

CONFIG = "config.yaml"
LOCK = ".lock"
# settings that change where and how fast a run is computed or watched, not what it computes
FREE = ("describe", "run_dir", "tracker", "trainer.accelerator", "trainer.workers",
        "trainer.compile", "trainer.keep_every")  # fmt: skip


class RunFolder:
    """A folder that belongs to one configuration.

    Args:
        path: of the folder.
        config: the composed configuration; a folder of another one is refused.

    Raises:
        UserError: the folder can't be written, isn't a run's, or is of another configuration.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path = path
        saved = path / CONFIG
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK):
                raise PermissionError("no right to write there")
            if saved.exists():
                self._compare(_read(saved), config)
            elif any(file.name != LOCK for file in path.iterdir()):
                raise UserError(
                    f"run_dir={path}: has files but no {CONFIG}: not a run's; choose another"
                )
            else:
                partial = path / f"{CONFIG}.partial"
                OmegaConf.save(OmegaConf.create(dict(config)), partial)
                partial.replace(saved)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"run_dir={path}: not writable ({reason}); choose another") from None

    def _compare(self, saved: Any, config: Mapping[str, Any]) -> None:
        before, now = flat(saved), flat(config)
        differing = [
            f"{key} ({before.get(key, 'absent')} there, {now.get(key, 'absent')} here)"
            for key in sorted(before.keys() | now.keys())
            if before.get(key, ...) != now.get(key, ...) and not _is_free(key)
        ]
        if differing:
            raise UserError(
                f"run_dir={self.path}: holds a run with other settings: {listed(differing)}; "
                "choose another run_dir=... or name=..., or delete the folder"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out while a run writes here.

        Raises:
            UserError: another process is training in this folder.
        """
        with (self.path / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"run_dir={self.path}: another process trains there; wait for it or stop it"
                ) from None
            yield


def _read(file: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(file))
    except YAMLError as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(
            f"{file}: not the settings of a run ({reason}); choose another run_dir"
        ) from None


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
