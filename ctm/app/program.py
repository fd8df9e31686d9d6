"""A model as a program that runs without this code: inputs to logits and certainty at every tick.

The ticks are written out, so a program always thinks as many. The batch may have any size; inputs
that come one after the other have the length of the task's longest.
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ctm.errors import UserError
from ctm.interface import Inputs, each
from ctm.models.build import Model
from ctm.tasks import Task

INPUTS = 100  # that a program is checked on
NEAR = 1e-4  # largest difference of a logit
ROUNDS = 5
OUTPUTS = ["logits", "certainty"]


@dataclass(frozen=True)
class Program:
    """What was written, and how it compares to the model.

    Args:
        inputs: test examples that both were given, in one batch.
        difference: the largest one between their logits.
        seconds, own_seconds: of the program and of the model, for the batch; medians.
    """

    file: Path
    inputs: int
    difference: float
    seconds: float
    own_seconds: float


class Ticks(nn.Module):
    """A model whose outputs are plain tensors."""

    def __init__(self, model: Model, ticks: int | None) -> None:
        super().__init__()
        self.model, self.ticks = model, ticks

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        thoughts = self.model(inputs[0] if len(inputs) == 1 else inputs, ticks=self.ticks)
        return thoughts.logits, thoughts.certainty


@runtime_checkable
class Runner(Protocol):
    def __call__(self, *inputs: Tensor) -> Tensor:
        """The program's logits."""
        ...


def torch_program(model: Model, task: Task, ticks: int | None, folder: Path) -> Program:
    """Writes `model.pt2`, by torch.export; `torch.export.load(file).module()` runs it."""
    file = folder / "model.pt2"
    torch.export.save(exported(model, task, ticks), file)
    again = torch.export.load(file).module()
    return checked(file, model, task, ticks, lambda *inputs: again(*inputs)[0])


def onnx_program(model: Model, task: Task, ticks: int | None, folder: Path) -> Program:
    """Writes `model.onnx`, with large weights in a file beside it.

    Raises:
        UserError: the packages for it are not installed.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch writes with it
    except ImportError as error:
        raise UserError(
            f"to=onnx: {error.name} is not installed; pip install 'ctm[export]'"
        ) from None
    file = folder / "model.onnx"
    names = ["inputs", "codes"] if isinstance(task.blank_inputs(1, "meta"), tuple) else ["inputs"]
    with quiet():
        written = torch.onnx.export(
            exported(model, task, ticks),
            dynamo=True,
            input_names=names,
            output_names=OUTPUTS,
            verbose=False,
        )
        assert written is not None
        written.save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        given = {name: values.numpy() for name, values in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(OUTPUTS, given)[0])

    return checked(file, model, task, ticks, run)


def exported(model: Model, task: Task, ticks: int | None) -> torch.export.ExportedProgram:
    inputs = separate(task.blank_inputs(2, "cpu"))  # of one example torch would take 1 for fixed
    batch = {0: torch.export.Dim.DYNAMIC}
    with quiet():
        return torch.export.export(
            Ticks(model, ticks).eval(), inputs, dynamic_shapes=((batch,) * len(inputs),)
        )


def checked(file: Path, model: Model, task: Task, ticks: int | None, run: Runner) -> Program:
    """Compares a program with its model on test examples.

    Raises:
        UserError: it gives something else; nobody shall use it.
    """
    inputs = separate(examples(task))
    own = Ticks(model, ticks).eval()
    with torch.inference_mode():
        expected = own(*inputs)[0]
        difference = float((run(*inputs) - expected).abs().max())
        if not difference <= NEAR:
            file.unlink()
            raise UserError(
                f"{file}: its logits differ from the model's by {difference:.1e}, more than "
                f"{NEAR:.0e}: deleted"
            )
        seconds, own_seconds = timed(run, inputs), timed(own, inputs)
    return Program(file, len(expected), difference, seconds, own_seconds)


def examples(task: Task) -> Inputs:
    """So many test inputs, as large as the program's; where they aren't here, random ones."""
    blank = task.blank_inputs(INPUTS, "cpu")
    wanted = [values.shape[1:] for values in separate(blank)]
    try:
        batches = task.test().batches(INPUTS)
        for batch in batches:
            found = separate(batch.inputs)
            if [values.shape[1:] for values in found] == wanted:
                return batch.inputs
    except UserError:
        pass
    generator = torch.Generator().manual_seed(0)

    def random(values: Tensor) -> Tensor:
        if not values.is_floating_point():
            return values
        return torch.rand(values.shape, generator=generator)

    return each(blank, random)


def separate(inputs: Inputs) -> tuple[Tensor, ...]:
    return inputs if isinstance(inputs, tuple) else (inputs,)


def timed(run: Any, inputs: tuple[Tensor, ...]) -> float:
    """Median seconds of a call."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run(*inputs)
        seconds.append(time.perf_counter() - began)
    return median(seconds)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch says to its own developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
