"""Scenes that real, small, untrained machines made."""

import torch

from ctm.analysis.scene import Scene
from ctm.interface import InputKind, TaskSpec, Thoughts
from ctm.models.build import build_model
from ctm.models.config import ConvEncoderConfig, ParityEncoderConfig
from tests.build import generator, small

TICKS = 4
DIGITS = tuple("0123456789")


def think(settings, spec: TaskSpec, inputs: torch.Tensor) -> Thoughts:
    with torch.no_grad():
        return build_model(settings, spec).eval()(inputs, record=True)


def digit_thoughts(ticks: int = TICKS) -> tuple[Thoughts, torch.Tensor]:
    """Thoughts about two 8x8 pictures, a token a pixel, and the pictures."""
    images = torch.rand(2, 1, 8, 8, generator=generator(0))
    settings = small(ConvEncoderConfig(widths=[4]), ticks=ticks)
    return think(settings, TaskSpec(InputKind.image, (1, 8, 8), (10,)), images), images


def digit(ticks: int = TICKS) -> Scene:
    thoughts, images = digit_thoughts(ticks)
    return Scene.of(thoughts, 1, picture=images[1, 0], token_grid=(8, 8), target=3, labels=DIGITS)


def parity() -> Scene:
    signs = torch.randint(0, 2, (2, 16), generator=generator(0)) * 2.0 - 1
    thoughts = think(
        small(ParityEncoderConfig(), ticks=TICKS), TaskSpec(InputKind.signs, (16,), (16, 2)), signs
    )
    return Scene.of(
        thoughts,
        0,
        picture=signs[0].reshape(4, 4),
        token_grid=(4, 4),
        target=(signs[0] < 0).cumsum(0) % 2,
        labels=("even", "odd"),
    )
