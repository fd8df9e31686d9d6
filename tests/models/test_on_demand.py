"""Thinking on demand gives each example the answer of its own tick, and does no work after it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ctm.errors import ConfigError
from ctm.interface import InputKind, Readout, TaskSpec, Thoughts
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.models.build import Model, build_model, set_engine
from ctm.models.config import (
    Engine,
    FeedForwardConfig,
    LSTMConfig,
    ModelConfig,
    ParityEncoderConfig,
    QuestionEncoderConfig,
    SymbolEncoderConfig,
    TransformerConfig,
    VectorEncoderConfig,
)
from ctm.models.fast import Walk
from ctm.models.machine import ContinuousThoughtMachine
from ctm.models.ticking import ReadWalk, TickingModel
from tests.build import SIGNS, VARIANTS, VECTOR, generator, perturb, small

BATCH = 20
QUESTIONS = TaskSpec(InputKind.questions, (1, 6, 6), (4,), image_ticks=2, code_ticks=2)
SYMBOLS = TaskSpec(InputKind.symbols, (5,), (4,), code_ticks=2, symbols=3)
OTHERS: dict[str, tuple[ModelConfig, TaskSpec]] = {
    "lstm": (LSTMConfig(ticks=5, width=8, layers=2, d_input=6, heads=2,
                        encoder=ParityEncoderConfig()), SIGNS),
    "looped": (TransformerConfig(ticks=4, layers=1, width=8, hidden=16, heads=2, d_input=6,
                                 encoder=ParityEncoderConfig(positions=Positions.none)), SIGNS),
    "questions": (small(QuestionEncoderConfig(), reading=ReadingKind.scheduled), QUESTIONS),
    "symbols": (small(SymbolEncoderConfig(), reading=ReadingKind.streamed), SYMBOLS),
    "feedforward": (FeedForwardConfig(hidden=8, d_input=6, encoder=VectorEncoderConfig(
        positions=Positions.none)), VECTOR),
}  # fmt: skip
MODELS: dict[str, tuple[ModelConfig, TaskSpec]] = OTHERS | {
    name: (variant.config, variant.spec) for name, variant in VARIANTS.items()
}


def built(name: str) -> tuple[Model, Tensor | tuple[Tensor, ...]]:
    """A model with perturbed weights, and inputs on which its certainties differ."""
    config, spec = MODELS[name]
    model = build_model(config, spec)
    perturb(model)
    random = generator(1)
    match spec.input_kind:
        case InputKind.questions:
            digits = torch.randn(BATCH, 4, *spec.input_shape, generator=random)
            codes = torch.randint(0, 2, (BATCH, 3), generator=random).repeat_interleave(2, 1)
            inputs = (digits, codes)
        case InputKind.symbols:
            inputs = torch.randint(spec.symbols, (BATCH, 5), generator=random)
        case InputKind.signs:
            inputs = torch.randn(BATCH, *spec.input_shape, generator=random).sign()
        case _:
            inputs = torch.randn(BATCH, *spec.input_shape, generator=random)
    return model.eval(), inputs


def reference(thoughts: Thoughts, stop_at: float, readout: Readout) -> tuple[Tensor, list[int]]:
    """Example by example: the first tick that is sure enough, or what the readout makes of all."""
    answers, ticks = thoughts.answers, []
    logits = thoughts.at(readout).clone()
    for example in range(len(logits)):
        certainties = answers.certainty[example].tolist()
        sure = [tick for tick, certainty in enumerate(certainties) if certainty >= stop_at]
        ticks.append(sure[0] + 1 if sure else answers.ticks)
        if sure:
            logits[example] = answers.logits[example, sure[0]]
    return logits, ticks


@pytest.mark.parametrize("readout", Readout)
@pytest.mark.parametrize("name", MODELS)
def test_each_example_gets_the_answer_of_its_first_sure_tick(name: str, readout: Readout) -> None:
    model, inputs = built(name)
    with torch.inference_mode():
        thoughts = model(inputs)
    highest = thoughts.answers.certainty.amax(1)
    for stop_at in (0.0, *highest.quantile(torch.tensor([0.2, 0.5, 0.8])).tolist(), 1.0):
        found = model.think(inputs, stop_at=stop_at, readout=readout)
        logits, ticks = reference(thoughts, stop_at, readout)
        assert found.ticks.tolist() == ticks
        torch.testing.assert_close(found.logits, logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_without_a_threshold_everyone_thinks_to_the_end(name: str) -> None:
    model, inputs = built(name)
    found = model.think(inputs)
    with torch.inference_mode():
        expected = model(inputs).at("certain")
    assert torch.equal(found.logits, expected)
    assert found.ticks.tolist() == [model.ticks] * BATCH


@pytest.mark.parametrize("engine", [Engine.eager, Engine.fast])
def test_the_work_shrinks_with_the_examples_that_are_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were computed: no more than an eighth of a batch longer than they had to."""
    model, inputs = built("parity")
    assert isinstance(model, ContinuousThoughtMachine)
    set_engine(model, engine)
    rows: list[int] = []
    kind = Walk if engine is Engine.fast else ReadWalk
    step: Callable[..., Tensor] = kind.step

    def counted(walk: Walk | ReadWalk) -> Tensor:
        represented = step(walk)
        rows.append(len(represented))
        return represented

    monkeypatch.setattr(kind, "step", counted)
    stop_at = model(inputs).certainty[:, 1].median().item()
    found = model.think(inputs, stop_at=stop_at)
    needed = [int((found.ticks > tick).sum()) for tick in range(len(rows))]
    assert rows[0] == BATCH
    assert rows[-1] < BATCH
    for computed, left in zip(rows, needed, strict=True):
        assert left <= computed <= max(left / (1 - 1 / 8), left)


