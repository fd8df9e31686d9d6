"""Neuron-level models: private, divided by one temperature, shared only in their norm."""

import pytest
import torch

from ctm.layers.neurons import NeuronLevelModels, NoNeuronModels, PerNeuronLinear
from tests.build import generator, perturbed, started

BATCH, NEURONS, MEMORY = 2, 5, 4


def history() -> torch.Tensor:
    return torch.randn(BATCH, NEURONS, MEMORY, generator=generator(1), dtype=torch.float64)


def test_each_neuron_has_a_linear_layer_of_its_own() -> None:
    layer = perturbed(PerNeuronLinear(neurons=NEURONS, d_in=MEMORY, d_out=3))
    x = history().transpose(0, 1)
    for neuron in range(NEURONS):
        expected = (x[neuron] @ layer.weight[neuron] + layer.bias[neuron]) / layer.temperature
        torch.testing.assert_close(layer(x)[neuron], expected)


@pytest.mark.parametrize("hidden", [0, 3])
@pytest.mark.parametrize("layernorm", [False, True])
def test_a_neuron_sees_its_own_history_alone(hidden: int, layernorm: bool) -> None:
    models = perturbed(
        NeuronLevelModels(neurons=NEURONS, memory_length=MEMORY, hidden=hidden, layernorm=layernorm)
    )
    jacobian = torch.autograd.functional.jacobian(models, history())
    assert isinstance(jacobian, torch.Tensor)
    # (example, neuron) by (example, neuron, memory)
    reached = jacobian.abs().sum(-1) > 0
    for example in range(BATCH):
        for neuron in range(NEURONS):
            expected = torch.zeros(BATCH, NEURONS, dtype=torch.bool)
            expected[example, neuron] = True
            assert reached[example, neuron].equal(expected)


def test_the_layer_norm_is_one_for_all_neurons() -> None:
    layer = started(PerNeuronLinear(neurons=NEURONS, d_in=MEMORY, d_out=2, layernorm=True))
    shapes = {name: tuple(value.shape) for name, value in layer.named_parameters()}
    assert shapes == {
        "weight": (NEURONS, MEMORY, 2),
        "bias": (NEURONS, 2),
        "temperature": (1,),
        "norm.weight": (MEMORY,),
        "norm.bias": (MEMORY,),
    }


@pytest.mark.parametrize("layernorm", [False, True])
def test_dropout_is_on_the_normalised_input(layernorm: bool) -> None:
    """Of an input that is dropped whole the biases are left."""
    layer = perturbed(
        PerNeuronLinear(
            neurons=NEURONS, d_in=MEMORY, d_out=3, dropout=0.999999, layernorm=layernorm
        )
    )
    biases = (layer.bias / layer.temperature).unsqueeze(1).expand(-1, BATCH, -1)
    torch.testing.assert_close(layer.train()(history().transpose(0, 1)), biases)


def test_without_models_the_newest_input_is_the_output() -> None:
    assert NoNeuronModels()(history()).equal(history()[:, :, -1])
