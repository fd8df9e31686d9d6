"""The pictures of a finished run."""

from pathlib import Path
from typing import Any

import torch

from ctm.analysis.animation import thinking_gif, thinking_strip
from ctm.analysis.figures import neurons_figure, ticks_figure
from ctm.analysis.saying import Saying
from ctm.analysis.scene import Scene
from ctm.interface import Inputs, Thoughts, each
from ctm.layers.encoders import TokenEncoder
from ctm.layers.questions import QuestionEncoder
from ctm.metrics.sorting import Decoded
from ctm.models.build import Model
from ctm.tasks import Task
from ctm.tasks.sort import Sort
from ctm.tasks.task import FiniteExamples

FIGURES = "figures"
SHOWN = 64  # test examples among which the one to show is chosen


def draw(
    model: Model,
    task: Task,
    test: FiniteExamples,
    metrics: dict[str, Any],
    folder: Path,
) -> None:
    """Accuracy, loss and certainty per tick; traces of neurons; the model thinking."""
    figures = folder / FIGURES
    ticks_figure(metrics["per_tick"], figures / "ticks.png", f"{task.kind}: all test examples")
    batch = next(test.batches(SHOWN))
    device = next(model.parameters()).device
    with torch.inference_mode():
        thoughts = model(each(batch.inputs, lambda values: values.to(device)), record=True)
    choose = longest_thought if isinstance(task, Sort) else most_instructive
    example = choose(thoughts, batch.targets)
    inputs = each(batch.inputs, lambda values: values[example])
    shown = picture_of(model, task, thoughts, example, inputs, batch.targets[example])
    assert thoughts.trace is not None
    neurons_figure(
        thoughts.trace.post_activations[example].numpy(),
        figures / "neurons.png",
        f"{task.kind}: neurons while they think about one test example",
    )
    thinking_gif(shown, figures / "thinking.gif")
    thinking_strip(shown, figures / "thinking.png")


def picture_of(
    model: Model,
    task: Task,
    thoughts: Thoughts,
    example: int,
    inputs: Inputs,
    targets: torch.Tensor | None,
) -> Scene | Saying:
    """One example of a batch, ready to be drawn.

    Args:
        thoughts: of the batch, with a trace.
        inputs: of the example alone, on the CPU.
        targets: the same; None where nobody knows them.
    """
    if isinstance(task, Sort):
        assert isinstance(inputs, torch.Tensor)
        assert targets is not None  # `Sort.truth`
        return Saying.of(thoughts, example, inputs, targets)
    return scene(model, task, thoughts, example, inputs, targets)


def scene(
    model: Model,
    task: Task,
    thoughts: Thoughts,
    example: int,
    inputs: Inputs,
    targets: torch.Tensor | None,
) -> Scene:
    """One example as a person sees it."""
    first = inputs if isinstance(inputs, torch.Tensor) else inputs[0]
    grid = tuple(first.shape[-2:])
    encoder = getattr(model, "encoder", None)  # without tokens there is no attention to place
    if isinstance(encoder, TokenEncoder | QuestionEncoder):
        grid = encoder.grid(*grid)
    return Scene.of(
        thoughts,
        example,
        picture=task.picture(inputs),
        token_grid=task.token_grid(grid),
        target=targets,
        labels=task.labels,
        # a model that answers at every tick has seen all from the first
        moments=[] if thoughts.answering is None else task.moments(inputs, thoughts.ticks),
    )


def longest_thought(thoughts: Thoughts, targets: torch.Tensor) -> int:
    """The example with most right labels, and of those the one with the longest wait."""
    decoded = Decoded.of(thoughts.logits.cpu(), targets)
    waits, counts = decoded.waits()
    longest = (waits * counts).amax(1) / (thoughts.ticks + 1)  # less than one label
    return int((decoded.right_at.sum(1) + longest).argmax())


def most_instructive(thoughts: Thoughts, targets: torch.Tensor) -> int:
    """The example that is right in the end and whose certainty changed most on the way."""
    certain = thoughts.certainty.cpu()
    right = thoughts.logits[:, -1].argmax(-1).cpu() == targets
    right = right.view(len(targets), -1).all(1)
    change = certain.diff(dim=1).abs().sum(1)
    return int((change + right * thoughts.ticks).argmax())
