"""Answering at all ticks at once: the gradient is that of a plain linear layer."""

import pytest
import torch
from torch import Tensor, nn

from ctm.layers.fast.answer import answer_all
from tests.build import generator

BATCH, TICKS, PAIRS, OUTPUTS = 3, 5, 4, 2
ROWS = BATCH * TICKS


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def layer() -> nn.Linear:
    made = nn.Linear(PAIRS, OUTPUTS, dtype=torch.float64)
    with torch.no_grad():
        made.weight.copy_(random(OUTPUTS, PAIRS, seed=1))
        made.bias.copy_(random(OUTPUTS, seed=2))
    return made


def both(dlogits: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Logits and gradients of sync, weight and bias: ours, and those of a plain layer."""
    found = []
    for answer in (answer_all, lambda layer, sync: layer(sync)):
        plain, sync = layer(), random(BATCH, TICKS, PAIRS).requires_grad_()
        logits = answer(plain, sync)
        grads = torch.autograd.grad(logits, [sync, plain.weight, plain.bias], dlogits)
        found.append([logits, *grads])
    return found[0], found[1]


@pytest.mark.parametrize("rows", [[], [0], [4, 7], [14], list(range(ROWS))])
def test_whichever_rows_have_a_gradient_it_is_that_of_a_linear_layer(rows: list[int]) -> None:
    dlogits = torch.zeros(ROWS, OUTPUTS, dtype=torch.float64)
    dlogits[rows] = random(len(rows), OUTPUTS, seed=3)
    ours, plain = both(dlogits.view(BATCH, TICKS, OUTPUTS))
    for our, want in zip(ours, plain, strict=True):
        torch.testing.assert_close(our, want)


def test_a_gradient_of_one_output_alone_counts() -> None:
    dlogits = torch.zeros(BATCH, TICKS, OUTPUTS, dtype=torch.float64)
    dlogits[1, 2, 1] = -1e-300
    ours, plain = both(dlogits)
    assert ours[1].any()
    for our, want in zip(ours, plain, strict=True):
        torch.testing.assert_close(our, want, atol=0, rtol=1e-9)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_reaches_the_weights(bad: float) -> None:
    """A run that diverges must see it."""
    dlogits = torch.zeros(BATCH, TICKS, OUTPUTS, dtype=torch.float64)
    dlogits[0, 3, 1] = bad
    (_, dsync, dweight, dbias), _ = both(dlogits)
    assert not dsync[0, 3].isfinite().any()
    assert not dweight[1].isfinite().any()
    assert not dbias[1].isfinite()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_any_layout_of_what_comes_is_equal(order: tuple[int, int, int]) -> None:
    """As the synchronisation of all ticks comes: its axes exchanged in memory."""
    sizes = (BATCH, TICKS, PAIRS)
    back = [order.index(axis) for axis in range(3)]
    sync = random(*(sizes[axis] for axis in order)).permute(back).requires_grad_()
    assert sync.shape == sizes
    logits = answer_all(layer(), sync)
    torch.testing.assert_close(logits, layer()(sync))
    one = random(1, OUTPUTS, seed=3).expand(BATCH, TICKS, OUTPUTS)  # an expanded gradient
    (ours,) = torch.autograd.grad(logits, sync, one)
    (plain,) = torch.autograd.grad(layer()(sync), sync, one)
    torch.testing.assert_close(ours, plain)


def test_no_examples_give_gradients_of_zero() -> None:
    plain = layer()
    answer_all(plain, random(0, TICKS, PAIRS).requires_grad_()).sum().backward()
    assert plain.weight.grad is not None
    assert not plain.weight.grad.any()


def test_sums_of_another_precision_are_brought_to_the_weights() -> None:
    plain = layer().bfloat16()
    logits = answer_all(plain, random(BATCH, TICKS, PAIRS).float())
    assert logits.dtype == torch.bfloat16
