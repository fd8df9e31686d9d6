"""Which made-up sequences are trained on and which are kept back, decided by a hash of each."""

from collections.abc import Callable
from enum import Enum

import torch
from jaxtyping import Int
from torch import Tensor

PARTS = 32  # of all sequences: one for validation, one for test, the others for training
FEWEST_PARTED = 256  # sequences: where there are fewer, too few to keep some back


class Part(Enum):
    """Which sequences a set of examples draws from; with it, the seed of the fixed sets."""

    training = 0
    validation = 1
    test = 2


Codes = Int[Tensor, "batch length"]


def part_of(codes: Codes) -> Int[Tensor, " batch"]:
    """The `Part` that each sequence belongs to, for good: a pseudo-random 1 in 32 is validation's.

    Decided by a hash of the sequence alone, so that no training run ever meets what tests it,
    whatever its seed. (Where there are 256 or more: fewer are in every part.)
    """
    weights = scrambled(torch.arange(1, codes.shape[1] + 1))
    drawn = scrambled((codes * weights).sum(1)) % PARTS
    return torch.where(drawn <= Part.test.value, drawn, Part.training.value)


def scrambled(numbers: Int[Tensor, " count"]) -> Int[Tensor, " count"]:
    """A fixed pseudo-random number of 31 bits for each number (multiplications wrap round)."""
    mixed = numbers * 0x1E3779B97F4A7C15
    mixed = (mixed ^ (mixed >> 29)) * 0x1CE4E5B9BF58476D
    mixed = (mixed ^ (mixed >> 32)) * 0x14D049BB133111EB
    return (mixed >> 33) & 0x7FFFFFFF


def draw_part(count: int, sequences: int, part: Part, draw: Callable[[int], Codes]) -> Codes:
    """Random sequences of one part.

    Args:
        sequences: how many there are in all; of less than 256 there is one part only.
        draw: so many, of any part.
    """
    whole = sequences < FEWEST_PARTED
    more = PARTS if part is not Part.training and not whole else 1
    kept: list[Tensor] = []
    missing = count
    while missing > 0:
        codes = draw(missing * more)
        fitting = codes if whole else codes[part_of(codes) == part.value]
        kept.append(fitting[:missing])
        missing -= len(kept[-1])
    return torch.cat(kept)
