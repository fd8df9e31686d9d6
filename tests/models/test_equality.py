"""The machine equals the textbook's, tick by tick and gradient by gradient, in float64."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ctm.interface import TaskSpec
from ctm.layers.positions import Positions
from ctm.layers.reading import Attention, ReadingKind
from ctm.layers.sync import Pairing
from ctm.losses import MazeLoss, TwoTickLoss
from ctm.models.build import set_engine
from ctm.models.config import (
    ConvEncoderConfig,
    EncoderConfig,
    Engine,
    NeuronModels,
    NoEncoderConfig,
    ParityEncoderConfig,
    ResNetEncoderConfig,
    VectorEncoderConfig,
)
from ctm.models.machine import ContinuousThoughtMachine
from tests import textbook
from tests.build import IMAGE, ROUTE, SIGNS, VECTOR, Variant, generator, small

ENCODERS: dict[str, tuple[TaskSpec, EncoderConfig]] = {
    "parity": (SIGNS, ParityEncoderConfig()),
    "parity, no positions": (SIGNS, ParityEncoderConfig(positions=Positions.none)),
    "vector": (VECTOR, VectorEncoderConfig()),
    "conv": (IMAGE, ConvEncoderConfig(widths=[3])),
    "conv, fourier": (IMAGE, ConvEncoderConfig(widths=[3], positions=Positions.fourier)),
    "conv, multi_fourier": (
        IMAGE,
        ConvEncoderConfig(widths=[3], positions=Positions.multi_fourier),
    ),
    "resnet": (IMAGE, ResNetEncoderConfig(depth=18, stages=1)),
    "direct": (VECTOR, NoEncoderConfig()),
}
each_encoder = pytest.mark.parametrize("encoder", ENCODERS)
each_engine = pytest.mark.parametrize("engine", [Engine.eager, Engine.fast])
few_examples = settings(
    derandomize=True,
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def variants(draw: st.DrawFn, encoder: str) -> Variant:
    """Any machine with this encoder."""
    spec, encoder_config = ENCODERS[encoder]
    direct = encoder == "direct"
    pairing = draw(st.sampled_from(Pairing))
    sync_out, sync_action = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    fewest_pairs = sync_out if direct else min(sync_out, sync_action)
    heads = draw(st.integers(1, 3))
    config = small(
        encoder_config,
        ticks=draw(st.integers(1, 6)),
        neurons=draw(st.integers(5, 20)),
        memory_length=draw(st.integers(1, 8)),
        d_input=spec.input_shape[0] if direct else heads * draw(st.integers(1, 3)),
        heads=heads,
        reading=ReadingKind.direct if direct else ReadingKind.attention,
        synapse_depth=draw(st.integers(1, 4)),
        neuron_models=draw(st.sampled_from([NeuronModels.private] * 3 + [NeuronModels.none])),
        nlm_hidden=draw(st.integers(0, 4)),
        nlm_layernorm=draw(st.booleans()),
        pairing=pairing,
        sync_out=sync_out,
        sync_action=0 if direct else sync_action,
        self_pairs=draw(st.integers(0, fewest_pairs)) if pairing is Pairing.random else 0,
    )
    return Variant(config, spec)


def textbook_weights(model: ContinuousThoughtMachine) -> dict[str, Tensor]:
    """The model's own tensors; decays are leaves clamped to [0, 15] as data, not in the graph."""
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name in [name for name in weights if name.endswith(".decay")]:
        weights[name] = weights[name].detach().clamp(0, 15).requires_grad_()
    return weights


def textbook_thoughts(
    variant: Variant, model: ContinuousThoughtMachine, weights: dict[str, Tensor], inputs: Tensor
) -> textbook.Told:
    data = model.encoder(inputs)
    return textbook.think(
        weights, data, variant.config, variant.spec.output_shape, variant.config.ticks
    )


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float, what: str) -> None:
    torch.testing.assert_close(
        ours,
        theirs.to(ours.dtype),
        rtol=tolerance,
        atol=tolerance,
        msg=lambda text: f"{what}: {text}",
    )


@each_encoder
@few_examples
@given(data=st.data(), seed=st.integers(0, 1000), training=st.booleans())
def test_every_tick_equals_the_textbook(
    encoder: str, data: st.DataObject, seed: int, training: bool
) -> None:
    variant = data.draw(variants(encoder))
    model = variant.model(seed).double().train(training)
    inputs = variant.inputs().double()
    thoughts = model(inputs, record=True)
    told = textbook_thoughts(variant, model, textbook_weights(model), inputs)
    logits = torch.stack(told.logits, 1)
    assert_close(thoughts.logits, logits, 1e-9, "logits")
    assert_close(thoughts.certainty, textbook.certainties(logits), 1e-6, "certainty")
    # a trace is in float32
    trace = thoughts.trace
    assert trace is not None
    for name in ("pre_activations", "post_activations", "sync_out", "sync_action", "attention"):
        recorded, wanted = getattr(trace, name), getattr(told, name)
        asks = name in ("sync_action", "attention")
        synced = name in ("sync_out", "sync_action")
        if (variant.config.reading == "direct" and asks) or (
            variant.config.pairing == "none" and synced
        ):
            assert recorded is None, name
        else:
            assert_close(recorded, torch.stack(wanted, 1), 1e-6, name)


