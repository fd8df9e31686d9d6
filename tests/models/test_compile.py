"""Machines compile into one graph each, and the compiled ones think and learn the same.

Run without run-time shape checks, which `torch.compile` can't see through: see tests/conftest.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ctm.losses import TwoTickLoss
from tests.build import VARIANTS, Variant

TWO_TICKS = {
    name: Variant(replace(variant.config, ticks=2), variant.spec)
    for name, variant in VARIANTS.items()
}
each_variant = pytest.mark.parametrize("name", TWO_TICKS)


@pytest.fixture(autouse=True)
def forget_graphs() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def gradients(model: nn.Module, value: Tensor) -> dict[str, Tensor]:
    named = dict(model.named_parameters())
    found = torch.autograd.grad(
        value, list(named.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(named, found, strict=True))


def assert_same_gradients(ours: dict[str, Tensor], compiled: dict[str, Tensor]) -> None:
    for name, gradient in ours.items():
        torch.testing.assert_close(
            compiled[name],
            gradient,
            rtol=1e-4,
            atol=1e-5,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def graphs_and_breaks(function: Callable[..., Any], *inputs: Any) -> tuple[int, int]:
    explained = torch._dynamo.explain(function)(*inputs)
    return explained.graph_count, explained.graph_break_count


@each_variant
def test_a_machine_compiled_whole_thinks_and_learns_the_same(name: str) -> None:
    """In training mode, where stored decays are moved back and BatchNorm counts."""
    model, loss = TWO_TICKS[name].model().train(), TwoTickLoss()
    inputs, targets = TWO_TICKS[name].inputs(), TWO_TICKS[name].targets()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    ours = model(inputs)
    our_gradients = gradients(model, loss(ours, targets))
    theirs = compiled(inputs)
    torch.testing.assert_close(theirs.logits, ours.logits)
    torch.testing.assert_close(theirs.certainty, ours.certainty)
    assert_same_gradients(our_gradients, gradients(model, loss(theirs, targets)))


@each_variant
def test_compile_sees_one_graph_in_a_whole_pass(name: str) -> None:
    assert graphs_and_breaks(TWO_TICKS[name].model(), TWO_TICKS[name].inputs()) == (1, 0)


@each_variant
def test_compile_sees_one_graph_in_a_tick(name: str) -> None:
    model, inputs = TWO_TICKS[name].model(), TWO_TICKS[name].inputs()
    state, reading = model.start(len(inputs)), model.readings(inputs, 1)[0]
    assert graphs_and_breaks(model.tick, state, reading) == (1, 0)


def test_a_machine_of_stretches_compiled_whole_learns_the_same() -> None:
    parity = TWO_TICKS["parity"]
    stretched = Variant(replace(parity.config, ticks=3, checkpoint_ticks=2), parity.spec)
    model, inputs = stretched.model(), stretched.inputs()
    compiled = torch.compile(model, backend="aot_eager")
    ours, theirs = (each(inputs).logits.square().sum() for each in (model, compiled))
    torch.testing.assert_close(theirs, ours)
    assert_same_gradients(gradients(model, ours), gradients(model, theirs))


def test_a_tick_compiled_by_inductor_thinks_and_learns_the_same() -> None:
    parity = TWO_TICKS["parity"]
    model, inputs = parity.model(), parity.inputs()
    compiled = torch.compile(model.tick, fullgraph=True)
    logits = []
    for tick in (model.tick, compiled):
        reading = model.readings(inputs, 1)[0]
        state = tick(model.tick(model.start(len(inputs)), reading), reading)
        logits.append(model.predict(model.sync_out(state.out).unsqueeze(1)))
    ours, theirs = logits
    torch.testing.assert_close(theirs, ours)
    assert_same_gradients(
        gradients(model, ours.square().sum()), gradients(model, theirs.square().sum())
    )
