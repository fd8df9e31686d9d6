"""Where metrics go: always `metrics.jsonl`, and Weights & Biases when asked."""

import json
import math
import os
import secrets
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ctm.errors import UserError


@runtime_checkable
class Tracker(Protocol):
    """Takes metrics by step. Its state goes into checkpoints, for a resumed run to continue."""

    def log(self, step: int, split: str, metrics: dict[str, Any]) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def close(self, *, failed: bool = False) -> None: ...


def flat(metrics: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested metrics under names with slashes; lists (per tick) by their index from 1."""
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        path = f"{prefix}/{name}" if prefix else str(name)
        if isinstance(value, dict):
            numbers |= flat(value, path)
        elif isinstance(value, list):
            numbers |= flat({f"{tick:02d}": item for tick, item in enumerate(value, 1)}, path)
        else:
            numbers[path] = value
    return numbers


def overview(metrics: dict[str, Any]) -> dict[str, Any]:
    """What is one number, one a readout or one a tick.

    Classes, positions and lengths would be hundreds of columns; `metrics.jsonl` has them.
    """
    kept: dict[str, Any] = {}
    for name, value in metrics.items():
        parts = value.values() if isinstance(value, dict) else [value]
        if name == "per_tick" or all(isinstance(part, int | float) for part in parts):
            kept[name] = value
    return kept


class JsonLines:
    """One JSON object a line: `{"step": 100, "split": "training", "loss": 0.6, ...}`.

    Args:
        file: appended to.
        step: lines of later steps are dropped first: what a killed run wrote after its checkpoint
            will be written again.
    """

    def __init__(self, file: Path, step: int) -> None:
        self.file = file
        if file.exists():
            kept = [line for line in read_lines(file) if line["step"] <= step]
            partial = file.with_suffix(".partial")
            partial.write_text("".join(f"{json.dumps(line)}\n" for line in kept))
            os.replace(partial, file)

    def log(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        with self.file.open("a") as lines:
            line = {"step": step, "split": split, **_finite(metrics)}
            lines.write(json.dumps(line, allow_nan=False) + "\n")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def close(self, *, failed: bool = False) -> None:
        pass


def _finite(metrics: Any) -> Any:
    """JSON has no infinity: null stands for what is no number."""
    match metrics:
        case dict():
            return {name: _finite(value) for name, value in metrics.items()}
        case list():
            return [_finite(value) for value in metrics]
        case float():
            return metrics if math.isfinite(metrics) else None
    return metrics


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Of a `metrics.jsonl`, if it is there; a line cut off by a crash is left out."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [line for text in lines if (line := _whole(text)) is not None]


def _whole(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


class WeightsAndBiases:
    """A W&B run, one and the same over all resumes, with an `overview` of the metrics.

    Args:
        mode: online, or offline (written beside the run, for `wandb sync`).
        project, entity, group: where it is listed.
        name: of the run.
        folder: of the run.
        config: shown as columns.
        state: what a checkpoint kept of it.
    """

    def __init__(
        self,
        *,
        mode: str,
        project: str,
        entity: str | None,
        group: str | None,
        name: str,
        folder: Path,
        config: dict[str, Any],
        state: dict[str, Any],
    ) -> None:
        if mode not in ("online", "offline"):
            raise UserError(f"tracker.mode={mode}: want online or offline")
        # takes a second to import, and only who asks for it should wait
        import wandb
        from wandb.errors import Error

        self.id = state.get("wandb_id") or secrets.token_hex(4)
        try:
            self.run = wandb.init(
                mode=mode,
                project=project,
                entity=entity,
                group=group,
                name=name,
                dir=folder,
                config=config,
                id=self.id,
                resume="allow",
            )
        except Error as error:
            raise UserError(
                f"W&B can't start ({error}); log in with `wandb login`, or set tracker.mode=offline"
            ) from None

    def log(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        numbers = flat(overview(metrics))
        self.run.log({f"{split}/{name}": value for name, value in numbers.items()}, step)

    def state_dict(self) -> dict[str, Any]:
        return {"wandb_id": self.id}

    def close(self, *, failed: bool = False) -> None:
        self.run.finish(exit_code=1 if failed else 0)
