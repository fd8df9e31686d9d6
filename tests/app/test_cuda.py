"""The same commands on a GPU."""

import json
from pathlib import Path

import pytest
import torch

import ctm
from tests.app.commands import TINY, run_well

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
ON_GPU = [*TINY, "trainer.accelerator=cuda", "trainer.steps=6", "trainer.log_every=2"]


@pytest.mark.parametrize("precision", ["32", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("clip", ["trainer.clip_quantile=0.9", "trainer.clip_quantile=null"])
def test_a_run_on_cuda_leaves_a_result(precision: str, clip: str, tmp_path: Path) -> None:
    more = [f"trainer.precision={precision}", clip, "trainer.workers=1", "trainer.accumulate=2"]
    out = run_well("train.py", *ON_GPU, *more, cwd=tmp_path, apart=True)
    assert "on cuda" in out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 6
    again = run_well("evaluate.py", "run=run", "device=cuda", cwd=tmp_path, apart=True)
    accuracy = json.loads(again)["test"]["accuracy"]
    assert accuracy == pytest.approx(result["test"]["accuracy"], abs=1e-6)


def test_a_run_on_cuda_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    run_well("train.py", *ON_GPU, "trainer.checkpoint_every=2", cwd=tmp_path, apart=True)
    (tmp_path / "run" / "result.json").unlink()
    out = run_well("train.py", *ON_GPU, "trainer.checkpoint_every=2", cwd=tmp_path, apart=True)
    assert "going on from step 6" in out


def test_compile_on_cuda_gives_equal_losses(tmp_path: Path) -> None:
    plain = [*ON_GPU, "model.dropout=0"]
    run_well("train.py", *plain, cwd=tmp_path, apart=True)
    run_well(
        "train.py", *plain, "model.engine=compiled", "run_dir=compiled", cwd=tmp_path, apart=True
    )
    losses = [
        json.loads((tmp_path / folder / "metrics.jsonl").read_text().splitlines()[0])["loss"]
        for folder in ("run", "compiled")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_model_of_the_cpu_thinks_the_same_on_cuda(tmp_path: Path) -> None:
    run_well(
        "train.py", *TINY, "trainer.accelerator=cpu", "trainer.steps=1", cwd=tmp_path, apart=True
    )
    signs = torch.ones(4, 8)
    with torch.no_grad():
        here = ctm.load(tmp_path / "run")(signs).logits
        there = ctm.load(tmp_path / "run", device="cuda")(signs.cuda(), record=True)
    torch.testing.assert_close(there.logits.cpu(), here, rtol=1e-4, atol=1e-4)
    assert there.trace is not None
    assert there.trace.post_activations.device.type == "cpu"
