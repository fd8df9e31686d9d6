"""Neuron-level models along a tape equal the same models on histories put together anew."""

import pytest
import torch
from torch import Tensor

from ctm.layers.fast.dropout import LEVELS
from ctm.layers.fast.neurons import MANY, PlainHistory, RepeatedNeurons, Tape, empty, laid_out
from ctm.layers.neurons import NeuronLevelModels, NoNeuronModels
from tests.build import generator, perturbed

NEURONS, MEMORY = 4, 3
each_layout = pytest.mark.parametrize("batch", [0, 1, 2, MANY - 1, MANY, MANY + 1])
each_kind = pytest.mark.parametrize("hidden", [0, 2])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def models(hidden: int, **settings: float) -> NeuronLevelModels:
    return perturbed(
        NeuronLevelModels(neurons=NEURONS, memory_length=MEMORY, hidden=hidden, **settings)  # pyright: ignore
    )


def plain(
    model: NeuronLevelModels, history: Tensor, a: list[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Post-activations, a tick after the other, and the last history."""
    found = []
    for each in a:
        history = torch.cat((history[:, :, 1:], each.unsqueeze(2)), 2)
        found.append(model(history))
    return found, history


def taped(
    model: NeuronLevelModels, history: Tensor, a: list[Tensor], stretch: int = 100
) -> tuple[list[Tensor], Tensor]:
    """The same, `stretch` ticks to a tape."""
    neurons, found = RepeatedNeurons(model), []
    state = history.transpose(0, 1)
    for start in range(0, len(a), stretch):
        part = a[start : start + stretch]
        tape = neurons.begin(state, len(part))
        found += [tape.step(each).t() for each in part]
        state = tape.end()
    return found, state.transpose(0, 1)


def leaves(batch: int, ticks: int) -> tuple[Tensor, list[Tensor]]:
    history = random(batch, NEURONS, MEMORY, seed=1).requires_grad_()
    return history, [random(batch, NEURONS, seed=10 + k).requires_grad_() for k in range(ticks)]


@each_layout
@each_kind
@pytest.mark.parametrize("ticks", [1, 2, MEMORY, 7])
@pytest.mark.parametrize("stretch", [1, 3, 100])
def test_outputs_and_gradients_are_equal(batch: int, hidden: int, ticks: int, stretch: int) -> None:
    model, (history, a) = models(hidden), leaves(batch, ticks)
    found = []
    for z, last in (plain(model, history, a), taped(model, history, a, stretch)):
        loss = sum(((k + 1) * each.square()).sum() for k, each in enumerate(z))
        loss = loss + (last * random(*last.shape, seed=3)).sum()
        grads = torch.autograd.grad(loss, [history, *a, *model.parameters()])
        found.append([*z, last, *grads])
    for ours, want in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, want)


@pytest.mark.parametrize("batch", [2, MANY])
@pytest.mark.parametrize("asked", [[0], [2], [4], [1, 3], [], "last"])
def test_gradients_that_come_to_some_ticks_alone_are_equal(
    batch: int, asked: list[int] | str
) -> None:
    """The others have no gradient at all, or the last history alone has one."""
    model, (history, a) = models(2), leaves(batch, 5)
    found = []
    for z, last in (plain(model, history, a), taped(model, history, a)):
        loss = history.sum() * 0
        loss = loss + (
            last.square().sum() if asked == "last" else sum(z[int(k)].sum() for k in asked)
        )
        grads = torch.autograd.grad(
            loss, [history, *a, *model.parameters()], allow_unused=True, materialize_grads=True
        )
        found.append(grads)
    for ours, want in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, want)


@pytest.mark.parametrize("batch", [2, MANY])
def test_later_ticks_leave_what_earlier_ones_saw_as_it_was(batch: int) -> None:
    model, (history, a) = models(2), leaves(batch, 6)
    neurons = RepeatedNeurons(model)
    tape = neurons.begin(history.transpose(0, 1), 6)
    assert isinstance(tape, Tape)
    first = tape.step(a[0])
    kept, window = first.detach().clone(), tape.window.detach().clone()
    seen = tape.window
    for each in a[1:]:
        tape.step(each)
    assert first.equal(kept)
    assert seen.equal(window)
    wanted = torch.cat((history[:, :, 1:], a[0].unsqueeze(2)), 2).transpose(0, 1)
    torch.testing.assert_close(seen, wanted)
    # and its backward pass, alone and after them
    ours = torch.autograd.grad(first.sum(), [a[0], *model.parameters()])
    theirs = torch.autograd.grad(
        plain(model, history, a[:1])[0][0].sum(), [a[0], *model.parameters()]
    )
    for gradient, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, want)


@pytest.mark.parametrize("batch", [2, MANY])
def test_the_last_history_is_no_view_of_the_tape(batch: int) -> None:
    history, a = leaves(batch, 2)
    tape = RepeatedNeurons(models(2)).begin(history.transpose(0, 1), 2)
    assert isinstance(tape, Tape)
    for each in a:
        tape.step(each)
    last = tape.end()
    before = last.clone()
    tape.values.zero_()
    assert last.equal(before)


@pytest.mark.parametrize("batch", [2, MANY])
@each_kind
def test_gradients_with_dropout_pass_gradcheck(batch: int, hidden: int) -> None:
    model = models(hidden, dropout=0.4).train()
    history, a = leaves(batch, 2)
    weights = list(model.parameters())

    def think(*_: Tensor) -> Tensor:
        torch.manual_seed(2)
        z, last = taped(model, history, a)
        return torch.stack(z).sum(1) + last.sum()

    assert torch.autograd.gradcheck(think, [*weights, history, *a], fast_mode=batch > 2)


@pytest.mark.parametrize("batch", [2, MANY])
@pytest.mark.parametrize("p", [0.5, 0.999])
def test_dropout_multiplies_what_is_kept_by_the_inverse_of_its_share(batch: int, p: float) -> None:
    """Outputs are those of the plain layer on inputs thinned out and enlarged."""
    model = models(0, dropout=p).train()
    (layer,) = RepeatedNeurons(model).layers or []
    history = random(NEURONS, batch, MEMORY)
    drawn = layer.draw(history)
    assert drawn is not None
    assert drawn.shape == history.shape
    mask = layer.dropout.mask(drawn, history.dtype)
    assert abs(layer.dropout.kept - (1 - p)) < 1 / LEVELS
    model.eval()
    expected = model.layers[0](history * mask / layer.dropout.kept)
    torch.testing.assert_close(layer(history * mask), expected)


def test_in_evaluation_nothing_is_dropped() -> None:
    for layer in RepeatedNeurons(models(2, dropout=0.9).eval()).layers or []:
        assert layer.draw(random(NEURONS, 2, MEMORY)) is None
        assert layer.dropout.kept == 1


def test_models_with_a_layer_norm_and_none_take_the_plain_way() -> None:
    for model in (models(2, layernorm=True), NoNeuronModels()):
        history, a = leaves(2, 3)
        assert isinstance(RepeatedNeurons(model).begin(history.transpose(0, 1), 3), PlainHistory)
        ours, ours_last = taped(model, history, a)  # pyright: ignore
        theirs, last = plain(model, history, a)  # pyright: ignore
        for z, want in zip([*ours, ours_last], [*theirs, last], strict=True):
            torch.testing.assert_close(z, want)


@each_layout
def test_memory_is_laid_out_with_the_batch_innermost_where_there_are_many(batch: int) -> None:
    made = empty((NEURONS, batch, MEMORY), random(1))
    assert made.shape == (NEURONS, batch, MEMORY)
    if batch:
        assert made.stride(1 if batch >= MANY else 2) == 1
    numbers = torch.arange(NEURONS * batch * MEMORY)
    out = laid_out(numbers, (NEURONS, batch, MEMORY))
    assert out.untyped_storage().data_ptr() == numbers.untyped_storage().data_ptr()
    assert sorted(out.flatten().tolist()) == numbers.tolist()
