"""One input, thought about in the open."""

from dataclasses import dataclass

import torch
from rich.table import Table

from ctm.app.console import plain_console
from ctm.app.trained import TrainedArguments, open_trained
from ctm.interface import Readout


@dataclass(frozen=True, kw_only=True)
class ThinkArguments(TrainedArguments):
    """Arguments of `scripts/think.py`."""

    input: str  # as the task reads it: bits, numbers, a question, the path of a picture


def think(arguments: ThinkArguments) -> None:
    """Prints answer and certainty tick by tick."""
    model, task, readout = open_trained(arguments)
    inputs = task.parse(arguments.input)
    with torch.inference_mode():
        thoughts = model(inputs)
    chosen = int(thoughts.chosen(Readout.certain))
    table = Table("tick", "answer", "certainty", "")
    for tick, (logits, certainty) in enumerate(
        zip(thoughts.logits[0], thoughts.certainty[0].tolist(), strict=True)
    ):
        bar = "█" * round(20 * max(certainty, 0.0))
        style = "bold" if tick == chosen else None
        table.add_row(str(tick + 1), task.answer(logits), f"{certainty:.3f}", bar, style=style)
    console = plain_console()
    console.print(table)
    console.print(
        f"answer {task.conclusion(thoughts, inputs, readout)}; most certain at "
        f"tick {chosen + 1}: {thoughts.certainty[0, chosen]:.3f}"
    )
