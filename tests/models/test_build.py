"""From settings to models: the paper's sizes, no weights on the meta device, and refusals."""

from typing import Any

import pytest
import torch

from ctm.benchmark.rows import CIFAR10, IMAGENET, MAZES
from ctm.errors import ConfigError
from ctm.interface import InputKind, TaskSpec
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.layers.sync import Pairing
from ctm.models.build import build_model
from ctm.models.config import (
    ConvEncoderConfig,
    CTMConfig,
    EncoderConfig,
    NeuronModels,
    NoEncoderConfig,
    ParityEncoderConfig,
    ResNetEncoderConfig,
    ShallowWideEncoderConfig,
    VectorEncoderConfig,
)
from tests.build import IMAGE, SIGNS, VARIANTS, VECTOR, Variant, small


def images(*output_shape: int) -> TaskSpec:
    return TaskSpec(InputKind.image, (3, 0, 0), output_shape)


def parity(ticks: int, memory_length: int) -> Variant:
    config = CTMConfig(
        ticks=ticks,
        memory_length=memory_length,
        neurons=1024,
        d_input=512,
        heads=8,
        pairing=Pairing.semi_dense,
        sync_out=32,
        sync_action=32,
        nlm_hidden=16,
        encoder=ParityEncoderConfig(),
    )
    return Variant(config, TaskSpec(InputKind.signs, (64,), (64, 2)))


def cifar100(neurons: int) -> Variant:
    config = CTMConfig(
        neurons=neurons,
        d_input=512,
        heads=8,
        synapse_depth=4,
        pairing=Pairing.random,
        sync_out=2048,
        sync_action=1024,
        self_pairs=32,
        memory_length=25,
        nlm_hidden=32,
        encoder=ResNetEncoderConfig(depth=34, stages=2),
    )
    return Variant(config, images(100))


def ablation(neuron_models: NeuronModels, neurons: int, depth: int) -> Variant:
    config = CTMConfig(
        neurons=neurons,
        d_input=256,
        heads=4,
        synapse_depth=depth,
        pairing=Pairing.random,
        sync_out=1024,
        sync_action=1024,
        memory_length=25,
        nlm_hidden=32,
        neuron_models=neuron_models,
        encoder=ResNetEncoderConfig(depth=18, stages=1),
    )
    return Variant(config, images(50, 5))


SORTING = CTMConfig(
    neurons=512,
    d_input=30,
    synapse_depth=4,
    pairing=Pairing.random,
    sync_out=32,
    sync_action=0,
    memory_length=25,
    nlm_hidden=4,
    reading=ReadingKind.direct,
    encoder=NoEncoderConfig(),
)
PAPER = {
    "parity 1/1": (parity(1, 1), 4_908_706),
    "parity 10/5": (parity(10, 5), 5_043_874),
    "parity 25/10": (parity(25, 10), 5_212_834),
    "parity 50/25": (parity(50, 25), 5_719_714),
    "parity 75/25": (parity(75, 25), 5_719_714),
    "parity 100/50": (parity(100, 50), 6_564_514),
    "maze": (Variant(MAZES.config, images(100, 5)), 31_998_330),
    "imagenet": (Variant(IMAGENET.config, images(1000)), 185_989_886),
    "cifar10": (Variant(CIFAR10.config, images(10)), 1_032_648),
    "ablation, whole": (ablation(NeuronModels.private, 1024, 8), 8_967_160),
    "ablation, no neuron-level models": (ablation(NeuronModels.none, 1045, 10), 8_948_885),
    "sorting": (Variant(SORTING, TaskSpec(InputKind.vector, (30,), (31,))), 897_197),
}


def parameters(described: Variant) -> int:
    model = build_model(described.config, described.spec, device="meta")
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("row", PAPER)
def test_models_of_the_paper_have_its_number_of_parameters(row: str) -> None:
    described, wanted = PAPER[row]
    assert parameters(described) == wanted


