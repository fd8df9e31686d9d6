"""Checkpoints: what is kept, and that no crash at any moment breaks what is there."""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ctm.errors import CheckpointError
from ctm.models import weights as files
from ctm.training.checkpoint import CheckpointStore, load_training


def weights(step: int) -> dict[str, Tensor]:
    return {"layer.weight": torch.full((2, 3), float(step)), "counts": torch.arange(step)}


def save(store: CheckpointStore, step: int, *, best: bool = False) -> Path:
    training = {"position": {"step": step}, "random": torch.full((4,), step)}
    return store.save(step, weights(step), {"step": step}, training, best=best)


def step_in(folder: Path | None) -> int:
    """The step that all three files of a complete checkpoint agree on."""
    assert folder is not None
    step = load_training(folder)["position"]["step"]
    assert folder.name == f"step_{step:08d}"
    assert json.loads((folder / "config.json").read_text()) == {"step": step}
    found = load_file(folder / "model.safetensors")
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in weights(step).items()
    }
    return step


def names(store: CheckpointStore) -> set[str]:
    return {path.name for path in store.folder.iterdir()}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def test_a_new_store_is_empty(store: CheckpointStore) -> None:
    assert (store.last(), store.best(), store.steps()) == (None, None, {})


def test_the_last_and_the_best_are_kept(store: CheckpointStore) -> None:
    for step in range(1, 7):
        folder = save(store, step, best=step in (1, 3))
        assert step_in(folder) == step_in(store.last()) == step
        assert step_in(store.best()) == (1 if step < 3 else 3)
    assert names(store) == {"step_00000003", "step_00000006", "last", "best"}
    assert list(store.steps()) == [3, 6]


def test_multiples_of_keep_every_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_every=4)
    for step in range(1, 11):
        save(store, step, best=step == 1)
    assert list(store.steps()) == [1, 4, 8, 10]
    assert all(step_in(folder) == step for step, folder in store.steps().items())


def test_names_are_links_to_complete_folders(store: CheckpointStore) -> None:
    save(store, 5, best=True)
    for name in ("last", "best"):
        assert (store.folder / name).is_symlink()
        assert os.readlink(store.folder / name) == "step_00000005"
    files = {file.name for file in (store.folder / "last").iterdir()}
    assert files == {"model.safetensors", "config.json", "training.pt"}


def test_a_moved_run_keeps_its_names(store: CheckpointStore, tmp_path: Path) -> None:
    save(store, 5, best=True)
    moved = CheckpointStore(store.folder.rename(tmp_path / "moved"))
    assert step_in(moved.last()) == step_in(moved.best()) == 5


def test_saving_a_step_again_moves_only_the_names(store: CheckpointStore) -> None:
    folder = save(store, 1)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    store.save(1, {"other": torch.zeros(1)}, {}, {}, best=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert store.best() == store.last() == folder.resolve()


def test_weights_that_lie_scattered_in_memory_are_saved(store: CheckpointStore) -> None:
    across = torch.arange(12.0).view(3, 4).T
    folder = store.save(1, {"across": across}, {}, {})
    assert torch.equal(load_file(folder / "model.safetensors")["across"], across)


# -- crashes ---------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


class Crash:
    """Ends the process at the n-th call that touches the disk; later calls don't happen."""

    CALLS: tuple[tuple[Any, str], ...] = (
        (files, "save_file"),
        (torch, "save"),
        (os, "fsync"),
        (shutil, "rmtree"),
        (Path, "mkdir"),
        (Path, "write_text"),
        (Path, "rename"),
        (Path, "replace"),
        (Path, "symlink_to"),
        (Path, "unlink"),
    )

    def __init__(self, at: int | None) -> None:
        self.at, self.calls = at, 0

    def __enter__(self) -> Self:
        self.patch = pytest.MonkeyPatch()
        for owner, name in self.CALLS:
            self.patch.setattr(owner, name, self.counted(getattr(owner, name)))
        return self

    def __exit__(self, *error: object) -> None:
        self.patch.undo()

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **options: Any) -> Any:
            if self.at is not None and self.calls >= self.at:
                raise Killed(call.__name__)
            self.calls += 1
            return call(*args, **options)

        return counting


Prepare = Callable[[Path], CheckpointStore]


def fresh(folder: Path) -> CheckpointStore:
    return CheckpointStore(folder)


