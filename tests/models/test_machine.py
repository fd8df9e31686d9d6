"""What holds for every machine, whatever its parts."""

import copy
import dataclasses
import io
import math
import pickle
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ctm.interface import Thoughts, Trace
from ctm.layers.neurons import NeuronLevelModels, PerNeuronLinear
from ctm.layers.reading import ReadingKind
from ctm.layers.sync import Pairing, Synchronisation
from ctm.losses import TwoTickLoss
from ctm.models.build import set_engine
from ctm.models.config import Engine, NeuronModels, NoEncoderConfig, ParityEncoderConfig
from ctm.models.machine import ContinuousThoughtMachine, State
from tests.build import SIGNS, VARIANTS, VECTOR, Variant, generator, variant

each_variant = pytest.mark.parametrize("name", VARIANTS)


def tensors_of(state: State) -> list[Tensor]:
    return [state.history, state.z, *state.action, *state.out]


# -- ticks -----------------------------------------------------------------------------------------


@each_variant
def test_a_tick_is_pure(name: str) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs()
    with torch.no_grad():
        reading = model.readings(inputs, 1)[0]
        state = model.tick(model.start(len(inputs)), reading)
        before = [value.clone() for value in tensors_of(state)]
        weights = copy.deepcopy(model.state_dict())
        once, twice = model.tick(state, reading), model.tick(state, reading)
    for value, kept in zip(tensors_of(state), before, strict=True):
        assert value.equal(kept)
    for one, other in zip(tensors_of(once), tensors_of(twice), strict=True):
        assert one.equal(other)
    for key, value in model.state_dict().items():
        assert value.equal(weights[key]), key


@each_variant
def test_a_pass_is_start_read_ticks_and_predict(name: str) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs()
    state, reading, synced = model.start(len(inputs)), model.readings(inputs, 1)[0], []
    for _ in range(VARIANTS[name].config.ticks):
        state = model.tick(state, reading)
        synced.append(model.sync_out(state.out))
    set_engine(model, Engine.eager)
    assert model(inputs).logits.equal(model.predict(torch.stack(synced, 1)))


