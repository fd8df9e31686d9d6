"""First weights: as torch would draw them, from one generator."""

import math

import pytest
import torch
from torch import nn

from ctm.layers.initialize import initialize
from tests.build import generator, started


@pytest.mark.parametrize("layer", [nn.Linear(50, 60), nn.Conv2d(2, 60, 5)])
def test_weights_are_uniform_by_fan_in(layer: nn.Linear | nn.Conv2d) -> None:
    started(layer)
    assert layer.bias is not None
    for values in (layer.weight, layer.bias):
        bound = 1 / math.sqrt(50)
        assert values.abs().max() <= bound
        assert values.abs().max() > 0.9 * bound
    assert layer.weight.mean().abs() < 0.05 * bound


def test_embeddings_are_standard_normal() -> None:
    table = started(nn.Embedding(100, 50)).weight
    assert table.std().item() == pytest.approx(1, rel=0.05)
    assert table.mean().item() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("norm", [nn.LayerNorm(3), nn.BatchNorm2d(3)])
def test_norms_start_neutral(norm: nn.Module) -> None:
    with torch.no_grad():
        for value in norm.state_dict().values():
            value.fill_(7)
    started(norm)
    neutral = {"weight": 1, "running_var": 1}
    for name, value in norm.state_dict().items():
        assert (value == neutral.get(name, 0)).all(), name


def test_a_module_of_ours_has_the_last_word_about_its_parts() -> None:
    class Zeroed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def reset(self, generator: torch.Generator | None = None) -> None:
            nn.init.zeros_(self.inner.weight)

    zeroed = started(Zeroed())
    assert not zeroed.inner.weight.any()
    assert zeroed.inner.bias.any()


def test_parameters_that_nobody_can_start_are_an_error() -> None:
    unknown = nn.Sequential(nn.PReLU())
    with pytest.raises(TypeError, match="PReLU"), torch.no_grad():
        initialize(unknown, generator(0))
