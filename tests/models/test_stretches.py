"""Ticks that are computed again in the backward pass: equal gradients, less memory."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves

from ctm.layers.fast.neurons import MANY
from ctm.models import stretches
from ctm.models.build import set_computation, set_engine
from ctm.models.config import Engine, VectorEncoderConfig
from ctm.models.machine import ContinuousThoughtMachine
from ctm.models.stretches import Stretches
from tests.build import VARIANTS, VECTOR, Variant, generator, variant

BIG = variant(VECTOR, VectorEncoderConfig(), ticks=24, neurons=64, memory_length=8, nlm_hidden=8)
ENGINES = (Engine.eager, Engine.fast)
each_engine = pytest.mark.parametrize("engine", ENGINES)
each_variant = pytest.mark.parametrize("name", VARIANTS)


def built(
    machine: Variant, engine: Engine, checkpoint_ticks: int | None, *, neurons: bool = False
) -> Any:
    model = machine.model()
    config = replace(
        machine.config,
        engine=engine,
        checkpoint_ticks=checkpoint_ticks,
        checkpoint_neurons=neurons,
    )
    set_computation(model, config)
    return model


def learned(model: ContinuousThoughtMachine, inputs: Tensor) -> dict[str, Tensor]:
    """Logits and gradients, the masks of dropout those of one seed."""
    torch.manual_seed(4)
    inputs = inputs.clone().requires_grad_()
    logits = model(inputs).logits
    direction = torch.randn(logits.shape, generator=generator(7)).to(logits)
    (logits * direction).sum().backward()
    found = {name: weight.grad for name, weight in model.named_parameters()}
    found |= {"logits": logits.detach(), "inputs": inputs.grad}
    return {name: value for name, value in found.items() if value is not None}


def assert_equal(ours: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert ours.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            ours[name], value, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


@each_variant
@each_engine
@pytest.mark.parametrize("training", [False, True])
def test_stretches_of_any_length_give_equal_gradients(
    name: str, engine: Engine, training: bool
) -> None:
    """In training with dropout: what is computed again drops the same."""
    config = replace(VARIANTS[name].config, dropout=0.3 if training else 0.0)
    machine = Variant(config, VARIANTS[name].spec)
    ticks = config.ticks
    for batch, lengths in ((3, (1, 2, 3, ticks, ticks + 5)), (MANY, (2,))):
        inputs = machine.inputs(batch).double()
        found = [
            learned(built(machine, engine, longest).double().train(training), inputs)
            for longest in (None, *lengths)
        ]
        for each in found[1:]:
            assert_equal(each, found[0])


@each_variant
@each_engine
@pytest.mark.parametrize("training", [False, True])
def test_recomputed_neurons_give_equal_gradients(name: str, engine: Engine, training: bool) -> None:
    """Alone and within stretches."""
    config = replace(VARIANTS[name].config, dropout=0.3 if training else 0.0)
    machine = Variant(config, VARIANTS[name].spec)
    for batch in (3, MANY):
        inputs = machine.inputs(batch).double()
        found = [
            learned(
                built(machine, engine, longest, neurons=neurons).double().train(training), inputs
            )
            for longest, neurons in ((None, False), (None, True), (2, True))
        ]
        for each in found[1:]:
            assert_equal(each, found[0])


@each_engine
def test_recomputed_neurons_keep_less(engine: Engine) -> None:
    inputs = BIG.inputs(16)
    kept = [
        bytes_kept(built(BIG, engine, None, neurons=neurons), inputs) for neurons in (False, True)
    ]
    assert kept[1] < 0.6 * kept[0]


@each_engine
def test_a_retained_pass_is_computed_again_each_time(engine: Engine) -> None:
    model, inputs = built(VARIANTS["parity"], engine, 2).double(), VARIANTS["parity"].inputs()
    once = learned(model, inputs.double())
    model.zero_grad()
    loss = model(inputs.double()).logits
    direction = torch.randn(loss.shape, generator=generator(7)).to(loss)
    loss = (loss * direction).sum()
    (asked,) = torch.autograd.grad(loss, [model.start_z], retain_graph=True)
    torch.testing.assert_close(asked, once["start_z"])
    loss.backward(retain_graph=True)
    loss.backward()
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, 2 * once[name])


@each_engine
def test_random_numbers_afterwards_are_those_without_stretches(engine: Engine) -> None:
    machine = Variant(replace(VARIANTS["parity"].config, dropout=0.3), VARIANTS["parity"].spec)
    after = []
    for longest in (None, 1, 3):
        learned(built(machine, engine, longest).train(), machine.inputs())
        after.append(torch.rand(3))
    assert after[0].equal(after[1])
    assert after[0].equal(after[2])


def bytes_kept(model: ContinuousThoughtMachine, inputs: Tensor) -> int:
    """Memory of all tensors that wait for a backward pass; what they share counts once."""
    kept: dict[int, int] = {}
    waiting: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        waiting.append(value)  # so that no memory is used a second time
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with saved_tensors_hooks(pack, lambda value: value):
        model(inputs)
    return sum(kept.values())


def alive_at_most(work: Callable[[], object]) -> int:
    """The most bytes that torch held at once during some work, beyond those before it."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    now = most = 0
    kineto: Any = profile.profiler
    for event in kineto.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


