"""The feed-forward baseline equals one written place by place; features are the model's own."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ctm.errors import ConfigError
from ctm.interface import TaskSpec
from ctm.layers.positions import Positions
from ctm.models.build import build_model
from ctm.models.config import ConvEncoderConfig, FeedForwardConfig
from ctm.models.feedforward import FeedForward, Head
from tests.build import IMAGE, ROUTE, generator, perturb
from tests.textbook import Weights, linear, sigmoid

HIDDEN = 6

each_head = pytest.mark.parametrize("head", Head)
each_task = pytest.mark.parametrize("spec", [IMAGE, ROUTE], ids=["classes", "route"])


def network(head: Head, spec: TaskSpec = IMAGE, **settings: Any) -> FeedForward:
    """A small one with perturbed weights, in eval mode."""
    encoder = ConvEncoderConfig(widths=[3], positions=Positions.none)
    model = build_model(
        FeedForwardConfig(encoder=encoder, head=head, hidden=HIDDEN, **settings), spec
    )
    assert isinstance(model, FeedForward)
    perturb(model)
    return model.double().eval()


def images(spec: TaskSpec = IMAGE) -> Tensor:
    return torch.randn(3, *spec.input_shape, generator=generator(1), dtype=torch.float64)


def hidden_by_hand(model: FeedForward, head: Head, inputs: Tensor) -> Tensor:
    weights: Weights = dict(model.named_parameters())
    features = model.backbone(inputs)
    _, channels, height, width = features.shape
    places = [(row, column) for row in range(height) for column in range(width)]
    if head is Head.pooled:
        total = torch.stack([features[:, :, row, column] for row, column in places]).sum(0)
        return linear(weights, "layers.0", total / len(places)).clamp_min(0)
    listed = [
        features[:, channel, row, column] for channel in range(channels) for row, column in places
    ]
    both = linear(weights, "layers.0", torch.stack(listed, 1))
    return both[:, : HIDDEN // 2] * sigmoid(both[:, HIDDEN // 2 :])


@each_head
@each_task
def test_the_answer_and_the_trace_equal_those_by_hand(head: Head, spec: TaskSpec) -> None:
    model, inputs = network(head, spec, dropout=0.5), images(spec)
    hidden = hidden_by_hand(model, head, inputs)
    answer = linear(dict(model.named_parameters()), "answer", hidden)
    thoughts = model(inputs, record=True)
    torch.testing.assert_close(thoughts.logits, answer.view(3, 1, *spec.output_shape))
    trace = thoughts.trace
    assert trace is not None
    torch.testing.assert_close(trace.post_activations, hidden.detach().float().unsqueeze(1))
    for missing in (trace.pre_activations, trace.sync_out, trace.sync_action, trace.attention):
        assert missing is None
    plain = model(inputs)
    assert plain.trace is None
    assert plain.logits.equal(thoughts.logits)


@each_head
def test_dropout_takes_hidden_numbers_in_training(head: Head) -> None:
    model = network(head, dropout=0.5)
    whole = hidden_by_hand(model, head, images())
    model.layers.train()  # not the backbone: its BatchNorm would give other features
    torch.manual_seed(0)
    trace = model(images(), record=True).trace
    assert trace is not None
    kept = trace.post_activations[:, 0]
    taken = (kept == 0) & (whole != 0)
    assert taken.any()
    assert not taken.all()
    torch.testing.assert_close(kept, torch.where(taken, 0, 2 * whole).float())


@each_head
def test_it_thinks_for_one_tick(head: Head) -> None:
    model = network(head)
    assert model(images(), ticks=1).logits.equal(model(images()).logits)
    for ticks in (0, 2):
        with pytest.raises(ConfigError, match=f"ticks={ticks}: a feed-forward model thinks for 1"):
            model(images(), ticks=ticks)


@each_head
def test_a_gradient_reaches_every_weight(head: Head) -> None:
    model = network(head)
    model(images()).logits.square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any(), name
