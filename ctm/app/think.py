"""Inputs thought about until the model is sure: one in the open, many as lines of JSON."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.table import Table
from torch import Tensor

from ctm.analysis.animation import thinking_gif
from ctm.app.console import plain_console
from ctm.app.pictures import picture_of
from ctm.app.trained import TrainedArguments, open_trained
from ctm.app.values import between_0_and_1, device_of, whole_number, yes_or_no
from ctm.errors import UserError
from ctm.interface import Inputs, Readout, Thoughts, each
from ctm.models.on_demand import Conclusions

TOGETHER = 64  # pictures of a folder that are thought about side by side
ANIMATION = "thinking.gif"


@dataclass(frozen=True, kw_only=True)
class ThinkArguments(TrainedArguments):
    """Arguments of `scripts/think.py`."""

    input: str = ""  # as the task reads it, or a folder of pictures; empty: lines of JSON come in
    stop_at: str = ""  # certainty at which it is done; empty: it thinks to the end
    max_ticks: str = ""  # empty: as many as the model has
    json: str = "false"  # print lines of JSON
    animate: str = ""  # a GIF of the one input, tick by tick
    device: str = "cpu"


class Thinker:
    """A trained model, and how long it may think."""

    def __init__(self, arguments: ThinkArguments) -> None:
        self.device = device_of(arguments.device)
        stop_at, max_ticks = arguments.stop_at, arguments.max_ticks
        self.stop_at = between_0_and_1("stop_at", stop_at) if stop_at else None
        self.max_ticks = whole_number("max_ticks", max_ticks) if max_ticks else None
        self.trained = open_trained(arguments, self.device)
        if self.stop_at is not None and self.trained.says_a_sequence:
            raise UserError(
                f"stop_at={stop_at}: this model says its labels one after the other, a tick each; "
                "it thinks to the end"
            )

    def read(self, text: str) -> Inputs:
        """One input, as the task reads it, where the model is."""
        return each(self.trained.task.parse(text), lambda values: values.to(self.device))

    def read_picture(self, file: Path) -> Tensor:
        inputs = self.read(str(file))
        assert isinstance(inputs, Tensor)  # what is made of several parts is no file's name
        return inputs

    def about(self, inputs: Inputs) -> Conclusions:
        model, _, readout = self.trained
        return model.think(inputs, self.stop_at, self.max_ticks, readout)

    def shown(self, inputs: Inputs, record: bool = False) -> tuple[Thoughts, Readout]:
        """All ticks of one input, up to the one at which it was sure; and what answers of them."""
        model, _, readout = self.trained
        ticks = self.max_ticks
        if self.stop_at is not None:
            found = self.about(inputs)
            ticks = int(found.ticks)
            if float(found.certainty) >= self.stop_at:
                readout = Readout.last
        with torch.inference_mode():
            return model(inputs, record=record, ticks=ticks), readout

    def answers(self, inputs: Inputs) -> Iterator[dict[str, Any]]:
        """What a line of JSON says about each of several inputs."""
        model, task, readout = self.trained
        if self.trained.says_a_sequence:
            with torch.inference_mode():
                thoughts = model(inputs, ticks=self.max_ticks)
            yield {"answer": task.conclusion(thoughts, inputs, readout), "ticks": thoughts.ticks}
            return
        found = self.about(inputs)
        rows = zip(found.logits, found.ticks.tolist(), found.certainty.tolist(), strict=True)
        for logits, ticks, certainty in rows:
            answer = task.answer(logits)
            yield {"answer": answer, "ticks": ticks, "certainty": round(certainty, 4)}


def think(arguments: ThinkArguments) -> int:
    """Prints answers, how sure they are and how many ticks they took. Returns the exit status."""
    as_json = yes_or_no("json", arguments.json)
    folder = Path(arguments.input) if arguments.input else None
    one = folder is not None and not folder.is_dir()
    if arguments.animate and not one:
        raise UserError(f"animate={arguments.animate}: draws one input; want input=...")
    if folder is None and sys.stdin.isatty():
        raise UserError(
            'input missing; want input=..., or lines such as {"input": "..."} on standard input'
        )
    thinker = Thinker(arguments)
    if folder is None:
        return answer_lines(thinker, sys.stdin)
    if not one:
        return answer_pictures(thinker, folder, as_json)
    inputs = thinker.read(arguments.input)
    if as_json:
        print_line({"input": arguments.input, **next(thinker.answers(inputs))})
    else:
        show(thinker, inputs)
    if arguments.animate:
        name = ANIMATION if arguments.animate == "true" else arguments.animate
        animate(thinker, inputs, Path(name))
    return 0


# -- one input -------------------------------------------------------------------------------------


def show(thinker: Thinker, inputs: Inputs) -> None:
    """Answer and certainty tick by tick, up to the one at which it was sure."""
    task = thinker.trained.task
    thoughts, readout = thinker.shown(inputs)
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


def animate(thinker: Thinker, inputs: Inputs, file: Path) -> None:
    """Draws what it saw and thought at each tick.

    Raises:
        UserError: nothing can be written there.
    """
    model, task, _ = thinker.trained
    thoughts, _ = thinker.shown(inputs, record=True)
    batch = each(inputs, Tensor.cpu)
    truth = task.truth(batch)
    one, told = each(batch, lambda values: values[0]), None if truth is None else truth[0]
    try:
        thinking_gif(picture_of(model, task, thoughts, 0, one, told), file)
    except OSError as error:
        raise UserError(f"animate={file}: can't be written ({error.strerror})") from None
    sys.stderr.write(f"animation  {file}\n")


# -- many ------------------------------------------------------------------------------------------


def answer_lines(thinker: Thinker, lines: Iterable[str]) -> int:
    """Answers each line as it comes; one that can't be read is answered by what is wrong with it.

    Returns:
        2 if there was such a line.
    """
    status = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        said: dict[str, Any] = {}
        try:
            said = read_line(line)
            said |= next(thinker.answers(thinker.read(said["input"])))
        except UserError as error:
            said |= {"line": number, "error": str(error)}
            status = 2
        print_line(said)
    return status


def read_line(line: str) -> dict[str, Any]:
    """Whatever else it holds comes back beside the answer.

    Raises:
        UserError: it is none of `{"input": "..."}`.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("input"), str):
        raise UserError(f'{line.strip()!r:.60}: want JSON such as {{"input": "..."}}')
    return said


