"""A linear layer used at every tick equals torch's, used as often."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ctm.layers.fast import linear
from ctm.layers.fast.linear import ENOUGH_ROWS, RepeatedLinear, onednn_takes, repeated
from tests.build import generator

D_IN, D_OUT = 6, 4


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def layer(dtype: torch.dtype = torch.float64) -> nn.Linear:
    made = nn.Linear(D_IN, D_OUT)
    with torch.no_grad():
        made.weight.copy_(random(D_OUT, D_IN, seed=1))
        made.bias.copy_(random(D_OUT, seed=2))
    return made.to(dtype)


def uses(batch: int, count: int, dtype: torch.dtype) -> list[Tensor]:
    return [random(batch, D_IN, seed=k).to(dtype).requires_grad_() for k in range(count)]


def gradients(plain: nn.Linear, ys: list[Tensor], xs: list[Tensor]) -> tuple[Tensor, ...]:
    loss = sum(((k + 1) * y.square()).sum() for k, y in enumerate(ys))
    return torch.autograd.grad(loss, [*xs, plain.weight, plain.bias])  # pyright: ignore


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("batch", "count"), [(1, 1), (1, 5), (3, 5), (ENOUGH_ROWS // 2, 5), (0, 2)]
)
def test_many_uses_give_the_outputs_and_gradients_of_torchs_layer(
    batch: int, count: int, dtype: torch.dtype, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "LARGE", 1 if onednn else 10**9)
    plain, xs = layer(dtype), uses(batch, count, dtype)
    often = RepeatedLinear(plain.weight, plain.bias)
    assert (often.product.packed is not None) == (onednn and onednn_takes(plain.weight))
    ys, wanted = [often(x) for x in xs], [plain(x) for x in xs]
    for y, want in zip(ys, wanted, strict=True):
        torch.testing.assert_close(y, want)
    ours, theirs = gradients(plain, ys, xs), gradients(plain, wanted, xs)
    for gradient, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, want, rtol=1e-5, atol=1e-4 * batch)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_layout_of_inputs_and_gradients_is_equal(dtype: torch.dtype) -> None:
    plain = layer(dtype)
    often = RepeatedLinear(plain.weight, plain.bias)
    x = random(D_IN, 3).to(dtype).t().requires_grad_()  # columns first
    assert not x.is_contiguous()
    for dy in (
        torch.ones((), dtype=dtype).expand(3, D_OUT),  # as `sum` gives it
        random(D_OUT, 3).to(dtype).t(),
        random(3, 2 * D_OUT).to(dtype)[:, ::2],
    ):
        ours = torch.autograd.grad(often(x), [x, plain.weight, plain.bias], dy)
        theirs = torch.autograd.grad(plain(x), [x, plain.weight, plain.bias], dy)
        for gradient, want in zip(ours, theirs, strict=True):
            torch.testing.assert_close(gradient, want)


@pytest.mark.parametrize("frozen", [("weight",), ("bias",), ("weight", "bias")])
def test_frozen_parameters_have_no_gradient_and_the_rest_theirs(frozen: tuple[str, ...]) -> None:
    plain, (x,) = layer(), uses(3, 1, torch.float64)
    for name in frozen:
        plain.get_parameter(name).requires_grad_(False)
    RepeatedLinear(plain.weight, plain.bias)(x).square().sum().backward()
    ours = {name: value.grad for name, value in plain.named_parameters()} | {"x": x.grad}
    plain.zero_grad()
    x.grad = None
    plain(x).square().sum().backward()
    for name, want in {**{n: v.grad for n, v in plain.named_parameters()}, "x": x.grad}.items():
        if want is None:
            assert ours[name] is None, name
        else:
            torch.testing.assert_close(ours[name], want)


def test_inputs_without_a_gradient_are_fine() -> None:
    plain, x = layer(), random(3, D_IN)
    RepeatedLinear(plain.weight, plain.bias)(x).sum().backward()
    torch.testing.assert_close(plain.weight.grad, x.sum(0).expand(D_OUT, -1))


def test_weights_made_for_the_pass_pass_their_gradient_on() -> None:
    left, right = random(D_OUT, 3).requires_grad_(), random(3, D_IN).requires_grad_()
    often = RepeatedLinear(left @ right, torch.zeros(D_OUT, dtype=torch.float64))
    (x,) = uses(5, 1, torch.float64)
    ours = torch.autograd.grad(often(x).square().sum(), [left, right])
    theirs = torch.autograd.grad((x @ (left @ right).T).square().sum(), [left, right])
    for gradient, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, want)


def test_a_cpu_without_bfloat16_multiplies_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """OneDNN refuses such products there."""
    monkeypatch.setattr(linear, "LARGE", 1)
    mkldnn: Any = torch.ops.mkldnn
    monkeypatch.setattr(mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    plain = layer(torch.bfloat16)
    assert not onednn_takes(plain.weight)
    assert onednn_takes(plain.weight.float())
    (x,) = uses(3, 1, torch.bfloat16)
    torch.testing.assert_close(RepeatedLinear(plain.weight, plain.bias)(x), plain(x))


def test_onednn_is_not_used_for_small_weights() -> None:
    assert not onednn_takes(torch.zeros(linear.LARGE // 64 - 1, 64))
    assert onednn_takes(torch.zeros(linear.LARGE // 64, 64))


def test_onednn_switched_off_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "LARGE", 1)
    with torch.backends.mkldnn.flags(enabled=False):
        assert not onednn_takes(layer(torch.float32).weight)


def test_other_layers_of_a_sequence_are_left_as_they_are() -> None:
    plain = nn.Sequential(layer(), nn.LayerNorm(D_OUT, dtype=torch.float64), nn.SiLU())
    chain = repeated(plain)
    assert isinstance(chain.layers[0], RepeatedLinear)
    assert chain.layers[1:] == list(plain)[1:]
    (x,) = uses(3, 1, torch.float64)
    torch.testing.assert_close(chain(x), plain(x))
