"""From inputs to tokens."""

import pytest
import torch

from ctm.errors import ConfigError
from ctm.layers.backbones import SignEmbedding, SmallConv
from ctm.layers.encoders import RawEncoder, TokenEncoder, check_positions
from ctm.layers.positions import Positions
from tests import textbook
from tests.build import generator, perturbed


@pytest.mark.parametrize("positions", [Positions.none, Positions.rotational_2d, Positions.fourier])
def test_tokens_are_the_cells_row_by_row(positions: Positions) -> None:
    backbone = SmallConv(channels=2, widths=[5])
    encoder = perturbed(TokenEncoder(backbone=backbone, positions=positions, d_input=4))
    image = torch.randn(2, 2, 3, 4, generator=generator(1), dtype=torch.float64)
    features, weights = backbone(image), dict(encoder.named_parameters())
    tokens = encoder(image)
    assert tokens.shape == (2, 12, 4)
    assert encoder.grid(3, 4) == (3, 4)
    for row in range(3):
        for column in range(4):
            cell = features[:, :, row, column]
            if encoder.positions is not None:
                cell = cell + encoder.positions(3, 4)[4 * row + column]
            projected = textbook.linear(weights, "project.0", cell)
            expected = textbook.layer_norm(weights, "project.1", projected)
            torch.testing.assert_close(tokens[:, 4 * row + column], expected)


def test_positions_tell_equal_signs_apart() -> None:
    signs = torch.ones(1, 6, dtype=torch.float64)
    for positions, alike in ((Positions.none, True), (Positions.rotational_1d, False)):
        backbone = SignEmbedding(width=4)
        encoder = perturbed(TokenEncoder(backbone=backbone, positions=positions, d_input=4))
        tokens = encoder(signs)[0]
        assert tokens[0].equal(tokens[3]) == alike


def test_whole_numbers_are_read_in_the_weights_precision() -> None:
    encoder = perturbed(
        TokenEncoder(
            backbone=SmallConv(channels=1, widths=[3]), positions=Positions.none, d_input=4
        )
    )
    image = torch.arange(8, dtype=torch.float32).view(1, 1, 2, 4)
    assert encoder(image).equal(encoder(image.double()))


def test_a_raw_encoder_hands_on_what_it_is_given() -> None:
    inputs = torch.randn(2, 3, generator=generator(1))
    assert RawEncoder()(inputs) is inputs


@pytest.mark.parametrize(
    ("positions", "axes", "fitting"),
    [
        (Positions.rotational_1d, 2, "none, fourier, multi_fourier, rotational_2d"),
        (Positions.rotational_2d, 1, "none, rotational_1d"),
        (Positions.multi_fourier, 1, "none, rotational_1d"),
    ],
)
def test_positions_of_other_axes_are_refused_with_those_that_fit(
    positions: Positions, axes: int, fitting: str
) -> None:
    with pytest.raises(ConfigError, match=f"positions={positions}.*choose one of {fitting}$"):
        check_positions(positions, axes)
    check_positions(Positions.none, axes)
