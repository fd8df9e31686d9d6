"""Clipping, against torch's own and against NumPy's quantile."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD

from ctm.training.clipping import Clipper
from tests.build import generator
from tests.training.build import assert_same, fabric_of


class Clipped:
    """A tiny model under Fabric, whose gradients are set by hand."""

    def __init__(self, clipper: Clipper) -> None:
        self.fabric, self.clipper = fabric_of(), clipper
        layer = nn.Linear(3, 2)
        self.model, self.optimizer = self.fabric.setup(layer, SGD(layer.parameters(), lr=1.0))

    def clip(self, gradients: Sequence[Tensor]) -> tuple[list[Tensor], float]:
        """The gradients afterwards, and the norm that was told."""
        weights = list(self.model.parameters())
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        norm = self.clipper(self.fabric, self.model, self.optimizer)
        return [weight.grad for weight in weights if weight.grad is not None], norm.item()

    def limit(self, norm: float) -> float:
        """The norm that a gradient of this norm is clipped to."""
        return norm_of(self.clip(gradients_of(norm))[0])


def norm_of(gradients: Sequence[Tensor]) -> float:
    return torch.cat([gradient.flatten() for gradient in gradients]).norm().item()


def gradients_of(norm: float, seed: int = 0) -> list[Tensor]:
    """Of the sizes of the model's weights."""
    drawn = [torch.randn(shape, generator=generator(seed)) for shape in ((2, 3), (2,))]
    return [part * (norm / norm_of(drawn)) for part in drawn]


@pytest.mark.parametrize("norm", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_fixed_norm_clips_as_torch_does(norm: float, seed: int) -> None:
    gradients = gradients_of(2.5, seed)
    found, told = Clipped(Clipper(norm=norm)).clip(gradients)
    weights = [nn.Parameter(torch.zeros_like(part)) for part in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    total = nn.utils.clip_grad_norm_(weights, norm)
    assert_same(found, [weight.grad for weight in weights])
    assert told == total.item() == pytest.approx(2.5)


def test_without_a_limit_the_norm_is_told_and_nothing_changed() -> None:
    gradients = gradients_of(1e6)
    found, told = Clipped(Clipper()).clip(gradients)
    assert_same(found, gradients)
    assert told == pytest.approx(1e6)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    norms=st.lists(st.floats(0.01, 100), min_size=1, max_size=12),
    quantile=st.floats(0.01, 1),
    window=st.integers(1, 5),
)
def test_a_quantile_is_that_of_the_recent_norms(
    norms: list[float], quantile: float, window: int
) -> None:
    clipped = Clipped(Clipper(quantile=quantile, window=window))
    for place, norm in enumerate(norms):
        recent = norms[max(0, place + 1 - window) : place + 1]
        limit = float(np.nanquantile(recent, quantile))
        assert clipped.limit(norm) == pytest.approx(min(norm, limit), rel=1e-3)


def test_a_clipped_gradient_keeps_its_direction() -> None:
    clipped = Clipped(Clipper(quantile=0.5, window=3))
    clipped.limit(1.0)
    gradients = gradients_of(9.0, seed=1)
    found, told = clipped.clip(gradients)
    assert told == pytest.approx(9.0)
    scale = norm_of(found) / 9.0
    assert scale == pytest.approx(5 / 9, rel=1e-4)
    for part, gradient in zip(found, gradients, strict=True):
        torch.testing.assert_close(part, gradient * scale)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_is_not_remembered(bad: float) -> None:
    clipped = Clipped(Clipper(quantile=0.5, window=3))
    for norm in (1.0, bad, 3.0):
        clipped.limit(norm)
    assert clipped.limit(5.0) == pytest.approx(np.nanquantile([math.nan, 3.0, 5.0], 0.5), rel=1e-4)
    # and its place in the ring is used again
    assert clipped.limit(7.0) == pytest.approx(np.nanquantile([3.0, 5.0, 7.0], 0.5), rel=1e-4)


def test_norms_that_were_never_finite_poison_nothing_later() -> None:
    clipped = Clipped(Clipper(quantile=0.9, window=2))
    for _ in range(3):
        assert math.isnan(clipped.limit(math.nan))
    assert clipped.limit(2.0) == pytest.approx(2.0, rel=1e-4)


def test_a_gradient_of_zero_stays_zero() -> None:
    for clipper in (Clipper(), Clipper(norm=1.0), Clipper(quantile=0.5, window=4)):
        assert Clipped(clipper).limit(0.0) == 0.0


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_restored_clipper_goes_on(stop: int) -> None:
    norms = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6, 5.0]
    whole = Clipped(Clipper(quantile=0.4, window=3))
    expected = [whole.limit(norm) for norm in norms]
    first = Clipped(Clipper(quantile=0.4, window=3))
    found = [first.limit(norm) for norm in norms[:stop]]
    second = Clipped(Clipper(quantile=0.4, window=3))
    second.clipper.load_state_dict(first.clipper.state_dict())
    assert found + [second.limit(norm) for norm in norms[stop:]] == expected
