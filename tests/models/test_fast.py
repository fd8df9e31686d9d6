"""The fast engine gives what the plain loop gives, whatever is asked of it."""

import copy
import gc
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from ctm.errors import ConfigError
from ctm.interface import Thoughts
from ctm.layers.fast import linear
from ctm.layers.fast.linear import ENOUGH_ROWS
from ctm.layers.fast.neurons import MANY
from ctm.layers.fast.reading import ENOUGH_TICKS
from ctm.layers.sync import Pairing
from ctm.losses import MazeLoss, TwoTickLoss
from ctm.models import fast
from ctm.models.build import set_engine
from ctm.models.config import ConvEncoderConfig, Engine, ParityEncoderConfig, VectorEncoderConfig
from ctm.models.machine import ContinuousThoughtMachine
from tests.build import IMAGE, ROUTE, SIGNS, VARIANTS, VECTOR, Variant, generator, variant

Loss = Callable[[Thoughts], Tensor]

# each part once more, and lengths at which something happens
MACHINES: dict[str, Variant] = VARIANTS | {
    "deep_dense_unet": variant(
        IMAGE, ConvEncoderConfig(widths=[4]), pairing=Pairing.dense, synapse_depth=3
    ),
    "linear_nlm": variant(SIGNS, ParityEncoderConfig(), nlm_hidden=0),
    "semi_dense_mlp": variant(VECTOR, VectorEncoderConfig(), nlm_hidden=3, memory_length=5),
    "one_neuron": variant(
        SIGNS, ParityEncoderConfig(), neurons=1, sync_out=1, sync_action=1, memory_length=2
    ),
    "no_past": variant(SIGNS, ParityEncoderConfig(), memory_length=1),
    "much_past": variant(SIGNS, ParityEncoderConfig(), memory_length=9, ticks=2),
    "many_ticks": variant(VECTOR, VectorEncoderConfig(), ticks=35),
}
SIZES = (1, MANY - 1, MANY, MANY + 1)
each_variant = pytest.mark.parametrize("name", VARIANTS)
each_machine = pytest.mark.parametrize("name", MACHINES)


def test_the_machines_here_reach_what_happens_at_many_ticks() -> None:
    ticks = MACHINES["many_ticks"].config.ticks
    assert ticks > ENOUGH_TICKS
    assert ticks * max(SIZES) > ENOUGH_ROWS


# -- comparing -------------------------------------------------------------------------------------


def weighed(thoughts: Thoughts) -> Tensor:
    """A loss that every number of an answer reaches, each by a weight of its own."""
    direction = torch.randn(thoughts.logits.shape, generator=generator(7), dtype=torch.float64)
    return (thoughts.logits * direction.to(thoughts.logits.dtype)).sum()


def pair(model: ContinuousThoughtMachine) -> Iterator[ContinuousThoughtMachine]:
    """Two copies: the plain loop, and the fast engine."""
    for engine in (Engine.eager, Engine.fast):
        copied = copy.deepcopy(model)
        set_engine(copied, engine)
        assert (copied.engine is fast.think) == (engine is Engine.fast)
        yield copied


def gradients_of(model: nn.Module) -> dict[str, Tensor | None]:
    return {name: weight.grad for name, weight in model.named_parameters()}


def learned(
    model: ContinuousThoughtMachine, inputs: Tensor, loss: Loss = weighed
) -> dict[str, Tensor | None]:
    """All that comes of a pass and its backward pass."""
    inputs = inputs.clone().requires_grad_()
    model.zero_grad(set_to_none=True)
    thoughts = model(inputs)
    loss(thoughts).backward()
    return {
        "logits": thoughts.logits.detach(),
        "certainty": thoughts.certainty.detach(),
        **{f"gradient of {name}": value for name, value in gradients_of(model).items()},
        "gradient of the inputs": inputs.grad,
        **{name: value.clone() for name, value in model.named_buffers()},
    }


def numbers(found: dict[str, Tensor | None]) -> Tensor:
    """All gradients in a row."""
    grads = [value for name, value in found.items() if name.startswith("gradient")]
    return torch.cat([value.flatten() for value in grads if value is not None])


