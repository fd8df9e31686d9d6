"""The LSTM equals one written gate by gate, in float64; readings alone are the model's own."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from ctm.interface import InputKind, Inputs, TaskSpec
from ctm.layers.reading import Attention, ReadingKind
from ctm.layers.sync import Pairing
from ctm.models.build import build_model
from ctm.models.config import EncoderConfig, LSTMConfig, ParityEncoderConfig, QuestionEncoderConfig
from ctm.models.lstm import LSTM, LSTMStart
from tests.build import SIGNS, generator, perturb
from tests.textbook import Weights, linear, sigmoid

TICKS = 4

each_depth = pytest.mark.parametrize("layers", [1, 2, 3])
each_start = pytest.mark.parametrize("starts", LSTMStart)
each_input = pytest.mark.parametrize("reads_hidden", [False, True])
each_pairing = pytest.mark.parametrize("pairing", Pairing)


def network(
    spec: TaskSpec = SIGNS, encoder: EncoderConfig | None = None, **settings: Any
) -> tuple[LSTM, LSTMConfig]:
    """A small one with perturbed weights, in eval mode, and its settings."""
    config = LSTMConfig(
        ticks=TICKS,
        width=7,
        d_input=6,
        heads=2,
        sync_out=4,
        sync_action=3,
        encoder=encoder or ParityEncoderConfig(),
        **settings,
    )
    model = build_model(config, spec)
    assert isinstance(model, LSTM)
    perturb(model)
    return model.double().eval(), config


def signs() -> Tensor:
    return torch.randn(3, *SIGNS.input_shape, generator=generator(1)).sign().double()


# -- by hand ---------------------------------------------------------------------------------------


@dataclass
class Told:
    """What happened, a tensor of the batch for each tick."""

    logits: list[Tensor] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    answered: list[Tensor] = field(default_factory=list)
    asked: list[Tensor] = field(default_factory=list)
    attention: list[Tensor] = field(default_factory=list)


def think(model: LSTM, config: LSTMConfig, inputs: Inputs) -> Told:
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    readings = model.readings(inputs, config.ticks)
    batch = len(inputs[0] if isinstance(inputs, tuple) else inputs)
    layers, told = range(config.layers), Told()
    if config.starts == "own":
        hidden = [weights["start_hidden"][layer].repeat(batch, 1) for layer in layers]
        cell = [weights["start_cell"][layer].repeat(batch, 1) for layer in layers]
    else:
        hidden = [weights["start_hidden"][0].repeat(batch, 1) for _ in layers]
        cell = [torch.zeros_like(hidden[0]) for _ in layers]
    tops = [hidden[-1]]
    for reading in readings:
        asked = synchronisation(weights, "sync_action", tops)
        o = reading(asked)
        x = torch.cat([o, hidden[-1]], 1) if config.reads_hidden else o
        for layer in layers:
            hidden[layer], cell[layer] = step(weights, layer, x, hidden[layer], cell[layer])
            x = hidden[layer]
        tops.append(hidden[-1])
        answered = synchronisation(weights, "sync_out", tops)
        told.logits.append(linear(weights, "answer", answered).view(batch, *model.output_shape))
        told.hidden.append(hidden[-1])
        told.answered.append(answered)
        told.asked.append(asked)
        if isinstance(reading, Attention):
            told.attention.append(reading.weights(asked))
    return told


def step(
    weights: Weights, layer: int, x: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor]:
    """c <- f c + i g,   h <- o tanh(c)"""
    size = hidden.shape[1]

    def gate(number: int) -> Tensor:
        rows = slice(number * size, (number + 1) * size)
        from_x, from_h = (weights[f"lstm.weight_{side}_l{layer}"][rows] for side in ("ih", "hh"))
        bias_x, bias_h = (weights[f"lstm.bias_{side}_l{layer}"][rows] for side in ("ih", "hh"))
        return x @ from_x.T + bias_x + hidden @ from_h.T + bias_h

    i, f, g, o = sigmoid(gate(0)), sigmoid(gate(1)), torch.tanh(gate(2)), sigmoid(gate(3))
    cell = f * cell + i * g
    return o * torch.tanh(cell), cell


def synchronisation(weights: Weights, name: str, tops: list[Tensor]) -> Tensor:
    """S = alpha / sqrt(beta) after all top hidden states so far; without pairs the newest."""
    if f"{name}.decay" not in weights:
        return tops[-1]
    left, right = weights[f"{name}.left"], weights[f"{name}.right"]
    keep = torch.exp(-weights[f"{name}.decay"].clamp(0, 15))
    alpha, beta = tops[0][:, left] * tops[0][:, right], torch.ones_like(keep)
    for h in tops[1:]:
        alpha = keep * alpha + h[:, left] * h[:, right]
        beta = keep * beta + 1
    return alpha / beta.sqrt()


def assert_close(ours: Tensor | None, theirs: list[Tensor], tolerance: float = 1e-9) -> None:
    assert ours is not None
    expected = torch.stack(theirs, 1).to(ours.dtype)
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


# -- equality --------------------------------------------------------------------------------------


@each_depth
@each_start
@each_input
@each_pairing
def test_every_tick_equals_the_one_by_hand(
    layers: int, starts: LSTMStart, reads_hidden: bool, pairing: Pairing
) -> None:
    model, config = network(
        layers=layers, starts=starts, reads_hidden=reads_hidden, pairing=pairing
    )
    thoughts, told = model(signs(), record=True), think(model, config, signs())
    assert thoughts.logits.shape == (3, TICKS, *SIGNS.output_shape)
    assert_close(thoughts.logits, told.logits)
    assert_close(model(signs()).logits, told.logits)


@pytest.mark.parametrize("pairing", [Pairing.none, Pairing.random])
def test_a_trace_shows_the_top_hidden_state_and_what_asks_and_answers(pairing: Pairing) -> None:
    model, config = network(layers=2, pairing=pairing)
    trace, told = model(signs(), record=True).trace, think(model, config, signs())
    assert trace is not None
    assert trace.pre_activations is None
    assert_close(trace.post_activations, told.hidden, 1e-6)
    assert_close(trace.attention, told.attention, 1e-6)
    if pairing is Pairing.none:  # both are the hidden state itself
        assert trace.sync_out is None
        assert trace.sync_action is None
    else:
        assert_close(trace.sync_out, told.answered, 1e-6)
        assert_close(trace.sync_action, told.asked, 1e-6)


@each_pairing
def test_of_digits_and_a_question_every_tick_equals_the_one_by_hand(pairing: Pairing) -> None:
    spec = TaskSpec(InputKind.questions, (1, 8, 8), (10,), image_ticks=2, code_ticks=1)
    model, config = network(
        spec, QuestionEncoderConfig(), reading=ReadingKind.scheduled, pairing=pairing
    )
    pictures = torch.randn(3, 2, *spec.input_shape, generator=generator(1), dtype=torch.float64)
    codes = torch.tensor([[0, -1, 1], [1, -2, 1], [0, -2, 1]])
    inputs = pictures.repeat_interleave(2, 1), codes
    thoughts, told = model(inputs), think(model, config, inputs)
    assert thoughts.logits.shape == (3, 2 * 2 + 3 + TICKS, 10)
    assert thoughts.answering == TICKS
    assert_close(thoughts.logits, told.logits)


# -- learning --------------------------------------------------------------------------------------


@each_depth
@each_start
@each_input
@each_pairing
def test_a_gradient_reaches_every_weight(
    layers: int, starts: LSTMStart, reads_hidden: bool, pairing: Pairing
) -> None:
    model, _ = network(layers=layers, starts=starts, reads_hidden=reads_hidden, pairing=pairing)
    model.train()(signs()).logits.square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


def test_every_layer_learns_its_own_start_or_all_share_one() -> None:
    own, _ = network(layers=2, starts=LSTMStart.own)
    own(signs()).logits.square().sum().backward()
    assert own.start_cell is not None
    for start in (own.start_hidden, own.start_cell):
        assert start.grad is not None
        assert start.shape == (2, 7)
        assert start.grad.any(1).all()
    shared, _ = network(layers=2, starts=LSTMStart.shared)
    assert shared.start_hidden.shape == (1, 7)
    assert shared.start_cell is None


def test_start_states_are_drawn_evenly_within_their_bound() -> None:
    config = LSTMConfig(width=400, layers=2, d_input=6, heads=2, encoder=ParityEncoderConfig())
    model = build_model(config, SIGNS)
    assert isinstance(model, LSTM)
    assert model.start_cell is not None
    for start in (model.start_hidden, model.start_cell):
        assert 0.045 < start.abs().max() <= 0.05  # sqrt(1 / 400)
        assert start.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.1)
    assert not model.start_hidden.equal(model.start_cell)
