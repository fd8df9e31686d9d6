"""What is measured where each example, or each of its positions, has one right class."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

from ctm.interface import Batch, Readout, TaskSpec, Thoughts
from ctm.losses import cross_entropy
from ctm.metrics.evaluation import add_up

CALIBRATION_BINS = 15


class Classification:
    """One class for each example, or for each of its positions.

    - accuracy: share of right answers; an example with several positions has several.
    - accuracy_whole: share of examples with every position right (several positions only).
    - loss: cross-entropy in nats, averaged over positions and examples.
    - calibration_error: expected |confidence - accuracy| over 15 bins of confidence (Guo 2017).
    - certainty: of a tick, averaged over examples.
    - mean_tick: the most certain tick, counted from 1, averaged over examples.
    """

    def __init__(self, spec: TaskSpec, device: torch.device | str = "cpu") -> None:
        self.spec = spec
        self.examples = 0
        self.tick_sums: dict[str, Tensor] = {}
        self.readout_sums: dict[Readout, dict[str, Tensor]] = {name: {} for name in Readout}
        self.calibration = {
            # one process adds up: it must not wait for others to compare notes
            name: MulticlassCalibrationError(
                spec.classes, n_bins=CALIBRATION_BINS, sync_on_compute=False
            ).to(device)
            for name in Readout
        }
        self.chosen = torch.zeros((), device=device)

    def add(self, thoughts: Thoughts, batch: Batch) -> None:
        targets = batch.targets
        self.examples += len(targets)
        self.chosen += (thoughts.chosen(Readout.certain) + 1.0).sum()
        add_up(self.tick_sums, self._score(thoughts.logits, targets))
        add_up(self.tick_sums, {"certainty": thoughts.certainty.sum(0)})
        for name in Readout:
            logits = thoughts.at(name).float()
            add_up(self.readout_sums[name], self._score(logits.unsqueeze(1), targets))
            flat = logits.flatten(0, -2) if logits.dim() > 2 else logits
            self.calibration[name].update(flat.softmax(-1), targets.flatten())

    def _score(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Sums over the batch of (batch, ticks, *output), for each tick."""
        logits = logits.reshape(*logits.shape[:2], self.spec.positions, self.spec.classes)
        targets = targets.reshape(len(targets), self.spec.positions)
        right = (logits.argmax(-1) == targets.unsqueeze(1)).float()
        losses = cross_entropy(logits, targets)
        sums = {"accuracy": right.mean(2).sum(0), "loss": losses.mean(2).sum(0)}
        if self.spec.positions > 1:
            sums["accuracy_whole"] = right.amin(2).sum(0)
        return sums

    def result(self) -> dict[str, Any]:
        """All metrics: `{"accuracy": {readout: value}, ..., "per_tick": {"accuracy": [...]}}`."""
        per_tick = {name: (sums / self.examples).tolist() for name, sums in self.tick_sums.items()}
        result: dict[str, Any] = {"examples": self.examples}
        for name in self.readout_sums[Readout.certain]:
            result[name] = {
                readout.value: (sums[name] / self.examples).item()
                for readout, sums in self.readout_sums.items()
            }
        result["calibration_error"] = {
            readout.value: metric.compute().item() for readout, metric in self.calibration.items()
        }
        result["mean_tick"] = (self.chosen / self.examples).item()
        result["per_tick"] = per_tick
        return result