def assert_equal(
    ours: dict[str, Tensor | None],
    wanted: dict[str, Tensor | None],
    *,
    values: float = 1e-6,
    gradients: float = 1e-9,
) -> None:
    """Values by their difference, gradients by that relative to the largest of their tensor."""
    assert ours.keys() == wanted.keys()
    largest = float(numbers(wanted).abs().max())
    for name, want in wanted.items():
        got = ours[name]
        if want is None or got is None:
            assert got is want, name
            continue
        assert got.dtype == want.dtype, name
        tolerance = values if got.dtype == torch.float32 else min(values, 1e-9)
        if name.startswith("gradient") and want.numel():
            # a gradient that is zero but for rounding has no scale of its own
            tolerance = gradients * max(float(want.abs().max()), 1e-3 * largest)
        torch.testing.assert_close(
            got, want, rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


def assert_fast_equals_eager(
    model: ContinuousThoughtMachine, inputs: Tensor, loss: Loss = weighed, **tolerances: float
) -> None:
    eager, quick = (learned(each, inputs, loss) for each in pair(model))
    assert_equal(quick, eager, **tolerances)


# -- every machine, every batch --------------------------------------------------------------------


@each_machine
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch", SIZES)
def test_thoughts_and_gradients_are_equal_in_float64(name: str, batch: int, training: bool) -> None:
    if training and batch == 1 and name == "resnet_fourier":
        batch = 2  # BatchNorm wants more than one number
    model = MACHINES[name].model().double().train(training)
    assert_fast_equals_eager(model, MACHINES[name].inputs(batch).double())


@each_machine
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch", SIZES)
def test_thoughts_and_gradients_are_equal_in_float32(name: str, batch: int, training: bool) -> None:
    """Or, where float32 itself gives no better, as near to float64 as the plain loop is."""
    if training and batch == 1 and name == "resnet_fourier":
        batch = 2
    model, inputs = MACHINES[name].model().train(training), MACHINES[name].inputs(batch)
    eager, quick = (learned(each, inputs) for each in pair(model))
    exact = learned(next(pair(model.double())), inputs.double())
    for key in ("logits", "certainty"):
        torch.testing.assert_close(quick[key], eager[key], rtol=0, atol=1e-5)
    plain, ours = gradient_errors(eager, exact), gradient_errors(quick, exact)
    assert ours.keys() == plain.keys()
    bound = max(1e-4, 3 * max(plain.values(), default=0.0))
    assert {key: error for key, error in ours.items() if error > bound} == {}


def gradient_errors(
    found: dict[str, Tensor | None], exact: dict[str, Tensor | None]
) -> dict[str, float]:
    """Of each gradient the largest error, relative to its largest value (if that is not tiny).

    A gradient of one number, such as a temperature's, adds up what all neurons say at all ticks, of
    either sign, and keeps the rounding of all: it is held against the largest gradient of all.
    """
    largest = max(
        (float(value.abs().max()) for key, value in exact.items()
         if key.startswith("gradient") and value is not None and value.numel()), default=0.0
    )  # fmt: skip
    errors = {}
    for key, wanted in exact.items():
        value = found[key]
        if wanted is None or value is None:
            assert value is wanted, key
        elif key.startswith("gradient") and wanted.numel():
            error, scale = (each.abs().max().item() for each in (value - wanted, wanted))
            errors[key] = error / max(scale, 1e-2 if wanted.numel() > 1 else largest)
    return errors


@each_machine
def test_a_pass_of_no_examples_gives_no_answers_and_gradients_of_zero(name: str) -> None:
    model = MACHINES[name].model().double()
    found = learned(model, MACHINES[name].inputs(2).double()[:0])
    assert found["logits"] is not None
    assert len(found["logits"]) == 0
    assert_fast_equals_eager(model, MACHINES[name].inputs(2).double()[:0])


@each_variant
@pytest.mark.parametrize("ticks", [1, 2, 20])
def test_another_number_of_ticks_is_equal(name: str, ticks: int) -> None:
    model, inputs = VARIANTS[name].model().double(), VARIANTS[name].inputs().double()
    eager, quick = (each(inputs, ticks=ticks) for each in pair(model))
    assert quick.ticks == ticks
    torch.testing.assert_close(quick.logits, eager.logits)
    torch.testing.assert_close(quick.certainty, eager.certainty)


@each_variant
@pytest.mark.parametrize("batch", [2, MANY])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_pass_that_records_no_gradient_is_equal_to_the_bit(
    name: str, batch: int, mode: Callable[[], Any]
) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs(batch)
    recorded = model(inputs)
    with mode():
        plain = model(inputs)
    assert not plain.logits.requires_grad
    assert plain.logits.equal(recorded.logits)
    assert plain.certainty.equal(recorded.certainty)


def test_decays_far_out_of_range_are_moved_back_before_they_count() -> None:
    model, inputs = VARIANTS["parity"].model().train(), VARIANTS["parity"].inputs()
    with torch.no_grad():
        for sync in (model.sync_out, model.sync_action):
            sync.decay[::2] = 1e9
            sync.decay[1::2] = -1e9
    assert_fast_equals_eager(model, inputs, values=1e-5, gradients=1e-4)


# -- losses that reach a part of the answers -------------------------------------------------------


def two_tick(variant: Variant, batch: int) -> Loss:
    return lambda thoughts: TwoTickLoss()(thoughts, variant.targets(batch))


LOSSES: dict[str, Loss] = {
    "the first two ticks": lambda thoughts: thoughts.logits[:, :2].square().sum(),
    "the last tick": lambda thoughts: thoughts.logits[:, -1].square().sum(),
    "one example": lambda thoughts: thoughts.logits[1].square().sum(),
    "one number": lambda thoughts: thoughts.logits[1, 1].flatten()[0],
    "certainty": lambda thoughts: thoughts.certainty[:, 1].sum(),
    "nothing": lambda thoughts: thoughts.logits.sum() * 0,
}


@each_variant
@pytest.mark.parametrize("what", LOSSES)
def test_a_loss_of_a_part_of_the_answers_is_equal(name: str, what: str) -> None:
    model, inputs = VARIANTS[name].model().double(), VARIANTS[name].inputs().double()
    # certainties are in float32
    rounding = 1e-5 if what == "certainty" else 1e-9
    assert_fast_equals_eager(model, inputs, LOSSES[what], gradients=rounding)


@each_machine
@pytest.mark.parametrize("batch", [3, MANY])
def test_the_two_tick_loss_is_equal(name: str, batch: int) -> None:
    model, inputs = MACHINES[name].model().double(), MACHINES[name].inputs(batch).double()
    assert_fast_equals_eager(model, inputs, two_tick(MACHINES[name], batch), gradients=1e-5)


def test_the_maze_loss_is_equal() -> None:
    route = variant(ROUTE, ConvEncoderConfig(widths=[4]), synapse_depth=2, pairing=Pairing.dense)
    model, inputs = route.model().double(), route.inputs().double()

    def loss(thoughts: Thoughts) -> Tensor:
        return MazeLoss(lookahead=2)(thoughts, route.targets())

    assert_fast_equals_eager(model, inputs, loss, gradients=1e-5)


# -- the life of a pass ----------------------------------------------------------------------------


def parity(batch: int = 3) -> tuple[ContinuousThoughtMachine, Tensor]:
    """A machine in float64 and what it reads; `batch` chooses the layout of the tape."""
    machine = VARIANTS["parity"]
    return machine.model().double(), machine.inputs(batch).double()


def in_all(gradients: dict[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in gradients.items() if value is not None}


def assert_gradients(model: nn.Module, wanted: dict[str, Tensor], factor: float = 1.0) -> None:
    found = in_all(gradients_of(model))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], factor * value, msg=lambda text, name=name: f"{name}: {text}"
        )


