"""From settings to models: every part that can be chosen, the meta device, and refusals."""

from typing import Any

import pytest
import torch

from ctm.errors import ConfigError
from ctm.interface import TaskSpec
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.models.build import build_model
from ctm.models.config import (
    ConvEncoderConfig,
    CTMConfig,
    EncoderConfig,
    NoEncoderConfig,
    ParityEncoderConfig,
    ResNetEncoderConfig,
    ShallowWideEncoderConfig,
    VectorEncoderConfig,
)
from tests.build import IMAGE, SIGNS, VARIANTS, VECTOR, small


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