def used(folder: Path) -> CheckpointStore:
    """With a checkpoint that the next save drops."""
    store = CheckpointStore(folder)
    save(store, 1, best=True)
    save(store, 2)
    return store


def crashes(tmp_path: Path, prepare: Prepare, *, best: bool = False) -> Iterator[CheckpointStore]:
    """The same save of step 3, ended at each of its calls in turn."""
    store = prepare(tmp_path / "whole")
    with Crash(None) as counted:
        save(store, 3, best=best)
    assert counted.calls > 10
    for at in range(counted.calls):
        store = prepare(tmp_path / str(at))
        with Crash(at), pytest.raises(Killed):
            save(store, 3, best=best)
        yield store


def test_a_crash_at_any_call_of_save_leaves_a_whole_last_checkpoint(tmp_path: Path) -> None:
    seen = set()
    for store in crashes(tmp_path, used):
        seen.add(step_in(store.last()))
        assert step_in(store.best()) == 1
        assert all(step_in(folder) == step for step, folder in store.steps().items())
        # the next run repeats the step, and leaves nothing of the one that was killed
        save(store, 3)
        assert step_in(store.last()) == 3
        assert names(store) == {"step_00000001", "step_00000003", "last", "best"}
    assert seen == {2, 3}


def test_a_crash_while_the_best_is_saved_never_loses_that_it_was_best(tmp_path: Path) -> None:
    for store in crashes(tmp_path, used, best=True):
        # a run that stands at step 3 believes its best is saved
        assert step_in(store.last()) == 2 or step_in(store.best()) == 3
        save(store, 3, best=step_in(store.last()) == 2)
        save(store, 4)
        assert step_in(store.best()) == 3
        assert names(store) == {"step_00000003", "step_00000004", "last", "best"}


def test_a_crash_in_the_first_save_leaves_no_checkpoint_or_a_whole_one(tmp_path: Path) -> None:
    for store in crashes(tmp_path, fresh):
        assert store.last() is None or step_in(store.last()) == 3
        save(store, 3)
        assert step_in(store.last()) == 3
        assert names(store) == {"step_00000003", "last"}


def test_a_half_written_folder_is_written_anew(store: CheckpointStore) -> None:
    save(store, 1)
    for step in (2, 9):
        partial = store.folder / f"step_{step:08d}.partial"
        partial.mkdir()
        (partial / "model.safetensors").write_bytes(b"half")
    assert list(store.steps()) == [1]
    save(store, 2)
    assert step_in(store.last()) == 2
    assert names(store) == {"step_00000002", "last"}


def test_a_full_disk_is_an_error_that_leaves_the_last(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*args: object) -> None:
        raise OSError(28, "No space left on device")

    save(store, 1)
    monkeypatch.setattr(torch, "save", no_room)
    with pytest.raises(OSError, match="No space left"):
        save(store, 2)
    assert step_in(store.last()) == 1


# -- reading ---------------------------------------------------------------------------------------


def test_training_state_loads_as_data_only(store: CheckpointStore) -> None:
    folder = save(store, 3)
    loaded = torch.load(folder / "training.pt", weights_only=True)
    assert loaded["position"] == {"step": 3}
    assert torch.equal(load_training(folder)["random"], loaded["random"])


def test_missing_training_state_is_refused_in_one_line(tmp_path: Path) -> None:
    said = r"\A.*training\.pt: missing; the run can't go on from this folder\Z"
    with pytest.raises(CheckpointError, match=said):
        load_training(tmp_path)


class Code:
    """What a pickle could run."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("ran",)


def code() -> bytes:
    buffer = io.BytesIO()
    torch.save({"position": Code()}, buffer)
    return buffer.getvalue()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut_in_half": lambda whole: whole[: len(whole) // 2],
    "cut_at_the_end": lambda whole: whole[:-3],
    "flipped": lambda whole: bytes(byte ^ 0xFF for byte in whole),
    "zeros": lambda whole: bytes(len(whole)),
    "text": lambda whole: b"version https://git-lfs.github.com/spec/v1\n",
    "code": lambda whole: code(),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_training_state_is_refused_in_one_line(
    store: CheckpointStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(store, 3)
    monkeypatch.chdir(store.folder)
    file = folder / "training.pt"
    file.write_bytes(DAMAGES[kind](file.read_bytes()))
    with pytest.raises(CheckpointError, match=r"\A.*training\.pt: damaged \(.*; delete .*\Z"):
        load_training(folder)
    assert not (store.folder / "ran").exists()
