"""What would be trained: the composed configuration, the parts, their sizes and their cost."""

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ctm.app.compose import Experiment
from ctm.interface import TaskSpec
from ctm.models.build import build_model
from ctm.models.feedforward import FeedForward


def describe(experiment: Experiment, console: Console) -> None:
    """Prints all of it, building the model on the meta device: shapes without memory."""
    spec = experiment.task.spec
    model = build_model(experiment.model, spec, device="meta")
    console.print(OmegaConf.to_yaml(OmegaConf.create(experiment.plain)))
    console.print(parts_table(model))
    whole, tick = flops(model, spec)
    total = count(model)
    console.print(
        f"parameters: {total}\n"
        f"flops per example: {whole} forward, at {model.ticks} ticks\n"
        f"flops per tick: {tick} forward\n"
        f"{total:,} parameters, {si(whole)}FLOP an example, {si(tick)}FLOP a tick "
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


def flops(model: nn.Module, spec: TaskSpec) -> tuple[int, int]:
    """Operations of one example's forward pass, and of one more tick of it if there can be one.

    Counted by torch in matrix products, convolutions and attention; elementwise work is left out.
    """

    def of(ticks: int | None) -> int:
        # two examples: a batch of one would let products take other shapes
        inputs = spec.blank_inputs(2, "meta")
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(inputs, ticks=ticks)
        return counter.get_total_flops() // 2

    whole = of(None)
    return whole, whole if isinstance(model, FeedForward) else of(2) - of(1)


def si(number: float) -> str:
    """`1.25 M`: three digits and a prefix."""
    prefixes = ["", "k", "M", "G", "T"]
    while number >= 1000 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    return f"{number:.3g} {prefixes[0]}"
