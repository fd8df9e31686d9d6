"""`ctm.load` from published files, folders and the hub: the published model, or one line."""

import json
import os
import pickle
import shutil
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ctm
from ctm.errors import CheckpointError
from ctm.models.pretrained import open_pretrained

GOLDEN = Path(__file__).parents[1] / "golden"
CHECKPOINTS = GOLDEN / "checkpoints"
FILES = {"parity_checkpoint_1234.pt": "parity_random", "mazes_checkpoint.pt": "maze_first_last"}
FOLDERS = sorted(folder.name for folder in GOLDEN.iterdir() if (folder / "fixture.json").exists())


def refusal(source: str | Path, **asked: Any) -> str:
    with pytest.raises(CheckpointError, match=r"\A.*\Z") as refused:
        ctm.load(source, **asked)
    return str(refused.value)


def hub_folder(name: str, place: Path) -> Path:
    """A fixture in the form of a published folder."""
    place.mkdir(parents=True)
    args = json.loads((GOLDEN / name / "fixture.json").read_text())["args"]
    (place / "config.json").write_text(json.dumps(args))
    shutil.copy(GOLDEN / name / "weights.safetensors", place / "model.safetensors")
    return place


def assert_golden(model: torch.nn.Module, name: str) -> None:
    expected = load_file(GOLDEN / name / "expected.safetensors")
    question = expected.get("question")
    inputs = expected["input"] if question is None else (expected["input"], question)
    with torch.no_grad():
        ours = model(inputs).logits.flatten(2).transpose(1, 2)
    published = expected["predictions"]
    ours = ours.squeeze(2) if published.dim() == 2 else ours
    torch.testing.assert_close(ours, published, rtol=1e-6, atol=1e-5)


# -- published files -------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_a_published_training_checkpoint_gives_the_golden_predictions(file: str) -> None:
    assert_golden(ctm.load(CHECKPOINTS / file), FILES[file])


def test_its_arguments_tell_the_task() -> None:
    parity, mazes = (open_pretrained(CHECKPOINTS / file) for file in FILES)
    assert parity.task == {"kind": "parity", "length": 12}
    assert mazes.task["kind"] == "mazes"
    assert (mazes.task["route_length"], mazes.task["pixel_range"]) == (10, "signed")


