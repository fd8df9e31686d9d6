"""Models from folders: equal to the bit, or refused in one line that says why."""

import json
import math
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import ctm
from ctm.errors import CheckpointError, ConfigError
from ctm.interface import InputKind, TaskSpec
from ctm.models import fast
from ctm.models.config import Engine
from ctm.models.pretrained import description, open_pretrained
from ctm.models.stretches import Stretches
from tests.build import VARIANTS, Variant

PARITY = VARIANTS["parity"]
TASK = {"kind": "parity", "length": 5}


def write(folder: Path, variant: Variant = PARITY) -> Path:
    """A checkpoint's folder."""
    folder.mkdir(parents=True)
    save_file(variant.model().state_dict(), folder / "model.safetensors")
    about = description(variant.config, variant.spec, TASK)
    (folder / "config.json").write_text(json.dumps(about))
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes the description of a model."""
    file = folder / "config.json"
    about = json.loads(file.read_text())
    change(about)
    file.write_text(json.dumps(about))


def reweigh(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def refusal(folder: Path) -> str:
    """What is said, in one line, about a folder that can't be loaded."""
    with pytest.raises(CheckpointError, match=r"\A.*\Z") as refused:
        ctm.load(folder)
    return str(refused.value)


# -- what is there comes back ----------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_a_loaded_model_thinks_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    variant = VARIANTS[name]
    before, after = variant.model(), ctm.load(write(tmp_path / "model", variant))
    assert not after.training
    assert {key: value.dtype for key, value in after.state_dict().items()} == {
        key: value.dtype for key, value in before.state_dict().items()
    }
    assert all(weight.requires_grad for weight in after.parameters())
    with torch.no_grad():
        first, second = before(variant.inputs()), after(variant.inputs())
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(first.certainty, second.certainty)


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    before = torch.get_rng_state()
    ctm.load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_model_can_be_trained_and_copies_none_of_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    model = ctm.load(str(folder)).train()
    model(PARITY.inputs()).logits.square().mean().backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    again = ctm.load(folder).state_dict()
    assert all(torch.equal(again[key], value) for key, value in PARITY.model().state_dict().items())


def test_the_settings_come_back_too(tmp_path: Path) -> None:
    found = open_pretrained(write(tmp_path / "model"))
    assert found.config == PARITY.config
    assert found.spec == PARITY.spec
    assert found.task == TASK


@pytest.mark.parametrize("trained_with", [*Engine, None], ids=["loop", "fast", "torch", "none"])
def test_the_loader_chooses_the_engine(trained_with: Engine | None, tmp_path: Path) -> None:
    """Whatever it was trained with, before there were engines (None) too."""
    folder = write(tmp_path / "model")
    if trained_with is None:
        rewrite(folder, lambda about: about["model"].pop("engine"))
        rewrite(folder, lambda about: about["model"].pop("checkpoint_ticks"))
    else:
        rewrite(folder, lambda about: about["model"].update(engine=str(trained_with)))
    inputs = PARITY.inputs()
    for asked, engine in (("eager", None), (Engine.eager, None), ("fast", fast.think)):
        loaded = ctm.load(folder, engine=asked)
        assert loaded.engine is engine
        torch.testing.assert_close(loaded(inputs).logits, PARITY.model()(inputs).logits)
    assert ctm.load(folder).engine is fast.think


def test_ticks_are_kept_or_computed_again_as_the_folder_says(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    for longest in (None, 2):
        rewrite(
            folder, lambda about, longest=longest: about["model"].update(checkpoint_ticks=longest)
        )
        assert ctm.load(folder).stretches == Stretches(longest)


@pytest.mark.parametrize("engine", ["warp", "", "FAST"])
def test_an_unknown_engine_is_refused_with_the_known_ones(engine: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"\A.*\Z") as refused:
        ctm.load(folder, engine=engine)
    assert str(refused.value) == f"engine={engine}: choose one of eager, fast, compiled"


def test_a_run_folder_gives_its_last_checkpoint(tmp_path: Path) -> None:
    checkpoints = tmp_path / "runs" / "parity" / "seed0" / "checkpoints"
    last = write(checkpoints / "step_00000020")
    earlier = write(checkpoints / "step_00000010")
    reweigh(earlier, lambda weights: [value.zero_() for value in weights.values()])
    (checkpoints / "last").symlink_to(last.name)
    expected = PARITY.model().state_dict()
    for folder in (checkpoints.parent, checkpoints / "last", last):
        found = ctm.load(folder).state_dict()
        assert all(torch.equal(found[key], value) for key, value in expected.items())


# -- what is not there, or broken ------------------------------------------------------------------


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path / "nowhere")
    assert "no such folder; want a run folder" in said
    assert str(tmp_path / "nowhere") in said


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a model")
    assert "an empty or foreign folder; want a run folder" in refusal(tmp_path)


def test_a_run_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last").symlink_to("step_00000010")
    assert "foreign folder" in refusal(tmp_path)


def test_a_folder_of_another_program_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 768}')
    assert "config.json: not a model description of format 1" in refusal(folder)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut_in_half": lambda whole: whole[: len(whole) // 2],
    "cut_at_the_end": lambda whole: whole[:-2],
    "flipped_start": lambda whole: bytes(byte ^ 0xFF for byte in whole[:8]) + whole[8:],
    "zeros": lambda whole: bytes(len(whole)),
    "text": lambda whole: b"<html>\n<body>Not Found</body>\n</html>\n",
}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_file_is_refused_by_its_name(name: str, kind: str, tmp_path: Path) -> None:
    file = write(tmp_path / "model") / name
    file.write_bytes(DAMAGES[kind](file.read_bytes()))
    assert str(file) in refusal(file.parent)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == f"{folder / 'model.safetensors'}: missing"


