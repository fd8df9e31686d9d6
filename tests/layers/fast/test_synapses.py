"""Synapses ready to be repeated equal the ones they were made of."""

import pytest
import torch
from torch import nn

from ctm.layers.fast.synapses import repeated_synapse
from ctm.layers.synapses import synapse
from tests.build import generator, perturbed


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_gradients_are_equal(depth: int, training: bool) -> None:
    """With dropout the same masks: it is the synapse's own."""
    plain = perturbed(synapse(d_in=7, neurons=20, depth=depth, dropout=0.3)).train(training)
    x = torch.randn(3, 7, generator=generator(1), dtype=torch.float64).requires_grad_()
    found = []
    for used in (plain, repeated_synapse(plain)):
        torch.manual_seed(0)
        ys = [used(x), used(-x)]
        loss = ys[0].square().sum() + ys[1].sum()
        found.append([*ys, *torch.autograd.grad(loss, [x, *plain.parameters()])])
    for ours, want in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, want)


def test_a_synapse_of_another_kind_is_used_as_it_is() -> None:
    other = nn.Bilinear(1, 1, 1)
    assert repeated_synapse(other) is other
