"""What all commands share: a user's mistake is answered by one line, never by a traceback."""

import argparse
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import hydra
import torch
from omegaconf import DictConfig

from ctm.app.compose import CONFIGS, Experiment, checked, compose, register_schemas, reopened
from ctm.errors import UserError, first_line

Arguments = TypeVar("Arguments")
BAD_INPUT = 2  # exit status


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Prints what a user got wrong and exits with status 2; ends quietly on Ctrl-C."""
    try:
        yield
    except UserError as error:
        say(str(error))
        sys.exit(BAD_INPUT)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "not enough memory" not in str(error):
            raise
        say("out of memory; take a smaller trainer.batch_size, or a smaller model")
        sys.exit(BAD_INPUT)
    except MemoryError as error:  # numpy's says how much was asked for
        say(f"out of memory ({first_line(error)}); ask for something smaller")
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:  # training itself saves first: ctm/training/interrupts.py
        sys.exit(128 + signal.SIGINT)


def say(line: str) -> None:
    sys.stderr.write(f"{Path(sys.argv[0]).name}: {line}\n")


class OneLineParser(argparse.ArgumentParser):
    """Of a command with --arguments."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help shows all arguments")


def hydra_command(work: Callable[[Experiment], int]) -> Callable[[], None]:
    """A command configured by Hydra; `work` returns the exit status.

    `run=FOLDER` takes the settings that a run folder was made with instead.
    """

    def job(config: DictConfig) -> None:
        with one_line_errors():
            status = work(checked(config))
        if status:
            sys.exit(status)

    def command() -> None:
        register_schemas()
        arguments = sys.argv[1:]
        if any(argument.startswith("run=") for argument in arguments):
            with one_line_errors():
                if len(arguments) > 1:
                    raise UserError(f"{' '.join(arguments)}: run=FOLDER stands alone")
                sys.exit(work(reopened(Path(arguments[0].removeprefix("run=")))))
        if not any(argument.startswith("-") for argument in arguments):
            # composed once before Hydra does, for errors of one line
            with one_line_errors():
                compose(arguments)
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="config")(job)()

    return command


def key_value_command(
    work: Callable[[Arguments], int | None], arguments_class: type[Arguments]
) -> Callable[[], None]:
    """A command with a few arguments `name=value`: the fields of a dataclass of strings.

    `work` returns the exit status; None: all went well. `--name` is short for `name=true`.
    """

    def command() -> None:
        with one_line_errors():
            sys.exit(work(parse(arguments_class, sys.argv[1:])))

    return command


def optional(argument: tuple[str, Any]) -> bool:
    return argument[1] is not MISSING


def parse(arguments_class: type[Arguments], texts: Sequence[str]) -> Arguments:
    """Reads `name=value` arguments; a field named `task_folder` is typed `task.folder=...`.

    Raises:
        UserError: another form, an unknown name, or a name missing.
    """
    known: dict[str, Any] = {
        re.sub("^task_", "task.", field.name): field.default
        for field in fields(arguments_class)  # pyright: ignore
    }
    usage = " ".join(f"{name}=..." if default is MISSING else f"[{name}={default}]"
                     for name, default in sorted(known.items(), key=optional))  # fmt: skip
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name.startswith("--") and not equals:
            name, equals, value = name.removeprefix("--"), "=", "true"
        if not equals or name not in known:
            raise UserError(f"{text}: no such argument; usage: {usage}")
        values[name] = value
    missing = [name for name, default in known.items() if default is MISSING and name not in values]
    if missing:
        raise UserError(f"{', '.join(missing)} missing; usage: {usage}")
    return arguments_class(**{name.replace(".", "_"): value for name, value in values.items()})
