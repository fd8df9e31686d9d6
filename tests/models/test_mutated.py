"""Checkpoints with something wrong in them: a clean error or a correct load, and nothing is run."""

import io
import json
import random
import shutil
import signal
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

import ctm
from ctm.errors import CheckpointError
from ctm.models.pretrained import description
from tests.build import VARIANTS

GOLDEN = Path(__file__).parents[1] / "golden"
LONGEST = 20  # seconds of one load, on a busy machine
MANY, FEW = 10_000, 400
# what a pickle that runs something would do first
DEEDS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
         "os.remove", "os.rename", "shutil.rmtree", "os.putenv")  # fmt: skip


class Deeds:
    """Watches what Python does; a hook can't be taken away again, only told not to look."""

    def __init__(self) -> None:
        self.watching, self.seen = False, list[str]()
        sys.addaudithook(self.note)

    def note(self, event: str, _: Any) -> None:
        if self.watching and event in DEEDS:
            self.seen.append(event)


WATCH = Deeds()


@contextmanager
def watched() -> Iterator[None]:
    """Fails if something is done in there, or if it takes too long."""

    def late(*_: object) -> None:
        raise TimeoutError(f"still loading after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    WATCH.watching = True
    try:
        yield
    finally:
        WATCH.watching = False
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert not WATCH.seen


def flipped(whole: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        # half of the time near the start, where what is written decides what is read
        place = chance.randrange(len(whole) if chance.random() < 0.5 else min(len(whole), 2000))
        whole[place] ^= chance.randrange(1, 256)


def cut(whole: bytearray, chance: random.Random) -> None:
    del whole[chance.randrange(len(whole)) :]


def swapped(whole: bytearray, chance: random.Random) -> None:
    first, second = sorted(chance.randrange(len(whole)) for _ in range(2))
    length = min(chance.randrange(1, 64), second - first, len(whole) - second)
    one, other = whole[first : first + length], whole[second : second + length]
    whole[first : first + length], whole[second : second + length] = other, one


def grown(whole: bytearray, chance: random.Random) -> None:
    place, length = chance.randrange(len(whole)), chance.randrange(1, 32)
    whole[place:place] = whole[place : place + length] or chance.randbytes(length)


def numbered(whole: bytearray, chance: random.Random) -> None:
    """Another digit, or more of them: what is still JSON, with other sizes."""
    digits = [place for place, byte in enumerate(whole[:4000]) if chr(byte).isdecimal()]
    if digits:
        place = chance.choice(digits)
        more = chance.choice((1, 1, 4, 9))
        whole[place : place + 1] = "".join(chance.choices("0123456789", k=more)).encode()


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped, flipped, flipped, cut, swapped, grown, numbered
)  # fmt: skip


def mutated(whole: bytes, chance: random.Random) -> bytes:
    changed = bytearray(whole)
    chance.choice(MUTATIONS)(changed, chance)
    return bytes(changed)


def repacked(file: bytes, chance: random.Random) -> bytes:
    """A mutated pickle in an archive whose sums are right."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as archive, zipfile.ZipFile(made, "w") as new:
        for entry in archive.infolist():
            content = archive.read(entry)
            if entry.filename.endswith("data.pkl"):
                content = mutated(content, chance)
            new.writestr(entry.filename, content)
    return made.getvalue()


class Originals:
    """A published file, a published folder and one of ours."""

    def __init__(self, place: Path) -> None:
        self.file = GOLDEN / "checkpoints" / "parity_checkpoint_1234.pt"
        self.published, self.ours = place / "published", place / "ours"
        for folder in (self.published, self.ours):
            folder.mkdir(parents=True)
        fixture = GOLDEN / "parity_random"
        args = json.loads((fixture / "fixture.json").read_text())["args"]
        (self.published / "config.json").write_text(json.dumps(args))
        shutil.copy(fixture / "weights.safetensors", self.published / "model.safetensors")
        variant = VARIANTS["parity"]
        save_file(variant.model().state_dict(), self.ours / "model.safetensors")
        about = description(variant.config, variant.spec, {"kind": "parity", "length": 5})
        (self.ours / "config.json").write_text(json.dumps(about))

    def mutated(self, place: Path, chance: random.Random) -> Path:
        """One of them with something wrong, as `place`; what to load."""
        kind = chance.choice(("file", "pickle", "config", "weights", "others"))
        if kind in ("file", "pickle"):
            target, whole = place / "file.pt", self.file.read_bytes()
            change = mutated if kind == "file" else repacked
            target.write_bytes(change(whole, chance))
            return target
        target = place / "folder"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(chance.choice((self.published, self.ours)), target)
        if kind == "others":  # the weights of another model
            weights = sorted(GOLDEN.glob("*/weights.safetensors"))
            shutil.copy(chance.choice(weights), target / "model.safetensors")
        else:
            file = target / ("config.json" if kind == "config" else "model.safetensors")
            file.write_bytes(mutated(file.read_bytes(), chance))
        return target


def load_mutated(count: int, seed: int, place: Path) -> Counter[str]:
    """Loads so many; how often that was refused, and how often not."""
    originals, chance = Originals(place), random.Random(seed)
    ctm.load(originals.ours)
    found = Counter[str]()
    for number in range(count):
        target = originals.mutated(place, chance)
        said = ""
        try:
            with watched():
                ctm.load(target)
        except CheckpointError as error:
            said = str(error)
        assert "\n" not in said, f"{number}: {said}"
        found["refused" if said else "loaded"] += 1
    return found


def test_mutated_checkpoints_are_refused_or_loaded(tmp_path: Path) -> None:
    found = load_mutated(FEW, 0, tmp_path)
    assert found["refused"] > found["loaded"] > 0


@pytest.mark.slow
def test_ten_thousand_mutated_checkpoints_are_refused_or_loaded(tmp_path: Path) -> None:
    found = load_mutated(MANY, 1, tmp_path)
    assert found.total() == MANY
    assert found["refused"] > found["loaded"] > 0
