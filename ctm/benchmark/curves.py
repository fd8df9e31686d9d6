"""How cost grows with each size of a machine, the others fixed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ctm.benchmark.contenders import CONTENDERS, Runner
from ctm.benchmark.rows import Row
from ctm.benchmark.speed import Say
from ctm.benchmark.textbook import TextbookCTM
from ctm.benchmark.timing import Work, alternate, median
from ctm.layers.fast.neurons import RepeatedNeurons
from ctm.models.build import build_model
from ctm.models.machine import ContinuousThoughtMachine

COMPARED = ("textbook", "fast")
HALVINGS, DOUBLINGS = 1, 3  # of each size, around the row's own

SIZES: dict[str, Callable[[Row], int]] = {
    "ticks": lambda row: row.config.ticks,
    "neurons": lambda row: row.config.neurons,
    "memory_length": lambda row: row.config.memory_length,
    "batch": lambda row: row.batch,
    "tokens": lambda row: row.spec.input_shape[0],
}
ALONE = "neuron-level models alone"  # against neurons


@dataclass
class Curve:
    """Times in seconds against a size: for every value of it, one a round.

    Args:
        size: what is changed.
        inference, training: by the contender's name.
    """

    size: str
    values: list[int]
    inference: dict[str, list[list[float]]] = field(default_factory=dict)
    training: dict[str, list[list[float]]] = field(default_factory=dict)

    def medians(self, mode: str, contender: str) -> list[float]:
        times: dict[str, list[list[float]]] = getattr(self, mode)
        return [median(rounds) for rounds in times[contender]]

    def slope(self, mode: str, contender: str) -> float:
        return exponent(self.values, self.medians(mode, contender))

    def last_slope(self, mode: str, contender: str) -> float:
        """Over the last doubling, where what does not grow weighs least."""
        return exponent(self.values[-2:], self.medians(mode, contender)[-2:])

    def note(self, times: Mapping[tuple[str, str], list[float]]) -> None:
        """Appends the rounds of one more value, by mode and contender."""
        for (mode, contender), rounds in times.items():
            getattr(self, mode).setdefault(contender, []).append(rounds)


def exponent(values: Sequence[float], times: Sequence[float]) -> float:
    """The k of time = c * value^k: the slope of the line of least squares through the logarithms.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"an exponent wants two values or more, not {len(values)}")
    return float(np.polyfit(np.log(values), np.log(times), 1)[0])


def values_around(value: int) -> list[int]:
    """Halved and doubled: 20 gives 10, 20, 40, 80, 160."""
    return sorted({max(1, round(value * 2.0**power)) for power in range(-HALVINGS, DOUBLINGS + 1)})


def measure_curves(base: Row, repeats: int, device: str, say: Say) -> list[Curve]:
    """Of whole machines against each size, and of neuron-level models alone against neurons."""
    curves = []
    for size in SIZES:
        curve = Curve(size, values_around(SIZES[size](base)))
        for value in curve.values:
            works = machines(base.resized(**{size: value}), device)
            curve.note(alternate(works, repeats, device))
            say(progress(curve))
        curves.append(curve)
    alone = Curve(ALONE, values_around(base.config.neurons))
    for value in alone.values:
        row = base.resized(neurons=value)
        alone.note(alternate(neuron_level_models(row, device), repeats, device))
        say(progress(alone))
    return [*curves, alone]


def progress(curve: Curve) -> str:
    done = len(curve.training["fast"]) - 1
    textbook, fast = (1e3 * median(curve.training[name][done]) for name in COMPARED)
    return (
        f"{curve.size} {curve.values[done]}: training {textbook:.4g} ms textbook, "
        f"{fast:.4g} ms fast"
    )


def machines(row: Row, device: str) -> dict[tuple[str, str], Work]:
    works: dict[tuple[str, str], Work] = {}
    for name in COMPARED:
        runner = Runner(CONTENDERS[name], row, device)
        works["inference", name] = runner.infer
        works["training", name] = runner.train
    return works


# -- neuron-level models alone -----------------------------------------------------------------

# Histories of all ticks and what the neurons make of them: given pre-activations (ticks, batch,
# neurons), post-activations of each tick. To time another way, write it and name it in ALL_TICKS.
AllTicks = Callable[[ContinuousThoughtMachine, Tensor], list[Tensor]]


def eager_neurons(machine: ContinuousThoughtMachine, a: Tensor) -> list[Tensor]:
    history = machine.start_history.expand(a.shape[1], -1, -1)
    every_z = []
    for tick in a:
        history = torch.cat((history[:, :, 1:], tick.unsqueeze(2)), dim=2)
        every_z.append(machine.neuron_models(history))
    return every_z


def fast_neurons(machine: ContinuousThoughtMachine, a: Tensor) -> list[Tensor]:
    start = machine.start_history.expand(a.shape[1], -1, -1).transpose(0, 1)
    history = RepeatedNeurons(machine.neuron_models).begin(start, len(a))
    return [history.step(tick) for tick in a]


ALL_TICKS: dict[str, AllTicks] = {"eager": eager_neurons, "fast": fast_neurons}


def neuron_level_models(row: Row, device: str) -> dict[tuple[str, str], Work]:
    """All ticks of a pass; training is forward and backward."""
    machine = build_model(row.config, row.spec, device=device)
    textbook = TextbookCTM(machine)

    def textbook_neurons(_: ContinuousThoughtMachine, a: Tensor) -> list[Tensor]:
        history = textbook.start_history.expand(a.shape[1], -1, -1)
        every_z = []
        for tick in a:
            history = torch.cat((history[:, :, 1:], tick.unsqueeze(2)), dim=2)
            every_z.append(textbook.neuron_models(history).squeeze(-1))
        return every_z

    generator = torch.Generator().manual_seed(3)
    shape = (row.config.ticks, row.batch, row.config.neurons)
    a = torch.randn(shape, generator=generator).to(device)

    def works_of(name: str, all_ticks: AllTicks) -> dict[tuple[str, str], Work]:
        @torch.inference_mode()
        def infer() -> None:
            all_ticks(machine.eval(), a)

        def train() -> None:
            every_z = all_ticks(machine.train(), a.clone().requires_grad_())
            torch.stack(every_z).sum().backward()

        return {("inference", name): infer, ("training", name): train}

    works: dict[tuple[str, str], Work] = {}
    for name, all_ticks in {"textbook": textbook_neurons, **ALL_TICKS}.items():
        works |= works_of(name, all_ticks)
    return works
