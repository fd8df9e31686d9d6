"""Small data sets of pictures, in the format that they really have on disk."""

import hashlib
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

COUNTS = {"train": 30, "test": 12}


@dataclass(frozen=True)
class Written:
    """What was written: pixels (pictures, height, width, channels), and the classes."""

    pixels: dict[str, np.ndarray]
    targets: dict[str, list[int]]


def random_pictures(shape: tuple[int, int, int], classes: int) -> Written:
    random = np.random.default_rng(0)
    pixels = {
        part: random.integers(0, 256, (count, *shape), dtype=np.uint8)
        for part, count in COUNTS.items()
    }
    targets = {part: [k % classes for k in range(count)] for part, count in COUNTS.items()}
    return Written(pixels, targets)


def write_cifar10(folder: Path, patch: pytest.MonkeyPatch) -> Written:
    written = random_pictures((32, 32, 3), 10)
    place = folder / "cifar-10-batches-py"
    place.mkdir(parents=True)
    parts = np.array_split(np.arange(COUNTS["train"]), 5)
    for number, part in enumerate(parts, 1):
        labels = [written.targets["train"][k] for k in part]
        write_batch(place / f"data_batch_{number}", written.pixels["train"][part], labels, "labels")
    write_batch(place / "test_batch", written.pixels["test"], written.targets["test"], "labels")
    write_pickle(place / "batches.meta", {"label_names": [f"class {k}" for k in range(10)]})
    accept(datasets.CIFAR10, place, patch)
    return written


def write_cifar100(folder: Path, patch: pytest.MonkeyPatch) -> Written:
    written = random_pictures((32, 32, 3), 100)
    place = folder / "cifar-100-python"
    place.mkdir(parents=True)
    for part in COUNTS:
        write_batch(place / part, written.pixels[part], written.targets[part], "fine_labels")
    write_pickle(place / "meta", {"fine_label_names": [f"class {k}" for k in range(100)]})
    accept(datasets.CIFAR100, place, patch)
    return written


def write_batch(file: Path, pixels: np.ndarray, labels: list[int], key: str) -> None:
    """Rows of 3,072 bytes: all of red, all of green, all of blue."""
    write_pickle(file, {"data": pixels.transpose(0, 3, 1, 2).reshape(-1, 3072), key: labels})


def write_pickle(file: Path, content: dict) -> None:
    file.write_bytes(pickle.dumps(content, protocol=2))


def accept(dataset: type[datasets.CIFAR10], place: Path, patch: pytest.MonkeyPatch) -> None:
    """Puts the sums of these files in the place of the real ones', which are still checked."""

    def summed(name: str) -> str:
        return hashlib.md5((place / name).read_bytes()).hexdigest()

    for files in ("train_list", "test_list"):
        patch.setattr(dataset, files, [[name, summed(name)] for name, _ in getattr(dataset, files)])
    meta = dataset.meta
    patch.setattr(dataset, "meta", meta | {"md5": summed(meta["filename"])})


def write_mnist(folder: Path, patch: pytest.MonkeyPatch) -> Written:
    written = random_pictures((28, 28, 1), 10)
    place = folder / "MNIST" / "raw"
    place.mkdir(parents=True)
    for part, name in (("train", "train"), ("test", "t10k")):
        pixels, labels = written.pixels[part], written.targets[part]
        head = struct.pack(">IIII", 0x0803, len(pixels), 28, 28)
        (place / f"{name}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">II", 0x0801, len(labels))
        (place / f"{name}-labels-idx1-ubyte").write_bytes(head + bytes(labels))
    return written


IMAGENET_CLASSES = ("n01440764", "n02084071", "n15075141")
# width, height; several to some shapes once their shorter side is 16
SIZES = ((40, 30), (30, 40), (40, 30), (16, 16), (80, 60), (33, 21), (20, 20), (30, 40))


def write_imagenet(folder: Path) -> dict[str, list[tuple[Path, int]]]:
    """JPEGs of several sizes; of each class one is grey, one a PNG in truth, as in the real one."""
    random = np.random.default_rng(0)
    files: dict[str, list[tuple[Path, int]]] = {"train": [], "val": []}
    for part, listed in files.items():
        for number, name in enumerate(IMAGENET_CLASSES):
            place = folder / part / name
            place.mkdir(parents=True)
            for k, size in enumerate(SIZES):
                small = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
                image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
                image = image.convert("L") if k == 1 else image
                file = place / f"{part}_{k:04d}.JPEG"
                image.save(file, format="PNG" if k == 2 else "JPEG")
                listed.append((file, number))
    return files