def once(model: ContinuousThoughtMachine, inputs: Tensor) -> dict[str, Tensor]:
    """The gradients of one pass by itself."""
    model.zero_grad(set_to_none=True)
    weighed(model(inputs)).backward()
    wanted = in_all(gradients_of(model))
    model.zero_grad(set_to_none=True)
    return wanted


each_layout = pytest.mark.parametrize("batch", [1, 3, MANY])


@each_layout
def test_two_passes_before_one_backward_add_up(batch: int) -> None:
    model, inputs = parity(batch)
    wanted = once(model, inputs)
    (weighed(model(inputs)) + 2 * weighed(model(inputs))).backward()
    assert_gradients(model, wanted, 3)


@each_layout
def test_a_retained_pass_gives_its_gradient_again(batch: int) -> None:
    model, inputs = parity(batch)
    wanted = once(model, inputs)
    loss = weighed(model(inputs))
    for times in (1, 2, 3):
        loss.backward(retain_graph=times < 3)
        assert_gradients(model, wanted, times)


@each_layout
def test_an_older_pass_gives_its_own_gradient_after_a_newer_one(batch: int) -> None:
    model, inputs = parity(batch)
    wanted = once(model, inputs)
    older = weighed(model(inputs))
    weighed(model(-inputs)).backward()
    model.zero_grad(set_to_none=True)
    older.backward()
    assert_gradients(model, wanted)


