"""Models with published weights compute what the published code computed (see tests/golden)."""

import copy
import filecmp
import json
from argparse import Namespace
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ctm.errors import CheckpointError, ConfigError
from ctm.interface import Inputs, Thoughts
from ctm.layers.sync import Pairing
from ctm.losses import MazeLoss, SortLoss, TwoTickLoss
from ctm.models.build import set_engine
from ctm.models.config import Engine
from ctm.models.machine import ContinuousThoughtMachine
from ctm.models.published import load_published
from ctm.models.weights import load_strictly

GOLDEN = Path(__file__).parents[1] / "golden"
SHARED = GOLDEN.parents[2] / "shared" / "golden"
NAMES = sorted(file.parent.name for file in GOLDEN.glob("*/fixture.json"))


@dataclass(frozen=True)
class Golden:
    """What the published model was, what it was given, and what it made of it."""

    args: dict[str, Any]
    kind: str
    parameters: int
    grad_norms: dict[str, float | None]
    weights: dict[str, Tensor]
    expected: dict[str, Tensor]

    def model(self, engine: Engine = Engine.fast) -> nn.Module:
        model = load_published(self.args, self.weights, self.kind)
        if isinstance(model, ContinuousThoughtMachine):
            set_engine(model, engine)
        return model

    @property
    def inputs(self) -> Inputs:
        question = self.expected.get("question")
        return self.expected["input"] if question is None else (self.expected["input"], question)

    def targets(self) -> Tensor:
        return self.expected["target"]

    def loss(self) -> nn.Module:
        if self.kind == "ctm_sort":
            return SortLoss()
        return MazeLoss(lookahead=2) if "curriculum_upto" in self.expected else TwoTickLoss()


@cache
def golden(name: str) -> Golden:
    fixture = json.loads((GOLDEN / name / "fixture.json").read_text())
    weights, expected = (
        load_file(GOLDEN / name / f"{part}.safetensors") for part in ("weights", "expected")
    )
    facts = {key: fixture[key] for key in ("args", "kind", "parameters", "grad_norms")}
    return Golden(**facts, weights=weights, expected=expected)


@cache
def eval_thoughts(name: str) -> Thoughts:
    """Of the fixture's inputs, recorded."""
    with torch.no_grad():
        return golden(name).model().eval()(golden(name).inputs, record=True)


@cache
def eval_answers(name: str, engine: Engine) -> Thoughts:
    """Of the fixture's inputs, as an engine computes them."""
    with torch.no_grad():
        return golden(name).model(engine).eval()(golden(name).inputs)


each_fixture = pytest.mark.parametrize("name", NAMES)


def each_with(*parts: str) -> pytest.MarkDecorator:
    """The fixtures that hold these."""
    fitting = [name for name in NAMES if {*parts} <= {*golden(name).expected}]
    assert fitting
    return pytest.mark.parametrize("name", fitting)


each_engine = pytest.mark.parametrize("engine", [Engine.eager, Engine.fast])