def test_models_of_the_papers_width_study_have_its_millions_of_parameters() -> None:
    millions = [
        round(parameters(cifar100(neurons)) / 1e6, 2) for neurons in (128, 256, 512, 1024, 2048)
    ]
    assert millions == [3.53, 3.97, 5.11, 8.48, 19.60]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_model_without_memory_has_shapes_and_thinks_in_them(name: str) -> None:
    described = VARIANTS[name]
    model = build_model(described.config, described.spec, device="meta").eval()
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}
    thoughts = model(described.inputs(2).to("meta"))
    ticks = described.config.ticks
    assert thoughts.logits.shape == (2, ticks, *described.spec.output_shape)
    assert thoughts.certainty.shape == (2, ticks)
    real = {key: value.shape for key, value in described.fresh().state_dict().items()}
    assert {key: value.shape for key, value in model.state_dict().items()} == real


def test_a_model_is_built_in_training_mode_on_the_device_asked_for() -> None:
    model = build_model(small(), SIGNS, device=torch.device("cpu"))
    assert model.training
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


PLANE = ConvEncoderConfig(widths=[4], positions=Positions.rotational_1d)
REFUSED: dict[str, tuple[CTMConfig, TaskSpec, tuple[str, ...]]] = {
    "an encoder of other inputs": (
        small(ParityEncoderConfig()),
        IMAGE,
        ("model/encoder=parity", "image", "conv", "resnet", "shallow_wide"),
    ),
    "tokens read directly": (
        small(VectorEncoderConfig(), reading=ReadingKind.direct),
        VECTOR,
        ("model.reading=direct", "model/encoder=vector", "model/encoder=none"),
    ),
    "attention without tokens": (
        small(NoEncoderConfig()),
        VECTOR,
        ("model.reading=attention", "model/encoder=none", "model.reading=direct"),
    ),
    "a vector of another size": (
        small(NoEncoderConfig(), reading=ReadingKind.direct, d_input=5),
        VECTOR,
        ("model.d_input=5", "want model.d_input=6"),
    ),
    "positions of a sequence for a plane": (
        small(PLANE),
        IMAGE,
        ("positions=rotational_1d", "2 axis", "none, fourier, multi_fourier, rotational_2d"),
    ),
    "positions of a plane for a sequence": (
        small(ParityEncoderConfig(positions=Positions.fourier)),
        SIGNS,
        ("positions=fourier", "1 axis", "none, rotational_1d"),
    ),
    "a ResNet of another depth": (
        small(ResNetEncoderConfig(depth=20)),
        IMAGE,
        ("depth=20", "18, 34, 50, 101, 152"),
    ),
    "a ResNet of more stages": (
        small(ResNetEncoderConfig(stages=5)),
        IMAGE,
        ("stages=5", "1 to 4"),
    ),
    "convolutions of no width": (small(ConvEncoderConfig(widths=[])), IMAGE, ("widths=[]",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_do_not_fit_are_refused_in_one_line(case: str) -> None:
    config, spec, said = REFUSED[case]
    with pytest.raises(ConfigError) as refusal:
        build_model(config, spec)
    for words in said:
        assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


ENCODERS: dict[str, tuple[EncoderConfig, TaskSpec, dict[str, Any]]] = {
    "parity": (ParityEncoderConfig(), SIGNS, {}),
    "vector": (VectorEncoderConfig(), VECTOR, {}),
    "vector of signs": (VectorEncoderConfig(), SIGNS, {}),
    "none": (NoEncoderConfig(), VECTOR, {"reading": ReadingKind.direct}),
    "none of signs": (NoEncoderConfig(), SIGNS, {"reading": ReadingKind.direct, "d_input": 5}),
    "conv": (ConvEncoderConfig(), IMAGE, {}),
    "shallow_wide": (ShallowWideEncoderConfig(), IMAGE, {}),
    "resnet": (ResNetEncoderConfig(), IMAGE, {}),
}


@pytest.mark.parametrize("case", ENCODERS)
def test_every_encoder_reads_what_it_says(case: str) -> None:
    encoder, spec, settings = ENCODERS[case]
    model = build_model(small(encoder, **settings), spec, device="meta")
    inputs = torch.ones(2, *spec.input_shape, device="meta")
    assert model(inputs).logits.shape == (2, 4, *spec.output_shape)
