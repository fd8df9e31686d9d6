"""Gradients of many ticks in one product equal their sum, tick by tick."""

import pytest
import torch
from torch import Tensor

from ctm.layers.fast.gather import Summed, WeightGradient, token
from tests.build import generator


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def linear(*, enough: int) -> WeightGradient:
    return WeightGradient(torch.empty(2, 5), torch.empty(5), enough=enough)


@pytest.mark.parametrize("many", [(), (4,)])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("enough", [1, 5, 6, 1000])
@pytest.mark.parametrize("ticks", [1, 2, 7])
def test_the_sums_are_those_of_all_shares(
    many: tuple[int, ...], transposed: bool, enough: int, ticks: int
) -> None:
    weight = torch.empty(*many, *((5, 2) if transposed else (2, 5)))
    gradient = WeightGradient(weight, torch.empty(*many, 5), enough=enough, transposed=transposed)
    shares = [(random(*many, 3, 2, seed=k), random(*many, 3, 5, seed=50 + k)) for k in range(ticks)]
    for x, dy in shares:
        gradient.add(x, dy)
    weight, bias = gradient.gathered()
    products = [torch.einsum("...ri,...ro->...io", x, dy) for x, dy in shares]
    wanted = torch.stack(products).sum(0)
    torch.testing.assert_close(weight, wanted.mT if transposed else wanted)
    torch.testing.assert_close(bias, torch.stack([dy.sum(-2) for _, dy in shares]).sum(0))


def test_it_waits_for_enough_rows_and_no_longer() -> None:
    gradient = linear(enough=6)
    for count, waiting in ((1, 3), (2, 0), (3, 3)):
        gradient.add(random(3, 2), random(3, 5))
        assert gradient.waiting == waiting, count


def test_a_share_may_be_written_where_it_waits() -> None:
    placed, added = linear(enough=9), linear(enough=9)
    for tick in range(5):
        shares = random(3, 2, seed=tick), random(3, 5, seed=50 + tick)
        for place, share in zip(placed.place(*shares), shares, strict=True):
            place.copy_(share)
        placed.placed(3)
        added.add(*shares)
    for ours, want in zip(placed.gathered(), added.gathered(), strict=True):
        assert ours.equal(want)


def test_gradients_that_are_finished_are_added_up() -> None:
    gradient = Summed(torch.empty(2), torch.empty(3))
    shares = [(random(2, seed=k), random(3, seed=50 + k)) for k in range(3)]
    for each in shares:
        gradient.add(*(share.clone() for share in each))
    for ours, theirs in zip(gradient.gathered(), zip(*shares, strict=True), strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs).sum(0))
    assert gradient.gathered() == []


def test_what_was_gathered_is_forgotten() -> None:
    gradient = linear(enough=1)
    gradient.add(random(3, 2), random(3, 5))
    first = gradient.gathered()
    assert gradient.gathered() == []
    gradient.add(random(3, 2), random(3, 5))
    for again, before in zip(gradient.gathered(), first, strict=True):
        assert again.equal(before)
        assert again.data_ptr() != before.data_ptr()


def test_without_a_bias_there_is_no_sum_of_it() -> None:
    gradient = WeightGradient(torch.empty(2, 5), enough=1)
    gradient.add(random(3, 2), random(3, 5))
    assert len(gradient.gathered()) == 1


@pytest.mark.parametrize("many", [(), (2,)])
def test_sums_of_half_precision_are_kept_in_float32(many: tuple[int, ...]) -> None:
    """A thousand shares of which each is lost beside the sum in bfloat16."""
    gradient = WeightGradient(torch.empty(*many, 1, 1), torch.empty(*many, 1), enough=1)
    one = torch.ones(*many, 1, 1, dtype=torch.bfloat16)
    for _ in range(1000):
        gradient.add(one, one)
    for total in gradient.gathered():
        assert total.dtype == torch.float32
        assert (total == 1000).all()


def test_no_shares_give_no_gradient() -> None:
    weight = random(2, 5).requires_grad_()
    made = token(WeightGradient(weight, enough=1))
    assert made.shape == ()
    made.backward()
    assert weight.grad is None


class Share(torch.autograd.Function):
    """A tick that leaves ones, whatever its gradient."""

    @staticmethod
    def forward(ctx, made: Tensor, gradient: WeightGradient) -> Tensor:  # pyright: ignore
        ctx.gradient = gradient
        return made.clone()

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:  # pyright: ignore
        ctx.gradient.add(torch.ones(1, 2), torch.ones(1, 5))
        return torch.zeros(()), None


def test_the_sum_is_handed_over_after_all_ticks() -> None:
    weight = torch.zeros(2, 5, requires_grad=True)
    gradient = WeightGradient(weight, enough=100)
    made = token(gradient)
    torch.stack([Share.apply(made, gradient) for _ in range(4)]).sum().backward()
    assert weight.grad is not None
    assert (weight.grad == 4).all()


@pytest.mark.parametrize("enough", [1, 100])
def test_what_a_run_for_other_weights_left_is_no_part_of_the_next(enough: int) -> None:
    weight, other = torch.zeros(2, 5, requires_grad=True), torch.zeros((), requires_grad=True)
    gradient = WeightGradient(weight, enough=enough)
    made = token(gradient)
    total = Share.apply(made + other, gradient) + Share.apply(made + other, gradient)
    torch.autograd.grad(total, other, retain_graph=True)
    total.backward()
    assert weight.grad is not None
    assert (weight.grad == 2).all()
