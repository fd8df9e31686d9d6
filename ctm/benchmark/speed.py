"""How fast every contender is, side by side, and what share of the machine it uses."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch.utils.flop_counter import FlopCounterMode

from ctm.benchmark.contenders import CONTENDERS, Contender, Runner
from ctm.benchmark.remote import Remote
from ctm.benchmark.rows import Row
from ctm.benchmark.timing import GIGA, Work, alternate, copy, free, matmul, median
from ctm.models.build import build_model

Say = Callable[[str], None]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class Speed:
    """Times in seconds, one a round; of the machine itself in the same rounds.

    Args:
        flops: floating-point operations of the products and convolutions of one call, as the eager
            engine does them, by `inference` and `training`.
        inference, training: by the contender's name.
        gflops: of a big matrix product, by precision.
        copy_gb: gigabytes a second, read and written, of a big copy.
    """

    row: str
    batch: int
    parameters: int
    flops: dict[str, int]
    inference: dict[str, list[float]] = field(default_factory=dict)
    training: dict[str, list[float]] = field(default_factory=dict)
    gflops: dict[str, list[float]] = field(default_factory=dict)
    copy_gb: list[float] = field(default_factory=list)

    def share_of_peak(self, contender: str, mode: str = "training") -> float | None:
        """Operations a second over those of the big matrix product in the same precision."""
        peak = self.gflops.get(CONTENDERS[contender].peak)
        times: list[float] | None = getattr(self, mode).get(contender)
        if not peak or not times:
            return None
        return self.flops[mode] / median(times) / (median(peak) * GIGA)


def measure_speed(
    row: Row, contenders: Sequence[Contender], repeats: int, device: str, say: Say
) -> Speed:
    """Halves the batch until all contenders fit into a GPU's memory side by side."""
    while True:
        try:
            return _measure_speed(row, contenders, repeats, device, say)
        except torch.OutOfMemoryError:
            if row.batch == 1:
                raise
        # out here, where the error no longer holds on to the tensors
        free(device)
        say(f"{row.name}: a batch of {row.batch} does not fit, taking {row.batch // 2}")
        row = row.resized(batch=row.batch // 2)


def _measure_speed(
    row: Row, contenders: Sequence[Contender], repeats: int, device: str, say: Say
) -> Speed:
    works: dict[tuple[str, str], Work] = {}
    operations = {}
    with ExitStack() as processes:
        for contender in contenders:
            remote = processes.enter_context(Remote(contender, row, device))
            works["inference", contender.name] = remote.infer
            works["training", contender.name] = remote.train
        for precision in dict.fromkeys(contender.peak for contender in contenders):
            product, operations[precision] = matmul(PRECISIONS[precision], device)
            works["product", precision] = product
        works["copy", ""], moved = copy(device)
        times = alternate(works, repeats, device)

    machine = build_model(row.config, row.spec, device="meta")
    parameters = sum(weight.numel() for weight in machine.parameters())
    speed = Speed(row.name, row.batch, parameters, count_flops(row))
    for contender in contenders:
        name = contender.name
        speed.inference[name] = times["inference", name]
        speed.training[name] = times["training", name]
        say(
            f"{row.name}, {contender.title}: inference {1e3 * median(speed.inference[name]):.4g} "
            f"ms, training {1e3 * median(speed.training[name]):.4g} ms"
        )
    for precision, count in operations.items():
        speed.gflops[precision] = [count / t / GIGA for t in times["product", precision]]
    speed.copy_gb = [moved / t / GIGA for t in times["copy", ""]]
    return speed


def count_flops(row: Row) -> dict[str, int]:
    """Of one inference call and one training step; on the meta device, so nothing is computed."""
    runner = Runner(CONTENDERS["eager"], row, "meta")
    with FlopCounterMode(display=False) as inference:
        runner.infer()
    runner.model.train()
    with FlopCounterMode(display=False) as training:
        runner.loss(runner.think(), runner.targets).backward()
    return {
        "inference": inference.get_total_flops(),
        "training": training.get_total_flops(),
    }
