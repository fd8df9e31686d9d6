"""What people type after `name=`, read and checked."""

import re

import torch

from ctm.errors import UserError


def items(text: str) -> tuple[str, ...]:
    """`[a,b]` or `a,b`."""
    return tuple(part for part in re.split(r"[,\s]+", text.strip("[]() ")) if part)


def whole_number(name: str, text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise UserError(f"{name}={text}: want a whole number of 1 or more")
    return int(text)


def yes_or_no(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise UserError(f"{name}={text}: want true or false")
    return text == "true"


def positive(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise UserError(f"{name}={text}: want a number above 0")
    return number


def between_0_and_1(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise UserError(f"{name}={text}: want a number from 0 to 1, such as 0.9")
    return number


def device_of(text: str) -> str:
    """
    Raises:
        UserError: another, or one that this machine hasn't got.
    """
    if text not in ("cpu", "cuda"):
        raise UserError(f"device={text}: want cpu or cuda")
    if text == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: no CUDA GPU here; want cpu")
    return text
