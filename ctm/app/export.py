"""A trained model for others: a folder for the hub, a program of torch.export's, or of ONNX."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ctm.app.card import card
from ctm.app.console import plain_console
from ctm.app.program import Program, onnx_program, torch_program
from ctm.app.result import RESULT, read_json, write_json
from ctm.app.trained import TrainedArguments, task_of
from ctm.app.values import whole_number
from ctm.errors import UserError, first_line
from ctm.models import hub
from ctm.models.pretrained import Pretrained, description, open_pretrained
from ctm.models.weights import CONFIG, WEIGHTS, write_weights
from ctm.tasks import Task


class To(StrEnum):
    hub = "hub"  # config.json, model.safetensors and a model card, which `ctm.load` reads
    torch = "torch"  # model.pt2
    onnx = "onnx"  # model.onnx


@dataclass(frozen=True, kw_only=True)
class ExportArguments(TrainedArguments):
    """Arguments of `scripts/export.py`."""

    to: str
    out: str = ""  # folder to write; empty: exported/<to>
    ticks: str = ""  # that a program thinks for, always; empty: as many as the model has
    push: str = ""  # to the hub, as owner/name


def export(arguments: ExportArguments) -> None:
    """Writes one of the forms; a program only if it gives what the model gives."""
    if arguments.to not in list(To):
        raise UserError(f"to={arguments.to}: choose one of {', '.join(To)}")
    if arguments.push and arguments.to != To.hub:
        raise UserError(f"push={arguments.push}: goes with to=hub")
    if arguments.push and not hub.is_id(arguments.push):
        raise UserError(f"push={arguments.push}: want owner/name")
    if arguments.ticks and arguments.to == To.hub:
        raise UserError(f"ticks={arguments.ticks}: goes with to=torch and to=onnx")
    ticks = whole_number("ticks", arguments.ticks) if arguments.ticks else None
    found = open_pretrained(arguments.run, engine="eager")
    task = task_of(found, arguments)
    folder = Path(arguments.out or f"exported/{arguments.to}")
    if folder.exists() and any(
        folder.samefile(place) for place in (found.file.parent, arguments.run)
    ):
        raise UserError(f"out={folder}: there the model itself lies; choose another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        say = plain_console().print
        if arguments.to == To.hub:
            write_folder(found, task, Path(arguments.run), folder)
            say(f"{folder}: for the hub, with a model card; ctm.load({str(folder)!r}) reads it")
        else:
            write = torch_program if arguments.to == To.torch else onnx_program
            program = write(found.model, task, ticks, folder)
            write_json(folder / CONFIG, described(found, task))
            say(report(program))
    except OSError as error:
        raise UserError(f"out={folder}: can't be written ({error.strerror or error})") from None
    if arguments.push:
        say(f"pushed  {pushed(folder, arguments.push)}")


def described(found: Pretrained, task: Task) -> dict[str, Any]:
    """`config.json`, with all that someone without this code needs to use the model."""
    about = description(found.config, found.spec, found.task, task.labels)
    return about | {"inputs": task.about_inputs()}


def write_folder(found: Pretrained, task: Task, run: Path, folder: Path) -> None:
    write_weights(found.model.state_dict(), folder / WEIGHTS)
    write_json(folder / CONFIG, described(found, task))
    result = read_json(run / RESULT)
    (folder / "README.md").write_text(card(found, task, result if isinstance(result, dict) else {}))


def report(program: Program) -> str:
    """How near a program comes, and how fast it is."""
    return (
        f"{program.file}: on {program.inputs} inputs the logits differ from the model's by "
        f"{program.difference:.1e} at most; {program.seconds * 1000:.1f} ms a batch of "
        f"{program.inputs}, the model itself {program.own_seconds * 1000:.1f} ms (eager)"
    )


def pushed(folder: Path, name: str) -> str:
    """Uploads the folder; its address.

    Raises:
        UserError: the hub refuses.
    """
    from huggingface_hub import HfApi  # seconds to import
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        api.create_repo(name, exist_ok=True)
        return str(api.upload_folder(repo_id=name, folder_path=folder))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(
            f"push={name}: refused ({first_line(error)}); log in by `hf auth login` first"
        ) from None
