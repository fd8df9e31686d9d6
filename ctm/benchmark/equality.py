"""Do the contenders compute the same numbers? Logits against the textbook's, gradients too."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ctm.benchmark.contenders import CONTENDERS, Contender
from ctm.benchmark.rows import Row

ROUNDING = 1e-5  # of the largest gradient's norm: biases before a norm have gradients of rounding


@dataclass
class Equality:
    """How far a contender is from the reference.

    Args:
        logits: largest absolute difference to the textbook's, in eval mode.
        largest: absolute value of the textbook's logits.
        gradients: largest |ours - theirs| / |theirs| (Euclidean norms) of all parameters, to the
            eager engine's, in training mode; None for the engine itself and for the textbook, whose
            parameters are others.
        parameter: where that is.
        compared: gradients bigger than rounding.
    """

    logits: float
    largest: float
    gradients: float | None = None
    parameter: str = ""
    compared: int = 0


def measure_equality(row: Row, contenders: Sequence[Contender], device: str) -> dict[str, Equality]:
    """By the contender's name, without dropout."""
    row = row.without_dropout()
    logits = infer(CONTENDERS["textbook"], row, device)
    theirs = gradients(CONTENDERS["eager"], row, device)
    equalities = {}
    for contender in contenders:
        difference = (infer(contender, row, device) - logits).abs().max()
        equality = Equality(float(difference), float(logits.abs().max()))
        equalities[contender.name] = equality
        if not contender.textbook and contender.name != "eager":
            distances = distance(gradients(contender, row, device), theirs)
            equality.parameter = max(distances, key=lambda name: distances[name])
            equality.gradients = distances[equality.parameter]
            equality.compared = len(distances)
    return equalities


@torch.inference_mode()
def infer(contender: Contender, row: Row, device: str) -> Tensor:
    model = contender.build(row, device).eval()
    with contender.precision(device):
        return model(row.inputs(device)).logits.float()


def gradients(contender: Contender, row: Row, device: str) -> dict[str, Tensor]:
    """Of a smooth function: the two-tick loss picks ticks, and rounding may pick others."""
    model: nn.Module = contender.build(row, device).train()
    with contender.precision(device):
        logits = model(row.inputs(device)).logits.float()
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    (logits * direction.to(device)).mean().backward()
    return {
        name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None
    }


def distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, float]:
    """|ours - theirs| / |theirs| by name, where theirs is bigger than rounding."""
    norms = {name: float(their.norm()) for name, their in theirs.items()}
    least = ROUNDING * max(norms.values())
    return {
        name: float((ours[name] - theirs[name]).norm()) / norm
        for name, norm in norms.items()
        if norm > least
    }