@each_layout
@pytest.mark.parametrize("asked", ["start_z", "answer.weight", "reader.query.weight"])
def test_a_gradient_asked_of_one_weight_leaves_nothing_to_the_next(batch: int, asked: str) -> None:
    model, inputs = parity(batch)
    wanted = once(model, inputs)
    loss = weighed(model(inputs))
    (gradient,) = torch.autograd.grad(loss, [model.get_parameter(asked)], retain_graph=True)
    torch.testing.assert_close(gradient, wanted[asked])
    loss.backward()
    assert_gradients(model, wanted)


def test_a_backward_pass_that_broke_off_leaves_nothing_to_the_next() -> None:
    model, inputs = parity()
    wanted = once(model, inputs)
    broken = True

    def fail(gradient: Tensor) -> None:
        if broken:
            raise MemoryError

    model.start_z.register_hook(fail)
    loss = weighed(model(inputs))
    with pytest.raises(MemoryError):
        loss.backward(retain_graph=True)
    broken = False
    model.zero_grad(set_to_none=True)
    loss.backward()
    assert_gradients(model, wanted)


@each_variant
def test_gradients_of_each_tick_add_up_to_those_of_all(name: str) -> None:
    model, inputs = VARIANTS[name].model().double(), VARIANTS[name].inputs().double()
    wanted = once(model, inputs)
    thoughts = model(inputs)
    direction = torch.randn(thoughts.logits.shape, generator=generator(7), dtype=torch.float64)
    for tick in reversed(range(thoughts.ticks)):
        (thoughts.logits * direction)[:, tick].sum().backward(retain_graph=True)
    assert_gradients(model, wanted)


WATCHED = (
    "synapse.1.weight",
    "answer.weight",
    "reader.out.weight",
    "reader.query.weight",
    "neuron_models.layers.0.weight",
)


@pytest.mark.parametrize("of", WATCHED)
def test_a_weight_changed_between_the_passes_is_noticed(of: str) -> None:
    model, inputs = parity()
    for each in pair(model):
        loss = weighed(each(inputs))
        with torch.no_grad():
            each.get_parameter(of).add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


TRAINED: dict[str, Callable[[str], bool]] = {
    "answer alone": lambda name: name.startswith("answer"),
    "neuron_models alone": lambda name: name.startswith("neuron_models"),
    "one layer of neuron_models alone": lambda name: name.startswith("neuron_models.layers.0"),
    "temperatures alone": lambda name: name.endswith("temperature"),
    "start states alone": lambda name: name.startswith("start"),
    "start_z alone": lambda name: name == "start_z",
    "all but the encoder": lambda name: not name.startswith("encoder"),
    "synapse alone": lambda name: name.startswith("synapse"),
    "reader alone": lambda name: name.startswith("reader"),
    "queries alone": lambda name: name.startswith("reader.query"),
    "keys and values alone": lambda name: name.startswith("reader.in_key_value"),
    "decays alone": lambda name: name.endswith("decay"),
    "biases alone": lambda name: name.endswith("bias"),
    "weights alone": lambda name: name.endswith("weight"),
    "all but neuron_models": lambda name: not name.startswith("neuron_models"),
    "all but the synapse": lambda name: not name.startswith("synapse"),
    "nothing but the inputs": lambda name: False,
}


