"""What every model keeps to on every task: the same terms for all, and nothing lost on the way."""

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ctm.app.compare.contenders import CONTENDERS, contender
from ctm.app.compose import Experiment, compose, instantiate
from ctm.app.pictures import scene
from ctm.interface import Batch, Readout, each
from ctm.models.build import Model, build_model
from ctm.models.feedforward import FeedForward
from ctm.models.ticking import TickingModel
from tests.build import generator

SMALL = ["model.neurons=16", "model.d_input=8", "model.memory_length=3", "model.heads=2"]
TASKS = {
    "parity": ["experiment=parity/quick", "task.length=6", *SMALL],
    "mazes": ["experiment=mazes/quick", "task.train_size=40", "task.test_size=8",
              "task.validation_size=8", *SMALL],
    "sort": ["experiment=sort/quick", "task.length=8", "model.neurons=16", "model.sync_out=8"],
    "digits": ["experiment=digits/quick", *SMALL],
    "questions": ["experiment=qamnist/quick", "task.min_digits=2", "task.min_operations=2", *SMALL],
    "words": ["experiment=state_tracking/s3", "task.symbol_ticks=2", *SMALL],
}  # fmt: skip
BATCH = 6
# CTC needs a tick for each label, so sorting has no twin of one tick
PAIRS = [(name, task) for task in TASKS for name in CONTENDERS if (name, task) != ("twin", "sort")]
every_model_and_task = pytest.mark.parametrize(("name", "task"), PAIRS)
WITH_SCENE = [(name, task) for name, task in PAIRS if task != "sort"]  # drawn as what is said
WITH_TWIN = [task for name, task in PAIRS if name == "twin"]


@pytest.fixture(scope="module", autouse=True)
def in_a_folder_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Where mazes can be made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("contract"))
        yield


@cache
def reference(task: str) -> Experiment:
    return compose(TASKS[task])


@cache
def batch_of(task: str) -> Batch:
    """A batch with several things to read, also where each batch has a length of its own."""
    training = reference(task).task.training()
    tries = (training.take(torch.arange(BATCH), generator(seed)) for seed in range(20))
    return next(batch for batch in tries if task != "words" or batch.inputs.shape[1] > 3)


def experiment_of(name: str, task: str) -> Experiment:
    return contender(name, reference(task), {})


def model_of(name: str, task: str) -> Model:
    experiment = experiment_of(name, task)
    return build_model(experiment.model, experiment.task.spec, seed=1)


@every_model_and_task
def test_logits_certainties_and_readouts_have_their_shapes(name: str, task: str) -> None:
    batch, spec = batch_of(task), experiment_of(name, task).task.spec
    thoughts = model_of(name, task).eval()(batch.inputs, record=True)
    assert thoughts.logits.shape == (BATCH, thoughts.ticks, *spec.output_shape)
    assert thoughts.certainty.shape == (BATCH, thoughts.ticks)
    assert bool(((thoughts.certainty >= 0) & (thoughts.certainty <= 1)).all())
    for readout in Readout:
        assert thoughts.at(readout).shape == (BATCH, *spec.output_shape)
    assert thoughts.trace is not None
    assert thoughts.trace.post_activations.shape[0] == BATCH


@pytest.mark.parametrize(("name", "task"), WITH_SCENE)
def test_what_it_thinks_can_be_drawn(name: str, task: str) -> None:
    batch, problem = batch_of(task), experiment_of(name, task).task
    model = model_of(name, task).eval()
    if name == "twin":  # things are shown for one tick each, not for as many as the reference's
        batch = problem.training().take(torch.arange(BATCH), generator(0))
    thoughts = model(batch.inputs, record=True)
    inputs = each(batch.inputs, lambda values: values[0])
    seen = scene(model, problem, thoughts, 0, inputs, batch.targets[0])
    assert seen.ticks == thoughts.ticks
    assert bool(seen.moments) == (thoughts.answering is not None)