def answer_pictures(thinker: Thinker, folder: Path, as_json: bool) -> int:
    """All pictures of a folder, by their names; those of one size side by side.

    Raises:
        UserError: there are none, or one of them is no input of the task.
    """
    kinds = Image.registered_extensions()
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in kinds)
    if not files:
        raise UserError(f"input={folder}: a folder without pictures")
    table = Table("picture", "answer", "ticks", "certainty")
    for inputs, names in batches(files, thinker.read_picture):
        for name, said in zip(names, thinker.answers(inputs), strict=True):
            if as_json:
                print_line({"input": str(name), **said})
            else:
                sure = f"{said['certainty']:.3f}"
                table.add_row(name.name, said["answer"], str(said["ticks"]), sure)
    if not as_json:
        plain_console().print(table)
    return 0


def batches(
    files: Iterable[Path], read: Callable[[Path], Tensor]
) -> Iterator[tuple[Tensor, list[Path]]]:
    """Pictures in a row that are equally large, read when their turn comes."""
    pictures = ((file, read(file)) for file in files)
    for _, equal in groupby(pictures, lambda pair: pair[1].shape):
        while some := list(islice(equal, TOGETHER)):
            yield torch.cat([picture for _, picture in some]), [file for file, _ in some]


def print_line(said: dict[str, Any]) -> None:
    """At once, for a reader that waits."""
    sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")
    sys.stdout.flush()
