"""Settings between files and dataclasses: nothing lost on the way, nothing wrong let through."""

import json
from enum import StrEnum
from typing import Any

import pytest

from ctm.config import from_plain, to_plain, wanted
from ctm.errors import ConfigError
from ctm.layers.positions import Positions
from ctm.layers.reading import ReadingKind
from ctm.layers.sync import Pairing
from ctm.models.config import (
    ENCODERS,
    MODELS,
    ConvEncoderConfig,
    CTMConfig,
    EncoderConfig,
    NeuronModels,
    NoEncoderConfig,
    ParityEncoderConfig,
    QuestionEncoderConfig,
    ResNetEncoderConfig,
    ShallowWideEncoderConfig,
    SymbolEncoderConfig,
    VectorEncoderConfig,
)
from tests.build import small

EXAMPLES: dict[str, tuple[EncoderConfig, dict[str, Any]]] = {
    "parity": (ParityEncoderConfig(positions=Positions.none), {"dropout_nlm": 0.1}),
    "vector": (VectorEncoderConfig(), {"pairing": Pairing.dense}),
    "none": (NoEncoderConfig(), {"reading": ReadingKind.direct, "sync_action": 0}),
    "conv": (ConvEncoderConfig(widths=[3, 5, 7]), {"neuron_models": NeuronModels.none}),
    "shallow_wide": (ShallowWideEncoderConfig(), {"nlm_layernorm": True}),
    "questions": (QuestionEncoderConfig(), {"reading": ReadingKind.scheduled}),
    "symbols": (SymbolEncoderConfig(), {"reading": ReadingKind.streamed, "sync_action": 0}),
    "resnet": (
        ResNetEncoderConfig(depth=34, stages=3, positions=Positions.fourier),
        {"pairing": Pairing.random, "self_pairs": 2},
    ),
}


def test_there_is_an_example_of_every_encoder() -> None:
    assert EXAMPLES.keys() == ENCODERS.keys()
    for kind, (encoder, _) in EXAMPLES.items():
        assert type(encoder) is ENCODERS[kind]
        assert encoder.kind == kind


def json_values(plain: Any) -> list[Any]:
    if isinstance(plain, dict):
        return [value for item in plain.values() for value in json_values(item)]
    if isinstance(plain, list):
        return [value for item in plain for value in json_values(item)]
    return [plain]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_settings_survive_a_file(kind: str) -> None:
    encoder, settings = EXAMPLES[kind]
    config = small(encoder, **settings)
    plain = to_plain(config)
    assert not [value for value in json_values(plain) if isinstance(value, StrEnum)]
    read = from_plain(MODELS, json.loads(json.dumps(plain)), "model")
    assert read == config
    assert type(read.encoder) is type(encoder)
    assert isinstance(read, CTMConfig)
    assert type(read.pairing) is Pairing
    assert type(read.encoder.positions) is Positions
    assert to_plain(read) == plain


def test_settings_that_are_not_given_have_their_default() -> None:
    read = from_plain(MODELS, {"kind": "ctm", "encoder": {"kind": "parity"}}, "model")
    assert read == CTMConfig(encoder=ParityEncoderConfig())


def test_reading_settings_leaves_the_given_ones_as_they_are() -> None:
    plain = to_plain(small())
    before = json.dumps(plain)
    from_plain(MODELS, plain, "model")
    assert json.dumps(plain) == before


def changed(**settings: Any) -> dict[str, Any]:
    """Plain settings of a sound machine, but for these."""
    return to_plain(small()) | settings


def encoder(**settings: Any) -> dict[str, Any]:
    return changed(encoder={"kind": "conv", **settings})