def test_nobody_ticks_once_all_are_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = built("lstm")
    assert isinstance(model, TickingModel)
    ticked: list[int] = []
    tick = model.tick
    monkeypatch.setattr(model, "tick", lambda *given: (ticked.append(1), tick(*given))[1])
    model.think(inputs, stop_at=0.0)
    assert len(ticked) == 1


@pytest.mark.parametrize("name", ["parity", "lstm", "looped", "questions"])
def test_it_may_think_for_longer_than_it_was_trained(name: str) -> None:
    model, inputs = built(name)
    longer = model.ticks + 3
    found = model.think(inputs, stop_at=1.0, max_ticks=longer)
    with torch.inference_mode():
        thoughts = model(inputs, ticks=longer)
    assert found.ticks.tolist() == [longer] * BATCH
    torch.testing.assert_close(found.logits, thoughts.at("certain"), rtol=1e-5, atol=1e-5)


def test_certainties_are_those_of_the_answers() -> None:
    model, inputs = built("parity")
    found = model.think(inputs, stop_at=0.02)
    expected = Thoughts.of(found.logits.unsqueeze(1)).certainty[:, 0]
    assert torch.equal(found.certainty, expected)
    assert bool((found.certainty[found.ticks < model.ticks] >= 0.02).all())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"stop_at": 1.5}, "stop_at=1.5: want a certainty from 0 to 1"),
        ({"stop_at": float("nan")}, "stop_at=nan"),
        ({"max_ticks": 0}, "max_ticks=0: want 1 or more"),
        ({"readout": "best"}, "readout=best: choose one of certain, last"),
    ],
)
def test_what_cannot_be_had_is_refused(asked: dict[str, object], said: str) -> None:
    for name in ("parity", "feedforward"):
        model, inputs = built(name)
        with pytest.raises(ConfigError, match=said):
            model.think(inputs, **asked)  # pyright: ignore[reportArgumentType]


def test_where_one_pass_gives_several_answers_there_is_nothing_to_stop() -> None:
    config = TransformerConfig(layers=1, width=8, hidden=16, heads=2, d_input=6, answers=3,
                               encoder=ParityEncoderConfig(positions=Positions.none))  # fmt: skip
    model, inputs = build_model(config, SIGNS).eval(), torch.ones(2, 5)
    assert model.think(inputs).ticks.tolist() == [3, 3]
    with pytest.raises(ConfigError, match="gives all 3 answers"):
        model.think(inputs, stop_at=0.5)
