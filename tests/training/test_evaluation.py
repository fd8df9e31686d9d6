"""Running a model over examples: the metrics of all of them, and nothing changed."""

import pytest
import torch
from torch import nn

from ctm.interface import Batch
from ctm.models.build import build_model
from ctm.tasks.task import FixedExamples
from ctm.training.evaluation import evaluate, peak_memory
from ctm.training.randomness import random_states
from tests.build import small
from tests.training.build import TASK, assert_same, without_clocks


@pytest.fixture
def model() -> nn.Module:
    return build_model(small(dropout=0.5), TASK.spec, seed=0)


def test_metrics_are_those_of_the_model_in_eval_mode(model: nn.Module) -> None:
    examples = TASK.validation()
    found = evaluate(model, TASK, examples, batch_size=24, device="cpu")
    by_hand = TASK.evaluation()
    with torch.no_grad():
        by_hand.add(model.eval()(examples.inputs), Batch(examples.inputs, examples.targets))
    assert_same(without_clocks(found), by_hand.result())


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_the_batch_size_does_not_matter(model: nn.Module, batch_size: int) -> None:
    examples = TASK.validation()
    whole, parts = (
        evaluate(model, TASK, examples, batch_size=size, device="cpu")
        for size in (examples.size, batch_size)
    )
    assert parts["examples"] == examples.size
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert parts["accuracy"] == pytest.approx(whole["accuracy"])


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_left_and_nothing_is_drawn(model: nn.Module, training: bool) -> None:
    model.train(training)
    before = random_states()
    evaluate(model, TASK, TASK.validation(), batch_size=10, device="cpu")
    assert_same(random_states(), before)
    assert all(part.training is training for part in model.modules())


def test_a_model_can_be_trained_after_evaluation(model: nn.Module) -> None:
    examples = TASK.validation()
    evaluate(model, TASK, examples, batch_size=10, device="cpu")
    model(examples.inputs).logits.square().mean().backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)


def test_time_speed_and_memory_are_told(model: nn.Module) -> None:
    examples = FixedExamples(TASK.validation().inputs[:8], TASK.validation().targets[:8])
    found = evaluate(model, TASK, examples, batch_size=8, device="cpu")
    assert found["seconds"] > 0
    assert found["examples_per_second"] == pytest.approx(8 / found["seconds"])
    assert 10**7 < found["peak_memory_bytes"] == peak_memory("cpu") < 10**12