@pytest.mark.parametrize("name", ["semi_dense_mlp", "conv_dense_unet_layernorm"])
@pytest.mark.parametrize("what", TRAINED)
def test_frozen_weights_have_no_gradient_and_others_theirs(name: str, what: str) -> None:
    model, inputs = MACHINES[name].model().double(), MACHINES[name].inputs().double()
    for key, weight in model.named_parameters():
        weight.requires_grad_(TRAINED[what](key))
    for requires in (False, True):
        found = []
        for each in pair(model):
            asked = inputs.clone().requires_grad_(requires)
            loss = weighed(each(asked))
            if loss.requires_grad:
                loss.backward()
            found.append(in_all(gradients_of(each) | {"inputs": asked.grad}))
            assert all(TRAINED[what](key) or key == "inputs" for key in found[-1])
        eager, quick = found
        assert eager.keys() == quick.keys()
        for key, value in eager.items():
            torch.testing.assert_close(
                quick[key], value, msg=lambda text, key=key: f"{key}: {text}"
            )


def test_gradients_of_a_pass_share_no_memory() -> None:
    """What is added to one in place must not reach another, nor the same one twice."""
    model, inputs = MACHINES["one_neuron"].model().double(), MACHINES["one_neuron"].inputs(1)
    weighed(model(inputs.double())).backward()
    places = [value.untyped_storage().data_ptr() for value in in_all(gradients_of(model)).values()
              if value.numel()]  # fmt: skip
    assert len(set(places)) == len(places)


@each_variant
def test_copies_and_pickles_are_fast_too_and_equal(name: str) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    others = (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(file, weights_only=False),
    )
    for other in others:
        assert other.engine is fast.think
        assert_equal(learned(other, inputs), learned(model, inputs))


def test_a_model_can_be_copied_between_a_pass_and_its_backward() -> None:
    model, inputs = parity()
    wanted = once(model, inputs)
    loss = weighed(model(inputs))
    copied = copy.deepcopy(model)
    loss.backward()
    assert_gradients(model, wanted)
    assert not in_all(gradients_of(copied))


def made_by_passes() -> list[object]:
    """Objects of the fast engine, its nodes in graphs, and tensors, that are alive."""
    kinds = {
        kind
        for kind in set(map(type, gc.get_objects()))
        if kind is Tensor
        or issubclass(kind, BackwardCFunction)
        or str(kind.__module__).startswith(("ctm.layers.fast", fast.__name__))
    }
    return [thing for thing in gc.get_objects() if type(thing) in kinds]


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what is there already is not looked at
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@each_variant
@pytest.mark.parametrize("checkpoint_ticks", [None, 2])
def test_nothing_of_a_pass_outlives_it_even_without_the_garbage_collector(
    name: str, checkpoint_ticks: int | None
) -> None:
    described = replace(VARIANTS[name].config, checkpoint_ticks=checkpoint_ticks, dropout=0.1)
    machine = Variant(described, VARIANTS[name].spec)
    model, inputs = machine.model().train(), machine.inputs()
    weighed(model(inputs)).backward()  # makes the gradients
    with no_collector():
        before = len(made_by_passes())
        loss = weighed(model(inputs))
        assert len(made_by_passes()) > before
        loss.backward()
        del loss
        assert len(made_by_passes()) == before


@each_variant
def test_a_pass_without_its_backward_is_forgotten_too(name: str) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs()
    with no_collector():
        before = len(made_by_passes())
        thoughts = model(inputs)
        assert len(made_by_passes()) > before
        del thoughts
        assert len(made_by_passes()) == before


