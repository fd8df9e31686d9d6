"""Backbones against plain functions."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctm.errors import ConfigError
from ctm.layers.backbones import NumberEmbedding, ShallowWide, SignEmbedding, SmallConv
from tests import textbook
from tests.build import generator, perturbed


def batch_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """In eval mode, by the formula."""
    assert isinstance(norm, nn.BatchNorm2d)
    mean, variance, weight, bias = (
        value.view(1, -1, 1, 1)
        for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        if value is not None
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def convolved(conv: nn.Module, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    return F.conv2d(x, conv.weight, conv.bias, stride=stride, padding=1, groups=groups)


def image(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(1), dtype=torch.float64)


def test_plus_is_row_one_and_minus_row_zero() -> None:
    backbone = perturbed(SignEmbedding(width=4))
    features = backbone(torch.tensor([[1.0, -1.0, 1.0]], dtype=torch.float64))
    minus, plus = backbone.embedding.weight
    assert features[0].T.equal(torch.stack((plus, minus, plus)))


def test_each_number_has_a_token_of_its_own() -> None:
    backbone = perturbed(NumberEmbedding(width=4))
    numbers = image(2, 5)
    weights = dict(backbone.named_parameters())
    for example in range(2):
        for place in range(5):
            expected = textbook.linear(weights, "projection", numbers[example, place].view(1))
            torch.testing.assert_close(backbone(numbers)[example, :, place], expected)


def test_small_convolutions_keep_the_size() -> None:
    backbone = perturbed(SmallConv(channels=2, widths=[3, 4]))
    x = image(2, 2, 5, 3)
    first, first_norm, _, second, second_norm, _ = backbone.layers
    hidden = batch_norm(first_norm, convolved(first, x)).clamp_min(0)
    expected = batch_norm(second_norm, convolved(second, hidden)).clamp_min(0)
    assert expected.shape == (2, 4, 5, 3)
    torch.testing.assert_close(backbone(x), expected)
    assert (backbone.width, backbone.grid(5, 3)) == (4, (5, 3))


@pytest.mark.parametrize("widths", [[], [4, 0]])
def test_convolutions_without_width_are_refused(widths: list[int]) -> None:
    with pytest.raises(ConfigError, match="widths="):
        SmallConv(channels=1, widths=widths)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 3)])
def test_shallow_wide_is_two_gated_convolutions(height: int, width: int) -> None:
    backbone = perturbed(ShallowWide(channels=3)).float()
    first, _, first_norm, second, _, second_norm = backbone.layers
    x = image(2, 3, height, width).float()
    with torch.no_grad():
        wide, gate = convolved(first, x, stride=2).chunk(2, dim=1)
        hidden = batch_norm(first_norm, wide * textbook.sigmoid(gate))
        wide, gate = convolved(second, hidden, groups=32).chunk(2, dim=1)
        expected = batch_norm(second_norm, wide * textbook.sigmoid(gate))
        features = backbone(x)
    assert features.shape == (2, 2048, *backbone.grid(height, width))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
    assert backbone.width == 2048


def test_shallow_wide_has_its_number_of_parameters() -> None:
    first = 4096 * 3 * 3 * 3 + 4096
    second = 4096 * (2048 // 32) * 3 * 3 + 4096
    norms = 2 * 2 * 2048
    with torch.device("meta"):
        backbone = ShallowWide(channels=3)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == first + second + norms
