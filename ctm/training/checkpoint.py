"""Checkpoints that a crash can't break: a new folder is complete, or it isn't there.

checkpoints/
  step_00001000/          complete once it has this name
    model.safetensors     weights and buffers
    config.json           what model they belong to
    training.pt           optimiser, schedule, random states, position: no code, only data
  last -> step_00001000   where a run goes on
  best -> step_00000800   the best on the validation examples
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctm.errors import CheckpointError
from ctm.models.pretrained import LAST
from ctm.models.weights import CONFIG, WEIGHTS, write_weights

TRAINING, BEST = "training.pt", "best"
PARTIAL = ".partial"


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: of the checkpoints; made when the first is saved.
        keep_every: checkpoints at multiples of this step stay; the last and the best always do.
    """

    def __init__(self, folder: Path, keep_every: int | None = None) -> None:
        self.folder, self.keep_every = folder, keep_every

    def save(
        self,
        step: int,
        weights: Mapping[str, Tensor],
        config: Mapping[str, Any],
        training: Mapping[str, Any],
        *,
        best: bool = False,
    ) -> Path:
        """Writes under a temporary name, syncs, renames; then drops what is not kept.

        Saving a step that is there already only moves the names `last` and `best` to it.
        """
        final = self.folder / f"step_{step:08d}"
        if not final.exists():
            partial = final.with_name(final.name + PARTIAL)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            write_weights(weights, partial / WEIGHTS)
            (partial / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
            torch.save(dict(training), partial / TRAINING)
            for file in partial.iterdir():
                sync(file)
            sync(partial)
            partial.rename(final)
            sync(self.folder)
        if best:  # first: after a crash in between, the run comes back to here and does it again
            self._point(BEST, final)
        self._point(LAST, final)
        self._prune()
        return final

    def last(self) -> Path | None:
        """The checkpoint to go on from, None where there is none.

        The newest complete one, should the name have been lost.
        """
        return self._named(LAST) or next(reversed(self.steps().values()), None)

    def best(self) -> Path | None:
        return self._named(BEST)

    def steps(self) -> dict[int, Path]:
        """All complete checkpoints by step."""
        found = [path for path in self.folder.glob("step_*") if path.name[5:].isdecimal()]
        return {int(path.name[5:]): path for path in sorted(found)}

    def _named(self, name: str) -> Path | None:
        link = self.folder / name
        return link.resolve() if link.exists() else None

    def _point(self, name: str, target: Path) -> None:
        """Moves a name to another checkpoint in one step: a link is never half written."""
        fresh = self.folder / f"{name}{PARTIAL}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.name)
        fresh.replace(self.folder / name)
        sync(self.folder)

    def _prune(self) -> None:
        for partial in self.folder.glob(f"*{PARTIAL}"):  # of a run that was killed
            partial.unlink() if partial.is_symlink() else shutil.rmtree(partial)
        kept = {self.last(), self.best()}
        for step, path in self.steps().items():
            forever = self.keep_every is not None and step % self.keep_every == 0
            if path.resolve() not in kept and not forever:
                # renamed first, so that a half deleted one is never taken for complete
                partial = path.with_name(path.name + PARTIAL)
                path.rename(partial)
                shutil.rmtree(partial)


def sync(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_training(folder: Path) -> dict[str, Any]:
    """What training needs beside the weights. Loads data only, never code.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    file = folder / TRAINING
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: missing; the run can't go on from this folder") from None
    except Exception as error:  # a damaged zip or pickle raises whatever its bytes spell
        reason = str(error).split("\n", 1)[0]
        raise CheckpointError(
            f"{file}: damaged ({reason:.80}); delete its folder to go on from the one "
            "before, if there is one"
        ) from None