def test_a_folder_in_place_of_the_weights_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    assert "model.safetensors: not a whole safetensors file" in refusal(folder)


def test_any_byte_flipped_in_the_header_is_refused_or_harmless(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    expected = PARITY.model().state_dict()
    for place in range(0, header, 37):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        # any other error fails
        with suppress(CheckpointError):
            found = ctm.load(folder).state_dict()
            assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_weights_that_are_missing_unexpected_or_of_other_shapes_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    names = list(PARITY.model().state_dict())

    def change(weights: dict[str, Tensor]) -> None:
        del weights[names[0]]
        weights["another.weight"] = torch.zeros(3)
        weights[names[-1]] = torch.zeros(99)

    reweigh(folder, change)
    said = refusal(folder)
    assert f"{names[0]} missing" in said
    assert "another.weight unexpected" in said
    assert f"{names[-1]} is (99,), want " in said


def test_half_precision_weights_load_as_the_model_wants_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    reweigh(folder, lambda weights: weights.update(start_z=weights["start_z"].half()))
    assert ctm.load(folder).state_dict()["start_z"].dtype == torch.float32


def test_numbers_of_another_kind_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    reweigh(folder, lambda weights: weights.update(start_z=weights["start_z"].int()))
    assert "start_z holds torch.int32, want torch.float32" in refusal(folder)


@pytest.mark.parametrize("index", [-1, 12, 10**9])
def test_pairs_of_neurons_that_are_not_there_are_refused(index: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    reweigh(folder, lambda weights: weights["sync_out.left"].fill_(index))
    assert "sync_out.left names neurons that are not there" in refusal(folder)


def test_weights_of_a_machine_of_another_size_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    rewrite(folder, lambda about: about["model"].update(neurons=13))
    said = refusal(folder)
    assert "these weights are of another model" in said
    assert "more" in said  # of so many, some are named
    assert len(said) < 600


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda about: about["model"].update(kind="gru"),
            "model.kind=gru: choose one of ctm, lstm",
        ),
        (lambda about: about["model"].update(kind=None), "model.kind=None: choose one of ctm"),
        (lambda about: about["model"].update(kind=["ctm"]), "model.kind=['ctm']: choose one of"),
        (lambda about: about["model"].update(neurons=10**12), "config.json"),
        (lambda about: about["spec"].update(output_shape=[math.inf, 2]), "not a task's sizes"),
        (lambda about: about["model"].pop("encoder"), "model.encoder: want settings by name"),
        (lambda about: about["model"]["encoder"].update(kind="x"), "model.encoder.kind=x: choose"),
        (lambda about: about["model"].update(ticks="many"), "ticks"),
        (lambda about: about["model"].update(ticks=0), "model.ticks=0: want 1 or more"),
        (lambda about: about["model"].update(engine="warp"), "expected one of [eager, fast, comp"),
        (lambda about: about["model"].update(checkpoint_ticks=0), "want 1 or more, or null"),
        (lambda about: about["model"].update(thoughts=3), "thoughts"),
        (lambda about: about["model"].update(ticks="${oc.env:HOME}"), "not a reference"),
        (lambda about: about.pop("model"), "model: want settings by name, got None"),
        (lambda about: about.pop("spec"), "spec=None: not a task's sizes"),
        (lambda about: about["spec"].pop("output_shape"), "not a task's sizes"),
        (lambda about: about["spec"].update(input_kind="sound"), "not a task's sizes"),
        (lambda about: about["spec"].update(output_shape=[0]), "output_shape=(0,)"),
        (lambda about: about["spec"].update(input_kind="vector"), "vector"),
        (lambda about: about.update(format=2), "not a model description of format 1"),
        (lambda about: about.update(_target_="os.system"), None),
    ],
)
def test_a_wrong_description_is_refused_or_ignored(
    change: Callable[[dict[str, Any]], Any], said: str | None, tmp_path: Path
) -> None:
    folder = write(tmp_path / "model")
    rewrite(folder, change)
    if said is None:  # a key beside the known ones does nothing
        ctm.load(folder)
        return
    message = refusal(folder)
    assert said in message
    assert str(folder / "config.json") in message


def test_a_description_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    for text in ("[]", "3", "null", '"ctm"'):
        (folder / "config.json").write_text(text)
        assert "not a model description" in refusal(folder)


def test_an_encoder_that_does_not_fit_the_task_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    image = TaskSpec(InputKind.image, (1, 8, 8), (10,))
    (folder / "config.json").write_text(json.dumps(description(PARITY.config, image, TASK)))
    assert "config.json" in refusal(folder)


def test_a_refused_folder_is_left_as_it_was(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    reweigh(folder, lambda weights: weights.popitem())
    shutil.copytree(folder, tmp_path / "copy")
    refusal(folder)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "copy" / file.name).read_bytes()


def test_names_of_the_classes_come_back(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    assert open_pretrained(folder).labels == ()
    rewrite(folder, lambda about: about.update(labels=["even", "odd"]))
    assert open_pretrained(folder).labels == ("even", "odd")
    for wrong in (["even"], "eo", [1, 2], {}):
        rewrite(folder, lambda about, wrong=wrong: about.update(labels=wrong))
        assert "want 2 names" in refusal(folder)
