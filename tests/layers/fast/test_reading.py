"""Attention at every tick of a pass equals the plain reading, asked as often."""

import pytest
import torch
from torch import Tensor

from ctm.layers.fast.reading import ENOUGH_TICKS, RepeatedAttention
from ctm.layers.reading import AttentionReader
from tests.build import generator, perturbed

PAIRS, D_INPUT = 5, 6


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def reader(heads: int = 2, dropout: float = 0.0) -> AttentionReader:
    return perturbed(AttentionReader(pairs=PAIRS, d_input=D_INPUT, heads=heads, dropout=dropout))


@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("ticks", [1, 4, ENOUGH_TICKS, ENOUGH_TICKS + 3])
@pytest.mark.parametrize(("batch", "tokens"), [(1, 1), (3, 1), (1, 7), (3, 7), (0, 7)])
def test_outputs_and_gradients_are_equal(heads: int, ticks: int, batch: int, tokens: int) -> None:
    parts = reader(heads)
    data = random(batch, tokens, D_INPUT, seed=1).requires_grad_()
    asked = [random(batch, PAIRS, seed=9 + k).requires_grad_() for k in range(ticks)]
    found = []
    for make in (lambda reading: reading, RepeatedAttention):
        reading = make(parts(data))
        seen = [reading(each) for each in asked]
        loss = sum(((k + 1) * each.square()).sum() for k, each in enumerate(seen))
        grads = torch.autograd.grad(loss, [data, *asked, *parts.parameters()])  # pyright: ignore
        found.append([*seen, *grads])
    for ours, want in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, want)


@pytest.mark.parametrize("trained", ["query", "in_query", "in_key_value", "out", "data"])
def test_gradients_of_one_part_alone_are_equal(trained: str) -> None:
    parts = reader()
    for name, weight in parts.named_parameters():
        weight.requires_grad_(name.startswith(f"{trained}."))
    data = random(3, 7, D_INPUT, seed=1).requires_grad_(trained == "data")
    wanted = [each for each in (data, *parts.parameters()) if each.requires_grad]
    found = []
    for make in (lambda reading: reading, RepeatedAttention):
        reading = make(parts(data))
        loss = sum(reading(random(3, PAIRS, seed=k)).square().sum() for k in range(3))
        found.append(torch.autograd.grad(loss, wanted))  # pyright: ignore
    for ours, want in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, want)


def test_dropout_is_on_the_weights_of_the_attention() -> None:
    """What is seen is the values by their weights, some of them left out and the rest enlarged."""
    parts = reader(dropout=0.5).train()
    data, sync = random(3, 7, D_INPUT, seed=1), random(3, PAIRS)
    reading = parts(data)
    again = RepeatedAttention(reading)
    torch.manual_seed(8)
    seen = again(sync)
    torch.manual_seed(8)
    weights = reading.weights(sync)
    mask = again.mask(weights.flatten(0, 1).unsqueeze(1))
    assert mask is not None
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    dropped = weights * mask.view_as(weights)
    expected = torch.einsum("bhs,bhsd->bhd", dropped, reading.values).flatten(1)
    torch.testing.assert_close(seen, parts.out(expected))


def test_gradients_with_dropout_pass_gradcheck() -> None:
    parts = reader(dropout=0.4).train()
    data, sync = random(2, 4, D_INPUT, seed=1).requires_grad_(), random(2, PAIRS).requires_grad_()

    def ask(data: Tensor, sync: Tensor, *_: Tensor) -> Tensor:
        torch.manual_seed(2)
        reading = RepeatedAttention(parts(data))
        return reading(reading(sync)[:, :PAIRS])  # twice, one after the other

    assert torch.autograd.gradcheck(ask, (data, sync, *parts.parameters()))


def test_in_evaluation_nothing_is_dropped() -> None:
    reading = RepeatedAttention(reader(dropout=0.9).eval()(random(2, 4, D_INPUT)))
    assert reading.mask(random(2, 4)) is None
