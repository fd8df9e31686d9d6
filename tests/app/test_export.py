"""`scripts/export.py`: what it hands on is the model, to the bit or as near as it says."""

import json
import re
from pathlib import Path

import pytest
import torch

import ctm
from ctm.app.compose import compose
from ctm.app.program import onnx_program
from ctm.models.pretrained import open_pretrained
from tests.app.commands import TINY, complaint, run_well


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a parity run, hardly trained."""
    folder = tmp_path_factory.mktemp("trained")
    run_well("train.py", *TINY, "trainer.steps=1", cwd=folder)
    return folder


def test_a_run_comes_back_from_a_hub_folder_equal_to_the_bit(trained: Path, tmp_path: Path) -> None:
    out = run_well("export.py", f"run={trained / 'run'}", "to=hub", "out=hub", cwd=tmp_path)
    assert out.startswith("hub: for the hub, with a model card")
    before, after = (open_pretrained(folder) for folder in (trained / "run", tmp_path / "hub"))
    assert (before.config, before.spec, before.task) == (after.config, after.spec, after.task)
    weights, found = before.model.state_dict(), after.model.state_dict()
    assert weights.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in weights.items())
    inputs = torch.ones(3, 8)
    assert torch.equal(before.model(inputs).logits, after.model(inputs).logits)


def test_a_hub_folder_says_what_it_reads_and_how_good_it_is(trained: Path, tmp_path: Path) -> None:
    run_well("export.py", f"run={trained / 'run'}", "to=hub", "out=hub", cwd=tmp_path)
    saved = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert saved["inputs"] == {"kind": "signs", "shape": [8], "of_0": 1, "of_1": -1}
    assert saved["labels"] == ["0", "1"]
    assert saved["model"]["readout"] == "certain"
    card = (tmp_path / "hub" / "README.md").read_text()
    result = json.loads((trained / "run" / "result.json").read_text())
    assert f"| test accuracy | {result['test']['accuracy']['certain']:.2%} |" in card
    assert f"| commit | {result['commit']} |" in card


def test_a_published_model_without_a_result_gets_a_card_that_says_so(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "checkpoints" / "parity_checkpoint_1234.pt"
    run_well("export.py", f"run={golden}", "to=hub", "out=hub", cwd=tmp_path)
    assert "without the numbers of a test" in (tmp_path / "hub" / "README.md").read_text()
    inputs = torch.ones(2, 12)
    assert torch.equal(ctm.load(tmp_path / "hub")(inputs).logits, ctm.load(golden)(inputs).logits)


@pytest.mark.parametrize("to", ["torch", "onnx"])
def test_a_program_gives_what_the_model_gives(to: str, trained: Path, tmp_path: Path) -> None:
    out = run_well(
        "export.py", f"run={trained / 'run'}", f"to={to}", "out=there", cwd=tmp_path, apart=True
    )
    found = re.search(r"on 32 inputs the logits differ from the model's by (\S+) at most", out)
    assert found is not None, out
    assert float(found[1]) <= 1e-5
    assert json.loads((tmp_path / "there" / "config.json").read_text())["labels"] == ["0", "1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["to=jax"], "to=jax: choose one of hub, torch, onnx"),
        (["to=onnx", "push=a/b"], "push=a/b: goes with to=hub"),
        (["to=hub", "push=nobody"], "push=nobody: want owner/name"),
        (["to=hub", "ticks=3"], "ticks=3: goes with to=torch and to=onnx"),
        (["to=torch", "ticks=no"], "ticks=no: want a whole number"),
        (["to=hub", "out=run/result.json"], "out=run/result.json: can't be written"),
        (["to=hub", "out=run"], "out=run: there the model itself lies; choose another"),
        (["to=hub", "out=run/checkpoints/last"], "there the model itself lies"),
        ([], "to missing; usage: run=... to=..."),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, trained: Path) -> None:
    assert said in complaint("export.py", "run=run", *words, cwd=trained)


def test_unknown_packages_are_named(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"pip install 'ctm\[export\]'"):
        onnx_program(ctm.load(trained / "run"), compose([*TINY]).task, None, tmp_path)
