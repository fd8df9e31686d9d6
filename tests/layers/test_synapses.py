"""Synapses: their widths and shapes. What they compute: tests/models/test_equality.py."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from ctm.layers.synapses import MLPSynapse, UNetSynapse, synapse
from tests.build import generator, perturbed

WIDTHS = {
    (48, 4): [48, 37, 26, 16],
    (64, 3): [64, 40, 16],
    (40, 2): [40, 16],
    (16, 3): [16, 16, 16],
    (10, 3): [10, 13, 16],
    (2048, 8): [2048, 1757, 1467, 1177, 886, 596, 306, 16],
}


def linear_shapes(module: nn.Module) -> list[tuple[int, int]]:
    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return [(linear.in_features, linear.out_features) for linear in linears]


@pytest.mark.parametrize(("neurons", "depth"), WIDTHS)
def test_widths_go_evenly_down_to_sixteen_and_back(neurons: int, depth: int) -> None:
    with torch.device("meta"):
        unet = UNetSynapse(d_in=7, neurons=neurons, depth=depth)
    widths = WIDTHS[neurons, depth]
    steps = list(pairwise(widths))
    assert linear_shapes(unet.first) == [(7, neurons)]
    assert linear_shapes(unet.down) == steps
    assert linear_shapes(unet.up) == [(narrow, wide) for wide, narrow in steps]
    norms = [norm.normalized_shape for norm in unet.norms if isinstance(norm, nn.LayerNorm)]
    assert norms == [(wide,) for wide, _ in steps]


def test_depth_one_is_a_gated_layer() -> None:
    shallow = synapse(d_in=7, neurons=5, depth=1, dropout=0.0)
    assert isinstance(shallow, MLPSynapse)
    assert linear_shapes(shallow) == [(7, 10)]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_an_output_reaches_back_to_every_input(depth: int) -> None:
    module = perturbed(synapse(d_in=7, neurons=5, depth=depth, dropout=0.0))
    x = torch.randn(7, generator=generator(1), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda row: module(row.unsqueeze(0))[0], x)
    assert isinstance(jacobian, torch.Tensor)
    assert jacobian.shape == (5, 7)
    assert (jacobian != 0).all()


@pytest.mark.parametrize("depth", [1, 3])
def test_dropout_acts_in_training_only(depth: int) -> None:
    module = perturbed(synapse(d_in=7, neurons=5, depth=depth, dropout=0.5))
    x = torch.randn(4, 7, generator=generator(1), dtype=torch.float64)
    assert module(x).equal(module(x))
    assert not module.train()(x).equal(module.eval()(x))