@each_variant
def test_states_can_not_be_changed_in_place(name: str) -> None:
    state = VARIANTS[name].model().start(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.z = torch.zeros(2)  # pyright: ignore[reportAttributeAccessIssue]


@each_variant
def test_fewer_ticks_are_the_first_of_more(name: str) -> None:
    model, inputs = VARIANTS[name].model().double(), VARIANTS[name].inputs().double()
    long = model(inputs, record=True, ticks=7)
    short = model(inputs, record=True, ticks=3)
    assert (short.ticks, long.ticks) == (3, 7)
    torch.testing.assert_close(short.logits, long.logits[:, :3])
    torch.testing.assert_close(short.certainty, long.certainty[:, :3])
    for field, value in vars(short.trace).items():
        other = getattr(long.trace, field)
        if value is None:
            assert other is None
        else:
            torch.testing.assert_close(value, other[:, :3])


@each_variant
def test_a_pass_thinks_for_the_models_own_number_of_ticks(name: str) -> None:
    thoughts = VARIANTS[name].model()(VARIANTS[name].inputs())
    ticks, shape = VARIANTS[name].config.ticks, VARIANTS[name].spec.output_shape
    assert thoughts.logits.shape == (3, ticks, *shape)
    assert thoughts.certainty.shape == (3, ticks)


# -- recording -------------------------------------------------------------------------------------


@each_variant
def test_recording_changes_no_thought(name: str) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs()
    set_engine(model, Engine.eager)  # the one that records
    plain, recorded = model(inputs), model(inputs, record=True)
    assert plain.trace is None
    assert recorded.logits.equal(plain.logits)
    assert recorded.certainty.equal(plain.certainty)


@each_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_trace_is_float32_on_the_cpu_and_detached(name: str, dtype: torch.dtype) -> None:
    config, model = VARIANTS[name].config, VARIANTS[name].model().to(dtype)
    trace = model(VARIANTS[name].inputs().to(dtype), record=True).trace
    shapes: dict[str, tuple[int, ...]] = {
        "pre_activations": (3, config.ticks, config.neurons),
        "post_activations": (3, config.ticks, config.neurons),
        "sync_out": (3, config.ticks, model.sync_out.pairs),
    }
    if config.reading is ReadingKind.attention:
        tokens = model.encoder(VARIANTS[name].inputs()).shape[1]
        shapes["sync_action"] = (3, config.ticks, model.sync_action.pairs)
        shapes["attention"] = (3, config.ticks, config.heads, tokens)
    for field in dataclasses.fields(Trace):
        value = getattr(trace, field.name)
        if field.name not in shapes:
            assert value is None, field.name
            continue
        assert value.shape == shapes[field.name], field.name
        assert value.dtype == torch.float32, field.name
        assert value.device.type == "cpu", field.name
        assert not value.requires_grad, field.name


def test_recorded_attention_sums_to_one_without_dropout() -> None:
    attentive = variant(SIGNS, ParityEncoderConfig(), dropout=0.5)
    model = attentive.model().train()
    trace = model(attentive.inputs(), record=True).trace
    assert trace is not None
    assert trace.attention is not None
    torch.testing.assert_close(trace.attention.sum(-1), torch.ones(3, 4, 2))


def test_a_machine_without_synchronisation_records_none() -> None:
    single = variant(SIGNS, ParityEncoderConfig(), pairing=Pairing.none)
    trace = single.model()(single.inputs(), record=True).trace
    assert trace is not None
    assert trace.pre_activations is not None
    assert trace.attention is not None
    assert trace.sync_out is trace.sync_action is None


# -- examples of a batch ---------------------------------------------------------------------------


@each_variant
def test_examples_of_a_batch_know_nothing_of_each_other(name: str) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs(4)
    others = torch.cat((inputs[:1], VARIANTS[name].inputs(3, seed=9)))
    assert not others.equal(inputs)
    together, elsewhere = model(inputs), model(others)
    assert together.logits[0].equal(elsewhere.logits[0])
    alone = model(inputs[:1])
    torch.testing.assert_close(alone.logits[0], together.logits[0], rtol=1e-4, atol=1e-5)


# -- saving, copying, moving -----------------------------------------------------------------------


def same_thoughts(
    model: ContinuousThoughtMachine, other: ContinuousThoughtMachine, inputs: Tensor
) -> bool:
    one, two = model(inputs), other(inputs)
    return one.logits.equal(two.logits) and one.certainty.equal(two.certainty)


@each_variant
def test_a_model_survives_pickling(name: str) -> None:
    model = VARIANTS[name].model()
    assert same_thoughts(model, pickle.loads(pickle.dumps(model)), VARIANTS[name].inputs())


@each_variant
def test_a_copy_is_equal_and_its_own(name: str) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs()
    copied = copy.deepcopy(model)
    assert same_thoughts(model, copied, inputs)
    with torch.no_grad():
        copied.start_z.add_(1)
    assert not same_thoughts(model, copied, inputs)


@each_variant
def test_a_state_dict_makes_another_model_equal(name: str) -> None:
    model, other = VARIANTS[name].model(seed=0), VARIANTS[name].model(seed=5)
    inputs = VARIANTS[name].inputs()
    assert not same_thoughts(model, other, inputs)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert same_thoughts(model, other, inputs)


@each_variant
def test_bfloat16_stays_near_float32(name: str) -> None:
    model, inputs = VARIANTS[name].fresh().eval(), VARIANTS[name].inputs()
    exact, rough = model(inputs), copy.deepcopy(model).bfloat16()(inputs)
    assert rough.logits.dtype == torch.bfloat16
    assert rough.certainty.dtype == torch.float32
    torch.testing.assert_close(rough.logits.float(), exact.logits, rtol=0.1, atol=0.05)
    torch.testing.assert_close(rough.certainty, exact.certainty, rtol=0.1, atol=0.05)


@each_variant
def test_sums_of_synchronisation_stay_float32_in_bfloat16(name: str) -> None:
    model, inputs = VARIANTS[name].model().bfloat16(), VARIANTS[name].inputs().bfloat16()
    start = model.start(len(inputs))
    state = model.tick(start, model.readings(inputs, 1)[0])
    for sums in (start.action, start.out, state.action, state.out):
        assert {value.dtype for value in sums} == {torch.float32}


@each_variant
def test_training_works_under_autocast(name: str) -> None:
    model, inputs = VARIANTS[name].fresh(), VARIANTS[name].inputs()
    exact = model(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        thoughts = model(inputs, record=True)
        loss = TwoTickLoss()(thoughts, VARIANTS[name].targets())
    loss.backward()
    assert thoughts.certainty.dtype == torch.float32
    assert thoughts.trace is not None
    assert thoughts.trace.post_activations.dtype == torch.float32
    torch.testing.assert_close(thoughts.logits.float(), exact.logits, rtol=0.1, atol=0.05)
    for key, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.dtype == torch.float32, key
            assert parameter.grad.isfinite().all(), key


# -- decays ----------------------------------------------------------------------------------------


def with_decays(*stored: float) -> tuple[Variant, ContinuousThoughtMachine]:
    """A machine whose first pairs have these decays."""
    parity = VARIANTS["parity"]
    model = parity.model()
    with torch.no_grad():
        for sync in (model.sync_out, model.sync_action):
            sync.decay.zero_()
            sync.decay[: len(stored)] = torch.tensor(stored)
    return parity, model


def test_decays_have_a_gradient_at_and_beyond_their_limits() -> None:
    parity, model = with_decays(-1.0, 0.0, 0.5, 15.0, 16.0)
    model(parity.inputs()).logits.square().sum().backward()
    for sync in (model.sync_out, model.sync_action):
        assert sync.decay.grad is not None
        assert (sync.decay.grad != 0).all()


def test_decays_beyond_their_limits_act_as_the_limits() -> None:
    parity, beyond = with_decays(-1.0, 0.0, 0.5, 15.0, 16.0)
    _, within = with_decays(0.0, 0.0, 0.5, 15.0, 15.0)
    assert same_thoughts(beyond, within, parity.inputs())


def test_training_moves_stored_decays_back_and_evaluation_leaves_them() -> None:
    parity, model = with_decays(-1.0, 0.0, 0.5, 15.0, 16.0)
    stored = model.sync_out.decay.detach().clone()
    model.eval()(parity.inputs())
    assert model.sync_out.decay.equal(stored)
    model.train()(parity.inputs())
    for sync in (model.sync_out, model.sync_action):
        assert sync.decay[:5].tolist() == [0.0, 0.0, 0.5, 15.0, 15.0]


# -- first weights ---------------------------------------------------------------------------------


@each_variant
def test_equal_seeds_give_equal_weights_and_others_others(name: str) -> None:
    one, same, other = (VARIANTS[name].fresh(seed).state_dict() for seed in (3, 3, 4))
    differ = set()
    for key, value in one.items():
        assert value.equal(same[key]), key
        if not value.equal(other[key]):
            differ.add(key)
    wanted = {"start_z", "start_history", "answer.weight"}
    assert wanted <= differ


@each_variant
def test_building_leaves_global_randomness_alone(name: str) -> None:
    def drawn() -> list[float]:
        """What each global generator would give next, from a state set before."""
        legacy = np.random.rand()  # noqa: NPY002
        return [torch.rand(1).item(), random.random(), legacy]

    def seed_all() -> None:
        torch.manual_seed(5)
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002

    seed_all()
    expected = drawn()
    seed_all()
    VARIANTS[name].fresh(seed=1)
    assert drawn() == expected


@each_variant
def test_no_weight_is_left_unset(name: str) -> None:
    """Memory that nobody filled would hold what was there before."""
    for key, value in VARIANTS[name].fresh().state_dict().items():
        assert value.isfinite().all(), key
        assert value.abs().max() < 1e3 if value.numel() else True, key


def test_start_states_are_uniform_within_their_bounds() -> None:
    wide = variant(SIGNS, ParityEncoderConfig(), neurons=900, memory_length=124)
    model = wide.fresh()
    for start, bound in ((model.start_z, 1 / 30), (model.start_history, 1 / 32)):
        assert start.abs().max() <= bound
        assert start.abs().max() > 0.98 * bound
        assert start.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_neuron_level_models_start_within_their_bounds() -> None:
    wide = variant(SIGNS, ParityEncoderConfig(), neurons=200, memory_length=7, nlm_hidden=4)
    models = wide.fresh().neuron_models
    assert isinstance(models, NeuronLevelModels)
    for layer, sizes in zip(models.layers, ((7, 8), (4, 2)), strict=True):
        assert isinstance(layer, PerNeuronLinear)
        bound = 1 / math.sqrt(sum(sizes))
        assert layer.weight.shape == (200, *sizes)
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.98 * bound
        assert not layer.bias.any()
        assert layer.temperature.tolist() == [1.0]


@each_variant
def test_decays_start_at_zero(name: str) -> None:
    model = VARIANTS[name].fresh()
    assert not model.sync_out.decay.any()
    assert not model.sync_action.decay.any()


# -- pairs -----------------------------------------------------------------------------------------


def pairs_of(sync: Synchronisation) -> list[tuple[int, int]]:
    return list(zip(sync.left.tolist(), sync.right.tolist(), strict=True))


def test_dense_pairs_are_the_first_neurons_to_answer_and_the_last_to_ask() -> None:
    dense = variant(
        SIGNS, ParityEncoderConfig(), neurons=9, sync_out=3, sync_action=2, pairing=Pairing.dense
    )
    model = dense.fresh()
    assert pairs_of(model.sync_out) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    assert pairs_of(model.sync_action) == [(7, 7), (7, 8), (8, 8)]


def test_random_pairs_begin_with_neurons_paired_with_themselves() -> None:
    paired = variant(
        SIGNS,
        ParityEncoderConfig(),
        neurons=50,
        sync_out=40,
        sync_action=30,
        pairing=Pairing.random,
        self_pairs=6,
    )
    model = paired.fresh()
    for sync, count in ((model.sync_out, 40), (model.sync_action, 30)):
        pairs = pairs_of(sync)
        assert len(pairs) == count
        assert all(left == right for left, right in pairs[:6])
        assert any(left != right for left, right in pairs[6:])
        assert {neuron for pair in pairs for neuron in pair} <= set(range(50))


def test_semi_dense_pairs_are_the_upper_triangle_of_two_random_sets() -> None:
    semi = variant(SIGNS, ParityEncoderConfig(), neurons=1000, sync_out=5, sync_action=4)
    model = semi.fresh()
    for sync, size in ((model.sync_out, 5), (model.sync_action, 4)):
        pairs = pairs_of(sync)
        left = list(dict.fromkeys(pair[0] for pair in pairs))
        right = [pair[1] for pair in pairs[:size]]
        assert left != right
        expected = [(left[i], right[j]) for i in range(size) for j in range(i, size)]
        assert pairs == expected


def test_random_draws_are_with_replacement() -> None:
    few = variant(
        SIGNS, ParityEncoderConfig(), neurons=3, sync_out=50, sync_action=50, pairing=Pairing.random
    )
    assert set(few.fresh().sync_out.left.tolist()) == {0, 1, 2}


# -- gradients, dropout, output --------------------------------------------------------------------


@each_variant
def test_every_parameter_has_a_gradient(name: str) -> None:
    model = VARIANTS[name].model().train()
    model(VARIANTS[name].inputs()).logits.square().sum().backward()
    # without neuron-level models nothing reads the history; nothing asks in direct reading
    unused = {
        "no_neuron_models": {"start_history"},
        "direct": {"sync_action.decay"},
    }.get(name, set())
    for key, parameter in model.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.any())
        assert reached != (key in unused), key


def test_inputs_have_a_gradient_at_every_tick() -> None:
    conv = VARIANTS["conv_dense_unet_layernorm"]
    inputs = conv.inputs().requires_grad_()
    logits = conv.model()(inputs).logits
    for tick in range(logits.shape[1]):
        (gradient,) = torch.autograd.grad(logits[:, tick].square().sum(), inputs, retain_graph=True)
        assert gradient.any(), tick


@pytest.mark.parametrize(("own", "wanted"), [(None, 0.3), (0.0, 0.0), (0.1, 0.1)])
def test_neuron_level_models_drop_as_the_rest_unless_told(own: float | None, wanted: float) -> None:
    dropping = variant(
        SIGNS, ParityEncoderConfig(), dropout=0.3, dropout_nlm=own, synapse_depth=3
    ).fresh()
    inside = [part.p for part in dropping.neuron_models.modules() if isinstance(part, nn.Dropout)]
    synapse = [part.p for part in dropping.synapse.modules() if isinstance(part, nn.Dropout)]
    assert inside == [wanted, wanted]
    assert synapse == [0.3] * 4


def test_dropout_acts_in_training_only() -> None:
    dropping = variant(SIGNS, ParityEncoderConfig(), dropout=0.4)
    model, inputs = dropping.model(), dropping.inputs()
    assert same_thoughts(model, model, inputs)
    assert not same_thoughts(model.train(), model, inputs)


@each_variant
def test_building_and_thinking_print_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    VARIANTS[name].fresh()(VARIANTS[name].inputs(), record=True)
    assert capsys.readouterr() == ("", "")


def test_a_direct_reading_asks_nothing() -> None:
    direct = variant(VECTOR, NoEncoderConfig(), reading=ReadingKind.direct)
    model = direct.fresh()
    assert model.sync_action.pairs == 0
    inputs = direct.inputs()
    reading = model.readings(inputs, 1)[0]
    assert reading(torch.zeros(3, 0)) is inputs


def test_without_neuron_models_the_newest_pre_activation_is_the_post_activation() -> None:
    trace = (
        VARIANTS["no_neuron_models"]
        .model()(VARIANTS["no_neuron_models"].inputs(), record=True)
        .trace
    )
    assert trace.post_activations.equal(trace.pre_activations)


def test_without_neuron_models_the_unused_history_is_still_counted() -> None:
    none = variant(SIGNS, ParityEncoderConfig(), neuron_models=NeuronModels.none)
    assert "start_history" in dict(none.fresh().named_parameters())


def test_thoughts_of_half_precision_have_exact_certainty() -> None:
    logits = torch.randn(3, 4, 5, generator=generator(0)).bfloat16()
    thoughts = Thoughts.of(logits)
    torch.testing.assert_close(thoughts.certainty, Thoughts.of(logits.float()).certainty)
