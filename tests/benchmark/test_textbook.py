"""The textbook's loop is the machine's own function: logits and gradients, in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ctm.benchmark.textbook import TextbookCTM
from ctm.layers.sync import Pairing
from ctm.models.build import set_engine
from ctm.models.config import Engine
from ctm.models.machine import ContinuousThoughtMachine
from tests.build import SIGNS, Variant, generator, small

MACHINES: dict[str, dict[str, Any]] = {
    "semi_dense, deep": {"pairing": Pairing.semi_dense},
    "dense, linear": {"pairing": Pairing.dense, "nlm_hidden": 0},
    "random, layernorm, unet": {
        "pairing": Pairing.random, "self_pairs": 2, "nlm_layernorm": True, "synapse_depth": 3,
    },
    "dense, unet": {"pairing": Pairing.dense, "synapse_depth": 2},
    "random, linear, layernorm": {
        "pairing": Pairing.random, "nlm_hidden": 0, "nlm_layernorm": True,
    },
}  # fmt: skip


def their_gradients(
    machine: ContinuousThoughtMachine, textbook: TextbookCTM, gradients: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The machine's gradients under the textbook's names and in its layouts."""
    of_name = {weight: gradients[name] for name, weight in machine.named_parameters()}
    theirs: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        joined = (gradients[f"reader.in_query.{kind}"], gradients[f"reader.in_key_value.{kind}"])
        theirs[f"attention.in_proj_{kind}"] = torch.cat(joined)
        theirs[f"attention.out_proj.{kind}"] = gradients[f"reader.out.{kind}"]
    for name, weight in textbook.named_parameters():
        if name in theirs:
            continue
        if weight in of_name:  # shared
            theirs[name] = of_name[weight]
            continue
        theirs[name] = gradients[name.replace("neuron_models.", "neuron_models.layers.")]
        if theirs[name].dim() == 3:
            theirs[name] = theirs[name].permute(1, 2, 0)
    return theirs


@pytest.mark.parametrize("engine", [Engine.eager, Engine.fast])
@pytest.mark.parametrize("name", MACHINES)
def test_the_textbook_equals_the_machine(name: str, engine: Engine) -> None:
    variant = Variant(small(ticks=5, **MACHINES[name]), SIGNS)
    machine = variant.model().double().train()
    set_engine(machine, engine)
    textbook = TextbookCTM(machine).train()
    inputs = variant.inputs()
    ours, theirs = machine(inputs).logits, textbook(inputs).logits
    assert ours.dtype == theirs.dtype == torch.float64
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)

    direction = torch.randn(ours.shape, generator=generator(7), dtype=torch.float64)
    named, leaves = dict(machine.named_parameters()), dict(textbook.named_parameters())
    found = torch.autograd.grad((ours * direction).sum(), list(named.values()))
    wanted = torch.autograd.grad((theirs * direction).sum(), list(leaves.values()))
    gradients = their_gradients(machine, textbook, dict(zip(named, found, strict=True)))
    assert set(gradients) == set(leaves)
    for leaf, gradient in zip(leaves, wanted, strict=True):
        torch.testing.assert_close(
            gradients[leaf].reshape(gradient.shape), gradient, rtol=1e-8, atol=1e-8,
            msg=lambda text, leaf=leaf: f"gradient of {leaf}: {text}",
        )  # fmt: skip


def test_the_textbook_leaves_no_weight_of_the_machine_out() -> None:
    machine = Variant(small(), SIGNS).model()
    numbers = [sum(p.numel() for p in m.parameters()) for m in (machine, TextbookCTM(machine))]
    assert numbers[0] == numbers[1]