class Harmful:
    """Unpickled, it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.file}",)


PLACES: dict[str, Callable[[dict[str, Any], Any], object]] = {
    "beside the weights": lambda saved, harm: saved.update(extra=harm),
    "among the weights": lambda saved, harm: saved["model_state_dict"].update(start=harm),
    "among the arguments": lambda saved, harm: setattr(saved["args"], "seed", harm),
    "in the random state": lambda saved, harm: saved.update(numpy_rng_state=(harm,)),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(
    place: str, tmp_path: Path
) -> None:
    with torch.serialization.safe_globals([Namespace]):
        whole = torch.load(CHECKPOINTS / "parity_checkpoint_1234.pt", weights_only=False)
    PLACES[place](whole, Harmful(tmp_path / "ran"))
    torch.save(whole, tmp_path / "file.pt")
    said = refusal(tmp_path / "file.pt")
    assert "its pickle asks for posix.system" in said
    assert "nothing of it was run" in said
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "file.pt", weights_only=False)  # it would have
    assert (tmp_path / "ran").exists()


def test_what_is_no_published_checkpoint_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.pt"
    for content in ({}, {"args": {}}, [1], {"args": Namespace(), "model_state_dict": {"a": 1}}):
        torch.save(content, file)
        assert "no published training checkpoint: want a dict" in refusal(file)
    file.write_bytes(pickle.dumps({"args": 1}))
    assert "not a whole file of torch.save" in refusal(file)
    file.write_text("hello")
    assert "not a whole file of torch.save" in refusal(file)


def test_a_changed_byte_of_the_weights_is_noticed(tmp_path: Path) -> None:
    whole = bytearray((CHECKPOINTS / "parity_checkpoint_1234.pt").read_bytes())
    with zipfile.ZipFile(CHECKPOINTS / "parity_checkpoint_1234.pt") as archive:
        entry = max(archive.infolist(), key=lambda entry: entry.file_size)
    whole[entry.header_offset + 400] ^= 1
    (tmp_path / "file.pt").write_bytes(whole)
    assert f"damaged in {entry.filename}" in refusal(tmp_path / "file.pt")


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("d_model", "wide", "d_model=wide: want a whole number"),
        ("dropout", "some", "dropout=some: want a number"),
        ("iterations", -1, "model.ticks=-1: want 1 or more"),
        ("synapse_depth", 10**9, "model.synapse_depth=1000000000: want 1 to 256"),
        ("model_type", "gru", "model=gru: choose one of ctm, lstm, ff"),
        ("memory_length", 6, "these weights are of another model"),
    ],
)
def test_wrong_arguments_are_named(argument: str, value: Any, said: str, tmp_path: Path) -> None:
    whole = torch.load(CHECKPOINTS / "parity_checkpoint_1234.pt", weights_only=False)
    setattr(whole["args"], argument, value)
    torch.save(whole, tmp_path / "file.pt")
    line = refusal(tmp_path / "file.pt")
    assert said in line
    assert str(tmp_path / "file.pt") in line


# -- published folders -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOLDERS)
def test_a_published_folder_gives_the_golden_predictions(name: str, tmp_path: Path) -> None:
    assert_golden(ctm.load(hub_folder(name, tmp_path / name)), name)


def test_a_published_folder_without_an_argument_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = hub_folder("parity_random", tmp_path / "folder")
    args = json.loads((folder / "config.json").read_text())
    del args["heads"]
    (folder / "config.json").write_text(json.dumps(args))
    assert f"{folder / 'config.json'}: published arguments: heads missing" in refusal(folder)


# -- the hub ---------------------------------------------------------------------------------------


class Hub(ThreadingHTTPServer):
    """Serves folders as the hub does; `asked` counts what it was asked for."""

    def __init__(self, folders: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folders, self.asked = folders, 0


class Answer(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.answer(with_content=False)

    def do_GET(self) -> None:
        self.answer(with_content=True)

    def answer(self, with_content: bool) -> None:
        hub = self.server
        assert isinstance(hub, Hub)
        hub.asked += 1
        owner, name, _, revision, file = self.path.split("?")[0].strip("/").split("/")
        folder = hub.folders.get(f"{owner}/{name}")
        if folder is None:
            self.refuse(404, "RepoNotFound")
        elif revision not in ("main", "a" * 40):
            self.refuse(404, "RevisionNotFound")
        elif not (folder / file).exists():
            self.refuse(404, "EntryNotFound")
        else:
            content = (folder / file).read_bytes()
            self.send_response(200)
            self.send_header("ETag", f'"{file}-1"')
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_content:
                self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, an empty cache, and a folder without checkpoints to be in."""
    from huggingface_hub import constants

    folders = {"SakanaAI/ctm-imagenet": hub_folder("image_random_pairing", tmp_path / "imagenet"),
               "someone/empty": tmp_path}  # fmt: skip
    hub = Hub(folders)
    Thread(target=hub.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{hub.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                        address + "/{repo_id}/resolve/{revision}/{filename}")  # fmt: skip
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield hub
    hub.shutdown()
    hub.server_close()


def test_a_checkpoint_comes_from_the_hub_once_and_then_from_the_cache(served: Hub) -> None:
    assert_golden(ctm.load("SakanaAI/ctm-imagenet"), "image_random_pairing")
    asked = served.asked
    assert asked > 0
    assert_golden(ctm.load("SakanaAI/ctm-imagenet", offline=True), "image_random_pairing")
    assert served.asked == asked
    assert_golden(ctm.load("SakanaAI/ctm-imagenet", revision="a" * 40), "image_random_pairing")


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("SakanaAI/nothing", {}, "SakanaAI/nothing: no such folder here, and none that the hub"),
        ("SakanaAI/ctm-imagenet", {"revision": "v9"}, "ctm-imagenet@v9: no such revision"),
        ("SakanaAI/ctm-imagenet", {"offline": True}, "not in the cache of the hub; fetch it once"),
        ("someone/empty", {}, "someone/empty: on the hub, but has no config.json"),
    ],
)
def test_what_the_hub_has_not_got_is_said(
    name: str, asked: dict[str, Any], said: str, served: Hub
) -> None:
    assert said in refusal(name, **asked)