def test_gradients_of_second_order_are_refused() -> None:
    model, inputs = parity()
    (gradient,) = torch.autograd.grad(weighed(model(inputs)), [model.start_z], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


# -- precisions ------------------------------------------------------------------------------------


BF16 = torch.finfo(torch.bfloat16).eps


def distance(ours: Tensor, wanted: Tensor) -> float:
    """Of the whole tensors, relative to the wanted one's length."""
    return float((ours - wanted).detach().norm() / wanted.norm())


@pytest.mark.parametrize(
    ("name", "batch"), [*((name, 3) for name in VARIANTS), ("many_ticks", MANY)]
)
def test_under_autocast_it_is_as_close_to_float32_as_the_plain_loop(name: str, batch: int) -> None:
    inputs = MACHINES[name].inputs(batch)

    def loss(thoughts: Thoughts) -> Tensor:
        return (thoughts.logits.float() - 0.5).square().mean()

    errors = []
    for seed in range(24):  # of one machine alone they are a matter of luck
        model = MACHINES[name].fresh(seed).eval()
        exact = learned(model, inputs, loss)
        found = []
        for each in pair(model):
            with torch.autocast("cpu", torch.bfloat16):
                found.append(learned(each, inputs, loss))
        eager, quick = found
        assert eager.keys() == quick.keys()
        assert {key: value.dtype for key, value in in_all(quick).items()} == {
            key: value.dtype for key, value in in_all(eager).items()
        }
        assert quick["certainty"].dtype == torch.float32
        for key, weight in model.named_parameters():
            gradient = quick[f"gradient of {key}"]
            assert gradient is None or gradient.dtype == weight.dtype
        for key in ("logits", "certainty"):
            torch.testing.assert_close(quick[key], eager[key], rtol=8 * BF16, atol=8 * BF16)
        errors.append([distance(numbers(each), numbers(exact)) for each in found])
    plain, ours = torch.tensor(errors).mean(0).tolist()
    assert ours < 1.5 * plain + BF16


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@each_variant
def test_a_model_moved_to_another_precision_is_equal(name: str, dtype: torch.dtype) -> None:
    model, inputs = VARIANTS[name].fresh().eval(), VARIANTS[name].inputs()
    tolerance = 1e-9 if dtype is torch.float64 else 8 * BF16
    eager, quick = (each.to(dtype)(inputs.to(dtype)) for each in pair(model))
    assert quick.logits.dtype == dtype
    assert quick.certainty.dtype == torch.float32
    torch.testing.assert_close(quick.logits, eager.logits, rtol=tolerance, atol=tolerance)
    quick.logits.float().square().sum().backward()


@pytest.mark.parametrize("autocast", [False, True])
@each_variant
def test_without_onednn_it_is_equal(
    name: str, autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = VARIANTS[name].fresh().eval(), VARIANTS[name].inputs()

    def found() -> dict[str, Tensor | None]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return learned(model, inputs, lambda thoughts: thoughts.logits.float().square().sum())

    monkeypatch.setattr(linear, "LARGE", 1)  # these are small
    with_it = found()
    monkeypatch.setattr(linear, "onednn_takes", lambda weight: False)
    if autocast:
        assert distance(numbers(found()), numbers(with_it)) < 16 * BF16
    else:
        assert_equal(found(), with_it, values=1e-5, gradients=1e-3)


# -- dropout ---------------------------------------------------------------------------------------


def dropping(**settings: Any) -> Variant:
    return variant(
        SIGNS, ParityEncoderConfig(), ticks=3, neurons=5, d_input=4, sync_out=2, sync_action=2,
        **settings,
    )  # fmt: skip


DROPPED: dict[str, Variant] = {
    "synapse and attention": dropping(dropout=0.3, dropout_nlm=0.0),
    "neuron_models": dropping(dropout=0.0, dropout_nlm=0.3),
    "linear neuron_models": dropping(dropout=0.0, dropout_nlm=0.3, nlm_hidden=0),
    "all, U-Net": dropping(dropout=0.2, synapse_depth=2),
    "all, layernorm": dropping(dropout=0.2, nlm_layernorm=True, nlm_hidden=4),
    "all, checkpointed": dropping(dropout=0.3, checkpoint_ticks=2),
}


@pytest.mark.parametrize(
    ("what", "batch"), [*((what, 2) for what in DROPPED), ("neuron_models", MANY)]
)
def test_gradients_with_dropout_pass_gradcheck(what: str, batch: int) -> None:
    """Of all weights over a whole pass, whose masks are the same each time."""
    model, inputs = DROPPED[what].model().double().train(), DROPPED[what].inputs(batch).double()
    with torch.no_grad():
        for sync in (model.sync_out, model.sync_action):
            sync.decay.fill_(0.7)  # a small step stays within their range
    names = [name for name, _ in model.named_parameters()]

    def think(*weights: Tensor) -> Tensor:
        torch.manual_seed(11)
        given = dict(zip(names, weights, strict=True))
        logits: Tensor = torch.func.functional_call(model, given, (inputs,)).logits
        return logits[:, 1:]

    weights = tuple(weight.detach().clone().requires_grad_() for weight in model.parameters())
    assert torch.autograd.gradcheck(think, weights, fast_mode=True)


@pytest.mark.parametrize("what", DROPPED)
def test_equal_seeds_drop_the_same_and_others_others(what: str) -> None:
    model, inputs = DROPPED[what].model().train(), DROPPED[what].inputs()

    def seeded(seed: int) -> dict[str, Tensor | None]:
        torch.manual_seed(seed)
        return learned(model, inputs)

    one, same, other = seeded(1), seeded(1), seeded(2)
    for name, value in one.items():
        if value is not None:
            again = same[name]
            assert again is not None
            assert again.equal(value), name
    assert one["logits"] is not None
    assert other["logits"] is not None
    assert not one["logits"].equal(other["logits"])


@pytest.mark.parametrize("what", DROPPED)
def test_evaluation_drops_nothing_and_draws_nothing(what: str) -> None:
    model, inputs = DROPPED[what].model(), DROPPED[what].inputs()
    before = torch.get_rng_state()
    assert_fast_equals_eager(model.double(), inputs.double())
    assert torch.get_rng_state().equal(before)


def test_dropout_switched_on_by_itself_drops_in_evaluation() -> None:
    """As is done to sample answers: only the dropout layers train."""
    what = DROPPED["neuron_models"]
    model, inputs = what.model(), what.inputs()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.train()
    for each in pair(model):
        assert not each(inputs).logits.equal(each(inputs).logits)


@pytest.mark.parametrize("what", ["synapse and attention", "neuron_models"])
def test_answers_with_dropout_have_the_mean_and_spread_of_the_plain_loop(what: str) -> None:
    model = DROPPED[what].model().train()
    inputs = DROPPED[what].inputs(1).expand(400, -1)  # each example has masks of its own
    torch.manual_seed(3)
    found = []
    for each in pair(model):
        with torch.no_grad():
            found.append(torch.cat([each(inputs).logits for _ in range(10)]).double().flatten(1))
    eager, quick = found
    count = len(eager)
    error = ((eager.var(0) + quick.var(0)) / count).sqrt()
    assert ((eager.mean(0) - quick.mean(0)).abs() < 5 * error + 1e-9).all()
    # of normal values the deviation is known to 1 / sqrt(2 n); these have longer tails
    torch.testing.assert_close(quick.std(0), eager.std(0), rtol=0.15, atol=1e-3)


# -- what goes another way -------------------------------------------------------------------------


@each_variant
def test_recording_takes_the_plain_loop(name: str) -> None:
    model, inputs = VARIANTS[name].model(), VARIANTS[name].inputs()
    eager, quick = (each(inputs, record=True) for each in pair(model))
    assert quick.logits.equal(eager.logits)
    for field, value in vars(eager.trace).items():
        other = getattr(quick.trace, field)
        assert other is value is None or other.equal(value), field


@each_variant
def test_a_model_without_memory_thinks_in_shapes(name: str) -> None:
    """Built there, or moved there."""
    described = VARIANTS[name]
    for model in (described.model().to("meta"), described.model().bfloat16().to("meta")):
        thoughts = model(described.inputs().to("meta"))
        assert thoughts.logits.shape == (3, described.config.ticks, *described.spec.output_shape)


def test_an_engine_may_be_called_by_its_name() -> None:
    model = VARIANTS["parity"].model()
    for name, engine in (("eager", None), ("fast", fast.think)):
        set_engine(model, name)
        assert model.engine is engine


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    model = VARIANTS["parity"].model()
    with pytest.raises(ConfigError, match=r"\Aengine=warp: choose one of eager, fast, compiled\Z"):
        set_engine(model, "warp")
    assert model.engine is fast.think


# -- a GPU, where there is one ---------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@each_machine
@pytest.mark.parametrize("batch", [3, MANY])
def test_thoughts_and_gradients_are_equal_on_a_gpu(name: str, batch: int) -> None:
    model = MACHINES[name].model().double().to("cuda")
    inputs = MACHINES[name].inputs(batch).double().to("cuda")

    def loss(thoughts: Thoughts) -> Tensor:
        return thoughts.logits.square().sum()

    assert_fast_equals_eager(model, inputs, loss)