@each_encoder
@few_examples
@given(data=st.data(), seed=st.integers(0, 1000), training=st.booleans())
def test_every_state_equals_the_textbook(
    encoder: str, data: st.DataObject, seed: int, training: bool
) -> None:
    variant = data.draw(variants(encoder))
    model = variant.model(seed).double().train(training)
    inputs = variant.inputs().double()
    told = textbook_thoughts(variant, model, textbook_weights(model), inputs)
    columns = [column.expand(len(inputs), -1) for column in model.start_history.unbind(1)]
    columns += told.pre_activations
    reading, state = model.readings(inputs, 1)[0], model.start(len(inputs))
    for tick in range(variant.config.ticks):
        if isinstance(reading, Attention):
            asked = model.sync_action(state.action)
            assert_close(asked, told.sync_action[tick], 1e-9, "sync_action")
            assert_close(reading.weights(asked), told.attention[tick], 1e-9, "attention")
        state = model.tick(state, reading)
        remembered = torch.stack(columns[tick + 1 :][: variant.config.memory_length], 2)
        assert_close(state.history, remembered, 1e-9, "history")
        assert_close(state.z, told.post_activations[tick], 1e-9, "z")
        assert_close(model.sync_out(state.out), told.sync_out[tick], 1e-9, "sync_out")


def assert_gradients_equal(
    model: ContinuousThoughtMachine,
    weights: dict[str, Tensor],
    ours: Tensor,
    theirs: Tensor,
    tolerance: float,
) -> None:
    """Of every parameter: d ours by the model's, d theirs by the textbook's leaf of that name."""
    named = dict(model.named_parameters())
    leaves = [weights[name] for name in named]
    our_gradients = torch.autograd.grad(
        ours, list(named.values()), allow_unused=True, materialize_grads=True, retain_graph=True
    )
    their_gradients = torch.autograd.grad(
        theirs, leaves, allow_unused=True, materialize_grads=True, retain_graph=True
    )
    for name, our, their in zip(named, our_gradients, their_gradients, strict=True):
        scale = max(1.0, float(their.abs().max()) if their.numel() else 0.0)
        assert_close(our / scale, their / scale, tolerance, f"gradient of {name}")


@each_engine
@each_encoder
@few_examples
@given(data=st.data(), seed=st.integers(0, 1000), training=st.booleans())
def test_every_gradient_equals_the_textbook(
    engine: Engine, encoder: str, data: st.DataObject, seed: int, training: bool
) -> None:
    variant = data.draw(variants(encoder))
    model = variant.model(seed).double().train(training)
    set_engine(model, engine)
    inputs, targets = variant.inputs().double(), variant.targets()
    weights = textbook_weights(model)
    thoughts = model(inputs)
    told = textbook_thoughts(variant, model, weights, inputs)
    logits = torch.stack(told.logits, 1)
    assert_close(thoughts.logits, logits, 1e-9, "logits")
    assert_close(thoughts.certainty, textbook.certainties(logits), 1e-6, "certainty")

    # all ticks at once, whatever the loss
    direction = torch.randn(logits.shape, generator=generator(7), dtype=torch.float64)
    ours, theirs = (thoughts.logits * direction).sum(), (logits * direction).sum()
    assert_gradients_equal(model, weights, ours, theirs, 1e-9)

    # the loss itself is computed in float32
    ours, theirs = TwoTickLoss()(thoughts, targets), textbook.two_tick_loss(logits, targets)
    assert math.isclose(ours.item(), theirs.item(), rel_tol=1e-6, abs_tol=1e-6)
    assert_gradients_equal(model, weights, ours, theirs, 1e-5)


@each_engine
@pytest.mark.parametrize("seed", range(3))
def test_gradients_of_the_maze_loss_equal_the_textbook(engine: Engine, seed: int) -> None:
    encoder = ResNetEncoderConfig(depth=18, stages=1, positions=Positions.rotational_2d)
    config = small(encoder, ticks=5, pairing=Pairing.dense, synapse_depth=3)
    variant = Variant(config, ROUTE)
    model = variant.model(seed).double()
    set_engine(model, engine)
    inputs, targets = variant.inputs(4).double(), variant.targets(4)
    weights = textbook_weights(model)
    thoughts = model(inputs)
    # the first route is known up to its fourth step at the second tick
    targets[0, :4] = thoughts.logits[0, 1, :4].argmax(-1)
    told = textbook_thoughts(variant, model, weights, inputs)
    logits = torch.stack(told.logits, 1)
    ours = MazeLoss(lookahead=2)(thoughts, targets)
    theirs = textbook.maze_loss(logits, targets, lookahead=2)
    assert math.isclose(ours.item(), theirs.item(), rel_tol=1e-6, abs_tol=1e-6)
    assert_gradients_equal(model, weights, ours, theirs, 1e-5)
