"""The precision of products: autocast's for float32 weights, else the weights' own."""

import pytest
import torch

from ctm.layers.fast.precision import compute_dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_without_autocast_it_is_that_of_the_weight(dtype: torch.dtype) -> None:
    assert compute_dtype(torch.empty(1, dtype=dtype)) is dtype


@pytest.mark.parametrize("asked", [torch.bfloat16, torch.float16])
def test_autocast_decides_for_float32_alone(asked: torch.dtype) -> None:
    with torch.autocast("cpu", asked):
        assert compute_dtype(torch.empty(1)) is asked
        assert compute_dtype(torch.empty(1, dtype=torch.float64)) is torch.float64
        with torch.autocast("cpu", enabled=False):
            assert compute_dtype(torch.empty(1)) is torch.float32


def test_a_device_without_autocast_has_the_weights_own() -> None:
    assert compute_dtype(torch.empty(1, device="meta")) is torch.float32
