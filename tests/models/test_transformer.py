"""The Transformer: plain is one pass, looped is the same pass again and again."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from ctm.errors import ConfigError
from ctm.interface import InputKind, TaskSpec
from ctm.models.build import build_model
from ctm.models.config import (
    ConvEncoderConfig,
    EncoderConfig,
    NoEncoderConfig,
    ParityEncoderConfig,
    SymbolEncoderConfig,
    TransformerConfig,
)
from ctm.models.transformer import Transformer
from tests.build import IMAGE, SIGNS, VECTOR, generator, perturb

WORDS = TaskSpec(InputKind.symbols, (4,), (6,), code_ticks=3, symbols=6)
SIZES: dict[str, Any] = {"layers": 2, "width": 16, "hidden": 20, "heads": 2, "d_input": 6}


def network(
    spec: TaskSpec = SIGNS, encoder: EncoderConfig | None = None, **settings: Any
) -> Transformer:
    """A small one with perturbed weights, in eval mode."""
    config = TransformerConfig(encoder=encoder or ParityEncoderConfig(), **SIZES | settings)
    model = build_model(config, spec)
    assert isinstance(model, Transformer)
    perturb(model)
    return model.eval()


def signs(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 5, generator=generator(1)).sign()


def test_ticks_are_the_blocks_by_hand_the_data_added_again_at_each() -> None:
    model = network(ticks=3)
    (told, *_) = model.readings(signs(), 1)
    x = torch.zeros_like(told.tokens)
    expected = []
    for _ in range(3):
        x = x + told.tokens
        for block in model.blocks:
            x = block(x, told.turn)
        x = model.norm(x)
        expected.append(model.answer(x[:, 0]).view(3, 5, 2))
    torch.testing.assert_close(model(signs()).logits, torch.stack(expected, 1))


def test_a_plain_one_is_a_looped_one_after_its_first_tick() -> None:
    plain, looped = network(ticks=1), network(ticks=4)
    torch.testing.assert_close(plain(signs()).logits, looped(signs()).logits[:, :1])
    torch.testing.assert_close(plain(signs(), ticks=4).logits, looped(signs()).logits)


@pytest.mark.parametrize(("ticks", "answers"), [(1, 1), (4, 1), (1, 5)])
def test_the_last_pass_computes_no_more_than_what_answers_and_gives_the_same(
    ticks: int, answers: int
) -> None:
    model = network(ticks=ticks, answers=answers).double()
    numbers = signs().double()
    answered = model(numbers).logits
    torch.testing.assert_close(answered, model(numbers, record=True).logits)
    seen: list[int] = []
    model.blocks[-1].register_forward_hook(lambda block, given, out: seen.append(out.shape[1]))
    model(numbers)
    assert seen == [5 + answers] * (ticks - 1) + [answers]


def test_tokens_are_told_apart_by_where_they_stand() -> None:
    model = network()
    first, second = signs(1), signs(1).roll(1, dims=1)
    assert not torch.equal(first, second)
    assert not torch.allclose(model(first).logits, model(second).logits, atol=1e-4)


def test_one_pass_gives_as_many_answers_as_were_asked_for() -> None:
    model = network(answers=7)
    thoughts = model(signs(), record=True)
    assert thoughts.logits.shape == (3, 7, 5, 2)
    assert thoughts.answering is None
    assert not torch.allclose(thoughts.logits[:, 0], thoughts.logits[:, 1], atol=1e-4)


def test_a_stream_is_read_at_once_whatever_its_length() -> None:
    model = network(WORDS, SymbolEncoderConfig(), ticks=2)
    for length in (1, 4, 9):
        words = torch.randint(6, (3, length), generator=generator(length))
        thoughts = model(words, record=True)
        assert thoughts.logits.shape == (3, 2, 6)
        assert thoughts.trace is not None
        assert thoughts.trace.attention is None  # no grid to draw it on


def test_the_trace_shows_the_token_that_answers_and_what_it_looks_at() -> None:
    model = network(IMAGE, ConvEncoderConfig(widths=[4]), ticks=3)
    images = torch.randn(2, 2, 5, 4, generator=generator(2))
    trace = model(images, record=True).trace
    assert trace is not None
    assert trace.attention is not None
    assert trace.attention.shape == (2, 3, 2, 20)
    sums = trace.attention.sum(-1)
    assert bool(((sums > 0) & (sums < 1)).all())  # the rest goes to the token itself
    torch.testing.assert_close(
        model.answer(trace.post_activations), model(images).logits.flatten(2), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("stretch", [1, 2])
def test_recomputed_ticks_have_the_same_gradients(stretch: int) -> None:
    gradients = []
    for checkpoint_ticks in (None, stretch):
        model = network(ticks=4, checkpoint_ticks=checkpoint_ticks)
        model(signs()).logits.square().mean().backward()
        gradients.append([weight.grad for weight in model.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"width": 18}, "model.width=18: want a multiple of 2 x model.heads=2"),
        ({"ticks": 0}, "model.ticks=0: want 1 or more"),
        ({"layers": 0}, "model.layers=0: want 1 to 256"),
        ({"ticks": 3, "answers": 2}, "model.answers=2: want 1: with model.ticks=3 each tick"),
        ({"checkpoint_ticks": 0}, "model.checkpoint_ticks=0: want 1 or more, or null"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], line: str) -> None:
    sizes = replace(TransformerConfig(encoder=ParityEncoderConfig()), width=16, heads=2)
    with pytest.raises(ConfigError, match=line):
        replace(sizes, **settings)


def test_an_encoder_without_tokens_is_refused() -> None:
    config = TransformerConfig(encoder=NoEncoderConfig(), d_input=6)
    with pytest.raises(ConfigError, match="gives no tokens, and model=transformer reads nothing"):
        build_model(config, VECTOR)