REFUSED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "odd heads": (changed(heads=4), ("model.heads=4", "a divisor of model.d_input=6")),
    "no heads": (changed(heads=0), ("model.heads=0", "a divisor of model.d_input=6")),
    "no ticks": (changed(ticks=0), ("model.ticks=0", "1 or more")),
    "no neurons": (changed(neurons=0), ("model.neurons=0", "1 or more")),
    "no memory": (changed(memory_length=-1), ("model.memory_length=-1", "1 or more")),
    "no width": (changed(d_input=0), ("model.d_input=0", "1 or more")),
    "no synapse": (changed(synapse_depth=0), ("model.synapse_depth=0", "1 to 256")),
    "nothing to answer with": (changed(sync_out=0), ("model.sync_out=0", "1 or more")),
    "nothing to ask with": (
        changed(sync_action=0),
        ("model.sync_action=0", "1 or more", "model.reading=direct"),
    ),
    "negative hidden width": (changed(nlm_hidden=-1), ("model.nlm_hidden=-1", "0 or more")),
    "all dropped": (changed(dropout=1.0), ("model.dropout=1.0", "0 <= p < 1")),
    "less than nothing dropped": (
        changed(dropout_nlm=-0.1),
        ("model.dropout_nlm=-0.1", "0 <= p < 1"),
    ),
    "self pairs above the pairs": (
        changed(pairing="random", self_pairs=5),
        ("model.self_pairs=5", "at most the 3 pairs"),
    ),
    "self pairs of dense pairing": (
        changed(pairing="dense", self_pairs=1),
        ("model.self_pairs=1", "0", "model.pairing=dense"),
    ),
    "dense answers above the neurons": (
        changed(pairing="dense", sync_out=13),
        ("model.sync_out=13", "at most model.neurons=12"),
    ),
    "dense questions above the neurons": (
        changed(pairing="dense", sync_action=13),
        ("model.sync_action=13", "at most model.neurons=12"),
    ),
    "unknown setting": (changed(tikcs=3), ("tikcs", "model")),
    "unknown setting of a part": (encoder(depth=18), ("model.encoder", "depth")),
    "a word for a number": (changed(ticks="many"), ("model.ticks", "many", "Integer")),
    "a broken number": (changed(neurons=1.5), ("model.neurons", "1.5", "Integer")),
    "a list for a number": (changed(ticks=[3]), ("model.ticks", "[3]")),
    "nothing for a number": (changed(ticks=None), ("model.ticks", "None")),
    "a word for a yes or no": (changed(nlm_layernorm="perhaps"), ("nlm_layernorm", "perhaps")),
    "unknown pairing": (
        changed(pairing="loose"),
        ("model.pairing", "loose", "dense", "semi_dense", "random"),
    ),
    "unknown positions of a part": (
        encoder(positions="sinus"),
        ("model.encoder.positions", "sinus", "rotational_2d"),
    ),
    "a word in a list of numbers": (encoder(widths=["wide"]), ("widths", "wide", "Integer")),
    "unknown kind": (changed(kind="gru"), ("model.kind=gru", "choose one of ctm")),
    "unknown kind of a part": (
        changed(encoder={"kind": "eye"}),
        ("model.encoder.kind=eye", *ENCODERS),
    ),
    "a part without a kind": (changed(encoder={}), ("model.encoder.kind=None", *ENCODERS)),
    "a missing part": (
        {"kind": "ctm", "ticks": 3},
        ("model.encoder", "want settings by name", "None"),
    ),
    "a word for a part": (changed(encoder="parity"), ("model.encoder", "'parity'")),
    "a list for all": ([1, 2], ("model", "want settings by name", "[1, 2]")),
    "a reference": (changed(ticks="${oc.env:HOME}"), ("model.ticks", "${oc.env:HOME}")),
    "a reference in a part": (
        encoder(positions="${oc.env:HOME}"),
        ("model.encoder.positions", "${oc.env:HOME}"),
    ),
    "a reference in a list": (encoder(widths=["${x}"]), ("model.encoder.widths", "${x}")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_is_refused_in_one_line_that_helps(case: str) -> None:
    plain, said = REFUSED[case]
    with pytest.raises(ConfigError) as refusal:
        from_plain(MODELS, plain, "model")
    message = str(refusal.value)
    for words in said:
        assert words in message
    assert "\n" not in message
    assert len(message) < 250


def test_a_wrong_setting_is_refused_in_code_too() -> None:
    with pytest.raises(ConfigError, match=r"model\.heads=4: want a divisor of model\.d_input=6"):
        small(heads=4)


def test_wanted_says_what_came_and_what_was_wanted() -> None:
    wanted(True, "model.ticks", 3, "1 or more")
    with pytest.raises(ConfigError, match=r"^model\.ticks=0: want 1 or more$"):
        wanted(False, "model.ticks", 0, "1 or more")