def assert_near(ours: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/golden beside the project")
@each_fixture
def test_the_copied_fixture_is_the_shared_one(name: str) -> None:
    ours, shared = GOLDEN / name, SHARED / name
    files = sorted(file.name for file in shared.iterdir())
    assert sorted(file.name for file in ours.iterdir()) == files
    assert filecmp.cmpfiles(ours, shared, files, shallow=False) == (files, [], [])


# -- evaluation ------------------------------------------------------------------------------------


@each_fixture
def test_parameters_are_as_many_as_published(name: str) -> None:
    count = sum(parameter.numel() for parameter in golden(name).model().parameters())
    assert count == golden(name).parameters


@pytest.mark.parametrize("name", [n for n in NAMES if "neuron_select_type" in golden(n).args])
def test_the_pairing_is_the_published(name: str) -> None:
    ours = {
        "first-last": Pairing.dense,
        "random": Pairing.semi_dense,
        "random-pairing": Pairing.random,
    }
    model = golden(name).model()
    assert isinstance(model, ContinuousThoughtMachine)
    pairing = ours[golden(name).args["neuron_select_type"]]
    assert model.sync_out.pairing is pairing
    assert model.sync_action.pairing is pairing


@each_engine
@each_fixture
def test_predictions_equal_the_published(name: str, engine: Engine) -> None:
    ours = eval_answers(name, engine).logits.flatten(2).transpose(1, 2)
    published = golden(name).expected["predictions"]
    if published.dim() == 2:  # the feed-forward model's, of a single tick
        # logits of up to 58, whose float32 numbers lie 4e-6 apart
        torch.testing.assert_close(ours.squeeze(2), published, rtol=1e-6, atol=1e-5)
    else:
        assert_near(ours, published)


@each_engine
@each_with("certainties")
def test_certainties_equal_the_published(name: str, engine: Engine) -> None:
    certainty = eval_answers(name, engine).certainty
    both = torch.stack((1 - certainty, certainty), 1)
    assert_near(both, golden(name).expected["certainties"])


def traced(name: str, part: str) -> Tensor:
    """A part of the trace, ticks first."""
    trace = eval_thoughts(name).trace
    assert trace is not None
    return getattr(trace, part).transpose(0, 1)


@each_with("synch_out")
def test_the_synchronisation_that_answers_equals_the_published(name: str) -> None:
    assert_near(traced(name, "sync_out"), golden(name).expected["synch_out"])


@each_with("synch_action")
def test_the_synchronisation_that_asks_equals_the_published(name: str) -> None:
    assert_near(traced(name, "sync_action"), golden(name).expected["synch_action"])


@each_with("synch_out_last")
def test_the_last_synchronisation_equals_the_published(name: str) -> None:
    assert_near(traced(name, "sync_out")[-1], golden(name).expected["synch_out_last"])


@each_with("pre_activations")
def test_pre_activations_equal_the_published(name: str) -> None:
    assert_near(traced(name, "pre_activations"), golden(name).expected["pre_activations"])


@each_with("post_activations")
def test_post_activations_equal_the_published(name: str) -> None:
    assert_near(traced(name, "post_activations"), golden(name).expected["post_activations"])


@each_with("attention")
def test_attention_equals_the_published(name: str) -> None:
    """At the ticks that attend; at others there are zeros."""
    expected = golden(name).expected["attention"].squeeze(3)
    ours = traced(name, "attention")
    assert_near(ours[: len(expected)], expected, tolerance=1e-4)
    assert not ours[len(expected) :].any()


@each_with("embeddings")
def test_what_is_read_of_a_question_equals_the_published(name: str) -> None:
    fixture = golden(name)
    model = fixture.model().eval()
    assert isinstance(model, ContinuousThoughtMachine)
    images, codes = fixture.inputs
    readings = model.readings(fixture.inputs, 1)[images.shape[1] : -1]
    assert len(readings) == codes.shape[1]
    nothing = torch.zeros(len(codes), model.sync_action.pairs)
    read = torch.stack([reading(nothing) for reading in readings])
    assert_near(read, fixture.expected["embeddings"])


# -- training --------------------------------------------------------------------------------------


@each_engine
@each_with("train_loss")
def test_training_equals_the_published(name: str, engine: Engine) -> None:
    """Loss, the ticks and steps it counts, and the gradient of every parameter."""
    fixture = golden(name)
    model = fixture.model(engine).train()
    thoughts = model(fixture.inputs)
    loss = fixture.loss()
    if "selected_tick" in fixture.expected:
        chosen = thoughts.answers.certainty.argmax(1)  # counted among the ticks that answer
        assert chosen.tolist() == fixture.expected["selected_tick"].tolist()
    if isinstance(loss, MazeLoss):
        upto = loss.upto(thoughts, fixture.targets())
        assert upto.tolist() == fixture.expected["curriculum_upto"].tolist()
    value = loss(thoughts, fixture.targets())
    assert_near(value, fixture.expected["train_loss"])

    value.backward()
    ours = published_parameters(fixture)
    assert ours.keys() == fixture.grad_norms.keys()
    for published, expected in fixture.grad_norms.items():
        gradients = [model.get_parameter(our).grad for our in ours[published]]
        found = [gradient.flatten() for gradient in gradients if gradient is not None]
        if expected is None:
            assert not found, published
            continue
        assert len(found) == len(gradients), published
        gradient = torch.cat(found)
        if published.startswith("decay_params_"):
            stored = fixture.weights[published]
            gradient = gradient[(stored >= 0) & (stored <= 15)]
        got = gradient.double().norm().item()
        assert got == pytest.approx(expected, rel=1e-3, abs=1e-8), published


def published_parameters(fixture: Golden) -> dict[str, list[str]]:
    """For each published parameter those of ours that it fills, found by filling it with a mark."""
    names = list(fixture.grad_norms)
    marked = {
        name: torch.full_like(value, names.index(name)) if name in names else value
        for name, value in fixture.weights.items()
    }
    found: dict[str, list[str]] = {name: [] for name in names}
    for our, parameter in load_published(fixture.args, marked, fixture.kind).named_parameters():
        if not parameter.numel():  # of a synchronisation of no pairs
            continue
        (mark,) = parameter.unique().tolist()
        found[names[int(mark)]].append(our)
    return found


def test_every_parameter_of_ours_is_filled_by_one_published() -> None:
    filled = published_parameters(golden("parity_random"))
    assert filled["attention.in_proj_weight"] == [
        "reader.in_query.weight",
        "reader.in_key_value.weight",
    ]
    assert filled["q_proj.weight"] == ["reader.query.weight"]


# -- refusals --------------------------------------------------------------------------------------


def parity() -> Golden:
    return copy.deepcopy(golden("parity_random"))


each_weight = pytest.mark.parametrize("name", sorted(golden("parity_random").weights))


def names_of(name: str) -> list[str]:
    """What a published weight may be called in an error: its own name or ours."""
    if "_neuron_indices_" in name:
        return [name, f"sync_{name.replace('_neuron_indices_', '.')}"]
    return [name, *published_parameters(golden("parity_random"))[name]]


@each_weight
def test_a_missing_weight_is_refused_by_name(name: str) -> None:
    fixture = parity()
    del fixture.weights[name]
    with pytest.raises(CheckpointError) as refusal:
        fixture.model()
    assert any(f"{said} missing" in str(refusal.value) for said in names_of(name))


@pytest.mark.parametrize("change", ["shorter", "one axis more"])
@each_weight
def test_a_weight_of_another_shape_is_refused_by_name(name: str, change: str) -> None:
    fixture = parity()
    value = fixture.weights[name]
    fixture.weights[name] = value[:-1] if change == "shorter" else value.unsqueeze(1)
    with pytest.raises(CheckpointError) as refusal:
        fixture.model()
    assert any(said in str(refusal.value) for said in names_of(name))


def test_an_unexpected_weight_is_refused_by_name() -> None:
    fixture = parity()
    fixture.weights["value_head.weight"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=r"value_head\.weight unexpected"):
        fixture.model()


def test_a_refused_load_says_all_that_is_wrong_and_changes_nothing() -> None:
    model = parity().model()
    before = copy.deepcopy(model.state_dict())
    state = {name: value + 1 for name, value in before.items()}
    del state["start_z"]
    state["stranger"] = torch.zeros(1)
    state["answer.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError) as refusal:
        load_strictly(model, state)
    for fault in (
        "start_z missing",
        "stranger unexpected",
        "answer.bias is (3,), want (24,)",
    ):
        assert fault in str(refusal.value)
    assert "\n" not in str(refusal.value)
    for name, value in model.state_dict().items():
        assert value.equal(before[name]), name


def test_loading_leaves_the_given_weights_as_they_are() -> None:
    fixture = parity()
    model = fixture.model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    for name, value in golden("parity_random").weights.items():
        assert fixture.weights[name].equal(value), name


def test_an_image_model_without_its_first_layer_is_refused_by_name() -> None:
    fixture = copy.deepcopy(golden("image_random_pairing"))
    del fixture.weights["initial_rgb.weight"]
    with pytest.raises(CheckpointError, match=r"initial_rgb\.weight missing"):
        fixture.model()


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("neuron_select_type", "last-first", "first-last, random, random-pairing"),
        ("backbone_type", "vgg16", "resnet34-2"),
        ("backbone_type", "resnet19-1", "18, 34, 50, 101, 152"),
        ("backbone_type", "resnet18-5", "1 to 4"),
        ("positional_embedding_type", "sinus", "custom-rotational-1d"),
        ("positional_embedding_type", "custom-rotational", "rotational_1d"),
        ("positional_embedding_type", [], "custom-rotational-1d"),
        ("backbone_type", None, "backbone_type missing"),
        ("d_model", "wide", "d_model=wide: want a whole number"),
        ("heads", 5, "divisor"),
    ],
)
def test_an_unknown_argument_is_refused_with_what_is_allowed(
    argument: str, value: Any, allowed: str
) -> None:
    name = "image_random_pairing" if argument == "backbone_type" else "parity_random"
    fixture = copy.deepcopy(golden(name))
    fixture.args[argument] = value
    with pytest.raises(ConfigError) as refusal:
        fixture.model()
    assert allowed in str(refusal.value)


def test_a_missing_argument_is_refused_by_name() -> None:
    fixture = parity()
    del fixture.args["d_model"]
    with pytest.raises(ConfigError, match="d_model missing"):
        fixture.model()


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"kind=gru: choose one of .*ctm"):
        load_published({}, {}, kind="gru")


@pytest.mark.parametrize(
    ("name", "length", "shape"),
    [
        ("parity_random", {"parity_sequence_length": 12}, (12, 2)),
        ("maze_first_last", {"maze_route_length": 10}, (10, 5)),
        ("image_random_pairing", {}, (7,)),
    ],
)
def test_arguments_of_a_training_checkpoint_give_the_output_shape(
    name: str, length: dict[str, int], shape: tuple[int, ...]
) -> None:
    fixture = golden(name)
    args = {key: value for key, value in fixture.args.items() if key != "prediction_reshaper"}
    model = load_published(Namespace(**args, **length), fixture.weights)
    assert isinstance(model, ContinuousThoughtMachine)
    assert model.output_shape == shape
    assert model.state_dict().keys() == fixture.model().state_dict().keys()
