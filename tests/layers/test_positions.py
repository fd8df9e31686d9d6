"""Positional embeddings against their formulas, cell by cell."""

import cmath
import math

import pytest
import torch
from torch import Tensor

from ctm.layers.positions import (
    FourierPositions,
    MultiFourierPositions,
    RotationalPositions1d,
    RotationalPositions2d,
)
from tests import textbook
from tests.build import perturbed, started

WIDTH = 6
each_grid = pytest.mark.parametrize(("height", "width"), [(3, 4), (4, 2), (1, 3), (3, 1), (1, 1)])


def fourier_code(weights: textbook.Weights, x: float, y: float) -> Tensor:
    """Of one point, by the formula."""
    phases = [u * x + v * y for u, v in weights["waves.weight"].tolist()]
    features = [math.cos(phase) for phase in phases] + [math.sin(phase) for phase in phases]
    scaled = torch.tensor(features, dtype=torch.float64) / math.sqrt(256)
    hidden = textbook.glu(textbook.linear(weights, "mlp.0", scaled))
    return textbook.layer_norm(weights, "mlp.3", textbook.linear(weights, "mlp.2", hidden))


def fourier_codes(weights: textbook.Weights, height: int, width: int) -> Tensor:
    """Of every cell, row-major; x and y go from 0 to 1."""
    codes = []
    for row in range(height):
        for column in range(width):
            x, y = column / max(width - 1, 1), row / max(height - 1, 1)
            codes.append(fourier_code(weights, x, y))
    return torch.stack(codes)


@each_grid
def test_fourier_positions_follow_their_formula(height: int, width: int) -> None:
    positions = perturbed(FourierPositions(width=WIDTH))
    assert positions.waves.weight.shape == (128, 2)
    expected = fourier_codes(dict(positions.named_parameters()), height, width)
    torch.testing.assert_close(positions(height, width), expected)


@each_grid
def test_multi_scale_fourier_positions_are_a_mixture(height: int, width: int) -> None:
    positions = perturbed(MultiFourierPositions(width=WIDTH))
    shares = textbook.softmax(positions.mixture)
    expected = torch.zeros(height * width, WIDTH, dtype=torch.float64)
    for share, scale in zip(shares, positions.scales, strict=True):
        expected += share * fourier_codes(dict(scale.named_parameters()), height, width)
    torch.testing.assert_close(positions(height, width), expected)


def test_waves_start_as_wide_as_gamma_says() -> None:
    single = started(FourierPositions(width=WIDTH))
    assert single.waves.weight.std().item() == pytest.approx(2.5**2, rel=0.15)
    several = started(MultiFourierPositions(width=WIDTH))
    gammas = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    for scale, gamma in zip(several.scales, gammas, strict=True):
        assert isinstance(scale, FourierPositions)
        assert scale.waves.weight.std().item() == pytest.approx(gamma**-2, rel=0.2)
    assert several.mixture.softmax(0).tolist() == pytest.approx([0.1] * 10)


def turned_by(vector: tuple[float, float], step: int, steps: int) -> list[float]:
    """Counter-clockwise by `step` of `steps` equal angles from 0 to 180 degrees."""
    angle = math.radians(180 * step / (steps - 1)) if steps > 1 else 0.0
    turned = complex(*vector) * cmath.exp(1j * angle)
    return [turned.real, turned.imag]


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_rotational_positions_turn_up_to_down_along_a_sequence(length: int) -> None:
    positions = perturbed(RotationalPositions1d(width=WIDTH))
    codes = torch.tensor(
        [turned_by((0.0, 1.0), step, length) for step in range(length)], dtype=torch.float64
    )
    expected = textbook.linear(dict(positions.named_parameters()), "projection", codes)
    torch.testing.assert_close(positions(length), expected)


@each_grid
def test_rotational_positions_turn_a_learned_vector_by_row_and_by_column(
    height: int, width: int
) -> None:
    positions = perturbed(RotationalPositions2d(width=WIDTH))
    x, y = positions.start.tolist()
    codes = []
    for row in range(height):
        for column in range(width):
            codes.append(turned_by((x, y), row, height) + turned_by((x, y), column, width))
    expected = textbook.linear(
        dict(positions.named_parameters()), "projection", torch.tensor(codes, dtype=torch.float64)
    )
    torch.testing.assert_close(positions(height, width), expected)


def test_the_learned_vector_starts_upwards() -> None:
    assert started(RotationalPositions2d(width=WIDTH)).start.tolist() == [0.0, 1.0]