@every_model_and_task
def test_no_example_of_a_batch_sees_another(name: str, task: str) -> None:
    model, inputs = model_of(name, task).eval(), batch_of(task).inputs
    whole = model(inputs).logits
    others = each(inputs, lambda values: values[[0, 3, 5]])
    torch.testing.assert_close(model(others).logits, whole[[0, 3, 5]], atol=1e-5, rtol=1e-5)
    alone = each(inputs, lambda values: values[:1])
    torch.testing.assert_close(model(alone).logits, whole[:1], atol=1e-5, rtol=1e-5)


@every_model_and_task
def test_no_parameter_is_without_gradient(name: str, task: str) -> None:
    experiment, batch = experiment_of(name, task), batch_of(task)
    model = build_model(experiment.model, experiment.task.spec, seed=1)
    loss = instantiate(experiment.loss, "loss")
    loss(model(batch.inputs), batch.targets).backward()
    idle = [
        key
        for key, weight in model.named_parameters()
        if weight.numel() and (weight.grad is None or not weight.grad.any())
    ]
    # what asks at the first tick is the start state alone: nothing has faded yet
    assert idle == (["sync_action.decay"] if asks_once(name, task) else [])


def asks_once(name: str, task: str) -> bool:
    return name == "twin" and task in ("parity", "mazes", "digits")


@every_model_and_task
def test_a_tick_gives_a_state_of_the_shapes_that_it_took(name: str, task: str) -> None:
    model = model_of(name, task).eval()
    if isinstance(model, FeedForward):
        assert model.ticks == 1  # has no state
        return
    assert isinstance(model, TickingModel)
    inputs = batch_of(task).inputs
    reading = model.readings(inputs, 1)[0]
    first = model.tick(model.start(BATCH), reading)
    before = [tensor.clone() for tensor in tensors(first)]
    second = model.tick(first, reading)
    assert shapes(second) == shapes(first)
    # pure: what went in is as it was, and gives the same again
    assert all(map(torch.equal, tensors(first), before))
    assert all(map(torch.equal, tensors(model.tick(first, reading)), tensors(second)))


def tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    values = [getattr(state, f.name) for f in fields(state)] if is_dataclass(state) else state
    return [tensor for value in values for tensor in tensors(value)]


def shapes(state: Any) -> list[tuple[torch.Size, torch.dtype]]:
    return [(tensor.shape, tensor.dtype) for tensor in tensors(state)]


@every_model_and_task
def test_encoder_head_loss_and_budget_are_those_of_the_reference(name: str, task: str) -> None:
    ours, theirs = reference(task), experiment_of(name, task)
    model, machine = model_of(name, task), model_of("ctm", task)
    if task != "sort" or name == "lstm":  # there the machine reads plain numbers, without encoder
        assert parts_of(model).items() <= parts_of(machine).items()
        assert parts_of(model)
    assert isinstance(model.answer, nn.Linear)
    labels = model.answers if isinstance(model, FeedForward) else 1
    assert model.answer.out_features == labels * machine.answer.out_features
    assert (theirs.loss, theirs.optimizer, theirs.schedule) == (
        ours.loss, ours.optimizer, ours.schedule,
    )  # fmt: skip
    assert theirs.trainer == ours.trainer
    assert theirs.model.readout == ours.model.readout
    assert theirs.model.dropout == ours.model.dropout


def parts_of(model: Model) -> dict[str, torch.Size]:
    """Shapes of what turns inputs into features; a feed-forward model projects no tokens."""
    if isinstance(model, FeedForward):
        inner = getattr(model.backbone, "encoder", None)
        found = inner.state_dict() if inner is not None else {
            f"backbone.{key}": value for key, value in model.backbone.state_dict().items()
        }  # fmt: skip
    else:
        found = model.encoder.state_dict()
    return {key: value.shape for key, value in found.items()} or {"": torch.Size()}


@pytest.mark.parametrize("task", WITH_TWIN)
def test_a_machine_and_its_twin_have_the_same_parameters(task: str) -> None:
    ours, twins = model_of("ctm", task), model_of("twin", task)
    assert ours.ticks > 1
    assert twins.ticks == 1
    for (name, weight), (other, same) in zip(
        ours.named_parameters(), twins.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(weight, same)