@each_engine
def test_shorter_stretches_keep_less(engine: Engine) -> None:
    inputs = BIG.inputs(16)
    kept = [bytes_kept(built(BIG, engine, longest), inputs) for longest in (None, 4)]
    assert kept[1] < 0.5 * kept[0]


@each_engine
def test_shorter_stretches_need_less_memory_at_once(engine: Engine) -> None:
    inputs = BIG.inputs(16)
    most = []
    for longest in (None, 4):
        model = built(BIG, engine, longest)
        model(inputs).logits.sum().backward()  # makes the gradients
        most.append(alive_at_most(lambda model=model: model(inputs).logits.sum().backward()))
    assert most[1] < 0.6 * most[0]


def test_one_stretch_of_all_ticks_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(stretches, "checkpoint", never)
    learned(built(VARIANTS["parity"], Engine.fast, None), VARIANTS["parity"].inputs())
    with torch.no_grad():  # nor where nothing is kept anyway
        built(VARIANTS["parity"], Engine.fast, 1)(VARIANTS["parity"].inputs())


@each_engine
def test_checkpoint_sees_the_tensors_whose_device_draws_random_numbers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch keeps the random state of the devices it finds among the arguments alone."""
    seen: list[list[object]] = []
    real = stretches.checkpoint

    def spy(function: Any, *given: Any, **settings: Any) -> Any:
        seen.append([leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)])
        return real(function, *given, **settings)

    monkeypatch.setattr(stretches, "checkpoint", spy)
    machine = VARIANTS["parity"]
    learned(built(machine, engine, 1), machine.inputs())
    assert len(seen) == machine.config.ticks - 1  # the last stretch is kept
    assert all(tensors for tensors in seen)


@each_engine
def test_recording_records_each_tick_once(engine: Engine) -> None:
    model, inputs = built(VARIANTS["parity"], engine, 2), VARIANTS["parity"].inputs()
    thoughts = model(inputs, record=True)
    assert thoughts.trace is not None
    assert thoughts.trace.post_activations.shape[1] == thoughts.ticks
    plain = built(VARIANTS["parity"], engine, None)(inputs, record=True)
    assert thoughts.trace.post_activations.equal(plain.trace.post_activations)
    thoughts.logits.sum().backward()
    assert thoughts.trace.post_activations.equal(plain.trace.post_activations)


@each_variant
def test_a_model_without_memory_learns_in_shapes(name: str) -> None:
    """As the rehearsal of a run does."""
    config = replace(VARIANTS[name].config, checkpoint_ticks=2, dropout=0.1)
    model = Variant(config, VARIANTS[name].spec).fresh().to("meta")
    assert model.stretches == Stretches(2)
    for engine in ENGINES:
        set_engine(model, engine)
        model(VARIANTS[name].inputs().to("meta")).logits.sum().backward()
        assert model.start_z.grad is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@each_engine
def test_on_a_gpu_what_is_computed_again_drops_the_same(engine: Engine) -> None:
    machine = Variant(replace(VARIANTS["parity"].config, dropout=0.3), VARIANTS["parity"].spec)
    inputs = machine.inputs().double().to("cuda")
    found = [
        learned(built(machine, engine, longest).double().train().to("cuda"), inputs)
        for longest in (None, 1, 3)
    ]
    for each in found[1:]:
        assert_equal(each, found[0])
