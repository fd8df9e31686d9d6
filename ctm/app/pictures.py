"""The pictures of a finished run."""

from pathlib import Path
from typing import Any

import torch

from ctm.analysis.animation import thinking_gif, thinking_strip
from ctm.analysis.figures import neurons_figure, ticks_figure
from ctm.analysis.scene import Scene
from ctm.interface import Thoughts
from ctm.layers.encoders import TokenEncoder
from ctm.models.machine import ContinuousThoughtMachine
from ctm.tasks import Task
from ctm.tasks.task import FixedExamples

FIGURES = "figures"
SHOWN = 64  # test examples among which the one to show is chosen


def draw(
    model: ContinuousThoughtMachine,
    task: Task,
    test: FixedExamples,
    metrics: dict[str, Any],
    folder: Path,
) -> None:
    """Accuracy, loss and certainty per tick; traces of neurons; the model thinking."""
    figures = folder / FIGURES
    ticks_figure(metrics["per_tick"], figures / "ticks.png", f"{task.kind}: all test examples")
    batch = next(test.batches(SHOWN))
    device = next(model.parameters()).device
    with torch.inference_mode():
        thoughts = model(batch.inputs.to(device), record=True)
    example = most_instructive(thoughts, batch.targets)
    shown = scene(model, task, thoughts, example, batch.inputs[example], batch.targets[example])
    neurons_figure(
        shown.post_activations,
        figures / "neurons.png",
        f"{task.kind}: neurons while they think about one test example",
    )
    thinking_gif(shown, figures / "thinking.gif")
    thinking_strip(shown, figures / "thinking.png")


def scene(
    model: ContinuousThoughtMachine,
    task: Task,
    thoughts: Thoughts,
    example: int,
    inputs: torch.Tensor,
    targets: torch.Tensor,
) -> Scene:
    """One example as a person sees it."""
    grid = task.spec.input_shape[-2:]
    if isinstance(model.encoder, TokenEncoder):  # without tokens there is no attention to place
        grid = model.encoder.grid(*grid)
    return Scene.of(
        thoughts,
        example,
        picture=task.picture(inputs),
        token_grid=task.token_grid(grid),
        target=targets,
        labels=task.labels,
    )


def most_instructive(thoughts: Thoughts, targets: torch.Tensor) -> int:
    """The example that is right in the end and whose certainty changed most on the way."""
    certain = thoughts.certainty.cpu()
    right = thoughts.logits[:, -1].argmax(-1).cpu() == targets
    right = right.view(len(targets), -1).all(1)
    change = certain.diff(dim=1).abs().sum(1)
    return int((change + right * thoughts.ticks).argmax())
