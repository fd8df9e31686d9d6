"""Blocks equal torch's own encoder layer; rotated positions see distances alone."""

import pytest
import torch
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.layers.blocks import Block, SelfAttention, turn_by
from ctm.layers.encoders import grid_places
from tests.build import generator, perturbed

WIDTH, HEADS, TOKENS = 16, 4, 5


def tokens(seed: int = 1) -> Tensor:
    return torch.randn(3, TOKENS, WIDTH, generator=generator(seed), dtype=torch.float64)


def still() -> Tensor:
    """All tokens at one place."""
    return torch.zeros(TOKENS, 1, dtype=torch.long)


def test_a_block_without_positions_equals_torchs_encoder_layer() -> None:
    block = perturbed(Block(width=WIDTH, hidden=24, heads=HEADS))
    torchs = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 24, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    state = block.state_dict()
    names = {
        "self_attn.in_proj_weight": "attention.in_projection.weight",
        "self_attn.in_proj_bias": "attention.in_projection.bias",
        "self_attn.out_proj.weight": "attention.out.weight",
        "self_attn.out_proj.bias": "attention.out.bias",
        "norm1.weight": "attention_norm.weight",
        "norm1.bias": "attention_norm.bias",
        "norm2.weight": "mlp.0.weight",
        "norm2.bias": "mlp.0.bias",
        "linear1.weight": "mlp.1.weight",
        "linear1.bias": "mlp.1.bias",
        "linear2.weight": "mlp.3.weight",
        "linear2.bias": "mlp.3.bias",
    }
    torchs.load_state_dict({theirs: state[ours] for theirs, ours in names.items()})
    turn = turn_by(still(), WIDTH // HEADS, torch.float64)
    torch.testing.assert_close(block(tokens(), turn), torchs.train()(tokens()))


def test_without_positions_tokens_have_no_order() -> None:
    block = perturbed(Block(width=WIDTH, hidden=24, heads=HEADS))
    turn, order = turn_by(still(), WIDTH // HEADS, torch.float64), torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(block(tokens()[:, order], turn), block(tokens(), turn)[:, order])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_products_of_turned_vectors_depend_on_distances_alone(axes: int) -> None:
    d_head = 12
    q, k = torch.randn(2, d_head, generator=generator(2), dtype=torch.float64)
    places = torch.randint(0, 20, (2, axes), generator=generator(3))
    products = []
    for shift in (0, 1, 7):
        turn = turn_by(places + shift, d_head, torch.float64)
        turned = turn(torch.stack((q, k))[None, None])[0, 0]
        products.append(turned[0] @ turned[1])
    torch.testing.assert_close(torch.stack(products), products[0].expand(3))


@pytest.mark.parametrize("axis", [0, 1])
def test_both_axes_of_a_grid_are_told_apart(axis: int) -> None:
    turn = turn_by(grid_places((3, 3)), 8)
    at = turn.cos.view(3, 3, -1)
    assert not torch.allclose(at.select(axis, 0), at.select(axis, 2))


def test_turning_keeps_lengths_and_place_0_is_not_turned() -> None:
    x = torch.randn(1, 1, 4, 8, generator=generator(4))
    turned = turn_by(torch.arange(4).unsqueeze(1), 8)(x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])


def test_weights_are_the_softmax_that_the_output_is_made_of() -> None:
    attention = perturbed(SelfAttention(width=WIDTH, heads=HEADS, dropout=0.0))
    turn = turn_by(torch.arange(TOKENS).unsqueeze(1), WIDTH // HEADS, torch.float64)
    weights = attention.weights(tokens(), turn)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, HEADS, dtype=torch.float64))
    values = attention.in_projection(tokens())[..., 2 * WIDTH :].unflatten(-1, (HEADS, -1))
    seen = torch.einsum("bhs,bshd->bhd", weights, values).flatten(1)
    torch.testing.assert_close(attention(tokens(), turn)[:, 0], attention.out(seen))


@pytest.mark.parametrize("first", [1, 3])
def test_a_block_asked_for_its_first_tokens_gives_these_of_all(first: int) -> None:
    block = perturbed(Block(width=WIDTH, hidden=24, heads=HEADS))
    turn = turn_by(torch.arange(TOKENS).unsqueeze(1), WIDTH // HEADS, torch.float64)
    torch.testing.assert_close(block(tokens(), turn, first), block(tokens(), turn)[:, :first])


def test_a_width_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"width=12: want a multiple of 2 heads=4"):
        SelfAttention(width=12, heads=4, dropout=0.0)


@pytest.mark.parametrize(("d_head", "axes"), [(4, 2), (6, 3), (8, 3), (10, 2), (20, 3)])
def test_every_axis_turns_something(d_head: int, axes: int) -> None:
    for axis in range(axes):
        there = torch.zeros(1, axes, dtype=torch.long)
        there[0, axis] = 1
        assert (turn_by(there, d_head).sin != 0).any()


def test_heads_too_narrow_for_the_axes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"heads=2: tokens stand along 2 axes"):
        turn_by(grid_places((2, 2)), 2)
