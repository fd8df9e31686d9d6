"""Synapses ready to be repeated equal the ones they were made of."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ctm.layers.fast.synapses import RepeatedBlock, RepeatedUNet, repeated_synapse
from ctm.layers.synapses import UNetSynapse, synapse
from tests.build import generator, perturbed


def made(depth: int, dropout: float = 0.0) -> nn.Module:
    return perturbed(synapse(d_in=7, neurons=20, depth=depth, dropout=dropout))


def given(seed: int = 1, batch: int = 3) -> Tensor:
    values = torch.randn(batch, 7, generator=generator(seed), dtype=torch.float64)
    return values.requires_grad_()


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_outputs_and_gradients_are_equal(depth: int, batch: int) -> None:
    plain, x = made(depth), given(batch=batch)
    found = []
    for used in (plain, repeated_synapse(plain)):
        ys = [used(x), used(-x), used(2 * x)]
        loss = ys[0].square().sum() + ys[1].sum()  # of the last nothing is asked
        found.append([*ys, *torch.autograd.grad(loss, [x, *plain.parameters()])])
    for ours, want in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, want)


def test_without_gradients_it_is_equal_to_the_bit() -> None:
    plain, x = made(3), given()
    with torch.no_grad():
        assert repeated_synapse(plain)(x).equal(repeated_synapse(plain)(x.requires_grad_()))


def test_a_u_net_is_one_node_of_the_graph() -> None:
    """And each tick keeps its own values: they may run backwards in any order."""
    plain = made(4)
    used, xs = repeated_synapse(plain), [given(k) for k in range(3)]
    ys = [used(x) for x in xs]
    for k in (1, 2, 0):
        assert node(ys[k]).next_functions[0][0] is node(xs[k].view_as(xs[k])).next_functions[0][0]
        (ours,) = torch.autograd.grad(ys[k].square().sum(), xs[k], retain_graph=True)
        (want,) = torch.autograd.grad(plain(xs[k]).square().sum(), xs[k])
        torch.testing.assert_close(ours, want)


def node(y: Tensor) -> Any:
    return y.grad_fn


@pytest.mark.parametrize("depth", [1, 3])
def test_gradients_with_dropout_pass_gradcheck(depth: int) -> None:
    plain = made(depth, dropout=0.3).train()

    def use(x: Tensor, *_: Tensor) -> Tensor:
        torch.manual_seed(0)
        used = repeated_synapse(plain)
        return used(x) + used(-x)

    assert torch.autograd.gradcheck(use, (given(), *plain.parameters()))


def test_dropout_keeps_the_expectation_of_a_linear_way() -> None:
    """Of the first layer's inputs none are dropped, of every later layer's a share."""
    block = nn.Sequential(nn.Dropout(0.25), nn.Linear(6, 5), nn.LayerNorm(5), nn.SiLU())
    used, x = RepeatedBlock(block.double()), torch.ones(4000, 6, dtype=torch.float64)
    trail: list[Tensor | None] = []
    torch.manual_seed(0)
    used.forward(trail, x)
    dropped = trail[1]
    assert dropped is not None
    assert set(dropped.unique().tolist()) == {0.0, 1 / 0.75}
    assert abs(dropped.mean().item() - 1) < 0.02
    whole = made(3, dropout=0.3).train()
    assert isinstance(whole, UNetSynapse)
    assert RepeatedUNet(whole).first.dropout.kept == 1


def test_in_evaluation_nothing_is_dropped() -> None:
    plain, x = made(3, dropout=0.5).eval(), given()
    torch.testing.assert_close(repeated_synapse(plain)(x), plain(x))


def test_a_synapse_of_another_kind_is_used_as_it_is() -> None:
    other = nn.Bilinear(1, 1, 1)
    assert repeated_synapse(other) is other
