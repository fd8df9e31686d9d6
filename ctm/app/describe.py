"""What would be trained: the composed configuration, the parts, their sizes and their cost."""

from typing import NamedTuple

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ctm.app.compose import Experiment
from ctm.interface import Inputs
from ctm.models.build import build_model
from ctm.models.feedforward import FeedForward
from ctm.tasks import Task


def describe(experiment: Experiment, console: Console) -> None:
    """Prints all of it, building the model on the meta device: shapes without memory."""
    model = build_model(experiment.model, experiment.task.spec, device="meta")
    console.print(OmegaConf.to_yaml(OmegaConf.create(experiment.plain)))
    console.print(parts_table(model))
    costs = cost(model, experiment.task)
    total = count(model)
    console.print(
        f"parameters: {total}\n"
        f"flops per example: {costs.example} forward, at {costs.ticks} ticks\n"
        f"flops per tick: {costs.tick} forward\n"
        f"{total:,} parameters, {si(costs.example)}FLOP an example, {si(costs.tick)}FLOP a tick "
        "(a multiplication and an addition are 2; training takes about 3 times as many)"
    )


def parts_table(model: nn.Module) -> Table:
    """Each part with its class and parameters."""
    table = Table(title="parts")
    for name in ("part", "class"):
        table.add_column(name)
    table.add_column("parameters", justify="right")
    own = sum(weight.numel() for weight in model.parameters(recurse=False))
    table.add_row("start states", type(model).__name__, f"{own:,}")
    for name, part in model.named_children():
        table.add_row(name, type(part).__name__, f"{count(part):,}")
        for inner_name, inner in part.named_children():
            if name == "encoder":
                table.add_row(f"  {inner_name}", type(inner).__name__, f"{count(inner):,}")
    table.add_section()
    table.add_row("all", "", f"{count(model):,}")
    return table


def count(module: nn.Module) -> int:
    """Parameters, all of them trained."""
    return sum(weight.numel() for weight in module.parameters())


class Cost(NamedTuple):
    """Operations of one example's forward pass, the ticks it takes, and operations of one more."""

    example: int
    ticks: int
    tick: int


def cost(model: nn.Module, task: Task) -> Cost:
    """What an example costs, and what a tick of it."""
    example, ticks = flops(model, task)
    if isinstance(model, FeedForward):
        return Cost(example, ticks, example)
    return Cost(example, ticks, flops(model, task, 2)[0] - flops(model, task, 1)[0])


def flops(model: nn.Module, task: Task, ticks: int | None = None) -> tuple[int, int]:
    """Operations of one example's forward pass, the largest of those trained on, and its ticks.

    Args:
        model: on the meta device.
        ticks: other than the model's own number.
    """
    return counted(model, task.blank_inputs(2, "meta"), ticks)


def mean_flops(model: nn.Module, task: Task) -> int:
    """Operations of one example's forward pass, averaged over the sizes that are trained on."""
    each = [counted(model, inputs)[0] for inputs in task.blank_sizes(2, "meta")]
    return round(sum(each) / len(each))


def counted(model: nn.Module, inputs: Inputs, ticks: int | None = None) -> tuple[int, int]:
    """Operations an example, and ticks, of a pass over two: one alone would take other shapes.

    Counted by torch in matrix products, convolutions and attention; elementwise work is left out.
    """
    model.eval().requires_grad_(False)  # torch's counter hooks into what has a gradient
    with FlopCounterMode(display=False) as counter:
        thoughts = model(inputs, ticks=ticks)
    return counter.get_total_flops() // 2, thoughts.ticks


def si(number: float) -> str:
    """`1.25 M`: three digits and a prefix."""
    prefixes = ["", "k", "M", "G", "T"]
    while number >= 1000 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    return f"{number:.3g} {prefixes[0]}"
