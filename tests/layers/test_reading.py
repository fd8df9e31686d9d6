"""Reading: attention as torch's own computes it, with keys and values projected once."""

import math

import pytest
import torch
from torch import Tensor, nn

from ctm.errors import ConfigError
from ctm.layers.reading import AttentionReader, DirectReader
from tests.build import VARIANTS, generator, perturbed, started

BATCH, TOKENS, D_INPUT, HEADS, PAIRS = 3, 5, 8, 2, 6


def reader(dropout: float = 0.0) -> AttentionReader:
    return AttentionReader(pairs=PAIRS, d_input=D_INPUT, heads=HEADS, dropout=dropout)


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def torchs_own(ours: AttentionReader) -> nn.MultiheadAttention:
    attention = nn.MultiheadAttention(D_INPUT, HEADS, batch_first=True, dtype=torch.float64)
    attention.load_state_dict(
        {
            "in_proj_weight": torch.cat((ours.in_query.weight, ours.in_key_value.weight)),
            "in_proj_bias": torch.cat((ours.in_query.bias, ours.in_key_value.bias)),
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    return attention


def test_attention_equals_torchs_own() -> None:
    ours = perturbed(reader())
    tokens, sync = random(BATCH, TOKENS, D_INPUT), random(BATCH, PAIRS, seed=2)
    query = (sync @ ours.query.weight.T + ours.query.bias).unsqueeze(1)
    expected, weights = torchs_own(ours)(query, tokens, tokens, average_attn_weights=False)
    reading = ours(tokens)
    torch.testing.assert_close(reading(sync), expected.squeeze(1))
    torch.testing.assert_close(reading.weights(sync), weights.squeeze(2))


def test_weights_start_as_torchs_own() -> None:
    wide = started(AttentionReader(pairs=100, d_input=64, heads=4))
    bounds = {
        "query": 1 / math.sqrt(100),
        "in_query": math.sqrt(6 / (64 + 3 * 64)),
        "in_key_value": math.sqrt(6 / (64 + 3 * 64)),
        "out": 1 / math.sqrt(64),
    }
    for name, bound in bounds.items():
        weight = wide.get_parameter(f"{name}.weight")
        assert weight.abs().max() <= bound, name
        assert weight.abs().max() > 0.98 * bound, name
    for name in ("in_query", "in_key_value", "out"):
        assert not wide.get_parameter(f"{name}.bias").any(), name


def test_keys_and_values_are_projected_once_a_pass() -> None:
    parity = VARIANTS["parity"]
    model = parity.model()
    assert isinstance(model.reader, AttentionReader)
    calls = {"in_key_value": 0, "in_query": 0}
    for name in calls:

        def count(*_: object, name: str = name) -> None:
            calls[name] += 1

        model.reader.get_submodule(name).register_forward_hook(count)
    model.represent(parity.inputs(), 4)
    assert calls == {"in_key_value": 1, "in_query": 4}


def test_dropout_acts_in_training_only() -> None:
    module = perturbed(reader(dropout=0.5))
    tokens, sync = random(BATCH, TOKENS, D_INPUT), random(BATCH, PAIRS, seed=2)
    assert module(tokens)(sync).equal(module(tokens)(sync))
    assert not module.train()(tokens)(sync).equal(module.eval()(tokens)(sync))


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_that_do_not_divide_are_refused(heads: int) -> None:
    with pytest.raises(ConfigError, match=f"heads={heads}"):
        AttentionReader(pairs=PAIRS, d_input=D_INPUT, heads=heads)


def test_a_direct_reading_gives_the_data_whatever_is_asked() -> None:
    data = random(BATCH, D_INPUT)
    reading = DirectReader()(data)
    assert reading(random(BATCH, PAIRS)) is data
