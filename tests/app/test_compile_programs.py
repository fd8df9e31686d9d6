"""Programs of torch.export's, of every kind of model: for them torch must see the code as it is."""

from pathlib import Path

import pytest
import torch

from ctm.app import program
from ctm.app.compare.contenders import contender
from ctm.app.compose import compose
from ctm.app.program import Ticks, torch_program
from ctm.errors import UserError
from ctm.models.build import build_model, set_engine
from ctm.models.machine import ContinuousThoughtMachine
from tests.build import perturb

SMALL = ["model.neurons=16", "model.d_input=8", "model.memory_length=3", "model.heads=2",
         "model.ticks=3"]  # fmt: skip
PARITY = ["experiment=parity/quick", "task.length=6", "task.test_size=8", *SMALL]


@pytest.mark.parametrize("name", ["lstm", "transformer", "mazes", "questions", "feedforward"])
def test_a_torch_program_of_every_model_takes_batches_of_any_size(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = {
        "mazes": ["experiment=mazes/quick", "task.train_size=40", "task.test_size=8",
                  "task.validation_size=8"],
        "questions": ["experiment=qamnist/quick", "task.test_each=8", "task.max_digits=2",
                      "task.max_operations=1"],
    }.get(name, PARITY)  # fmt: skip
    experiment = compose([*words, *SMALL])
    if name in ("lstm", "transformer", "feedforward"):
        experiment = contender(name, experiment, {})
    model = build_model(experiment.model, experiment.task.spec).eval()
    perturb(model)
    if isinstance(model, ContinuousThoughtMachine):
        set_engine(model, "eager")
    made = torch_program(model, experiment.task, None, tmp_path)
    assert made.inputs == 8
    assert made.difference <= 1e-4
    run = torch.export.load(made.file).module()
    for batch in (1, 5):
        inputs = program.separate(experiment.task.blank_inputs(batch, "cpu"))
        logits, certainty = run(*inputs)
        expected = Ticks(model, None)(*inputs)
        torch.testing.assert_close((logits, certainty), expected, rtol=1e-4, atol=1e-4)


def test_a_program_that_gives_something_else_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "NEAR", -1.0)
    experiment = compose(PARITY)
    model = build_model(experiment.model, experiment.task.spec).eval()
    if isinstance(model, ContinuousThoughtMachine):
        set_engine(model, "eager")
    with pytest.raises(UserError, match=r"model\.pt2: its logits differ .*: deleted"):
        torch_program(model, experiment.task, None, tmp_path)
    assert not list(tmp_path.iterdir())
