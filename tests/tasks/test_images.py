"""Pictures: from the files of real data sets to batches, and from a person to a model."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional as F

from ctm.config import from_plain, to_plain
from ctm.errors import ConfigError, UserError
from ctm.interface import Batch, InputKind
from ctm.metrics.images import ImageClassification
from ctm.tasks import TASKS
from ctm.tasks.images import CIFAR10, CIFAR100, MNIST, ImageNet
from ctm.tasks.images.task import ImageTask
from ctm.tasks.images.transforms import Fit, Transform
from ctm.training.stream import Stream
from tests.build import generator
from tests.tasks import picture_files
from tests.tasks.picture_files import COUNTS, IMAGENET_CLASSES, Written


@dataclass(frozen=True)
class Stored:
    """A data set kept in memory: its task, and how its files are made."""

    task: type[CIFAR10] | type[CIFAR100] | type[MNIST]
    write: Callable[[Path, pytest.MonkeyPatch], Written]
    place: str


STORED = {
    "cifar10": Stored(CIFAR10, picture_files.write_cifar10, "cifar-10-batches-py"),
    "cifar100": Stored(CIFAR100, picture_files.write_cifar100, "cifar-100-python"),
    "mnist": Stored(MNIST, picture_files.write_mnist, "MNIST/raw"),
}
each_stored = pytest.mark.parametrize("name", STORED)
cifar_only = pytest.mark.parametrize("name", ["cifar10", "cifar100"])


@dataclass(frozen=True)
class Ready:
    """A data set on disk and the task that reads it."""

    task: CIFAR10 | CIFAR100 | MNIST
    written: Written


@pytest.fixture
def ready(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ready:
    written = STORED[name].write(tmp_path, monkeypatch)
    return Ready(STORED[name].task(folder=str(tmp_path), validation_size=7), written)


@pytest.fixture
def imagenet(tmp_path: Path) -> ImageNet:
    picture_files.write_imagenet(tmp_path)
    return ImageNet(folder=str(tmp_path), classes=3, validation_size=4, crop=12, short_side=16)


def normalised(pixels: np.ndarray, task: ImageTask) -> Tensor:
    """Of one picture (height, width, channels), number by number."""
    height, width, channels = pixels.shape
    rows = [
        [
            [(int(pixels[y, x, c]) / 255 - task.mean[c]) / task.std[c] for x in range(width)]
            for y in range(height)
        ]
        for c in range(channels)
    ]
    return torch.tensor(rows)


def changed(image: Image.Image, task: ImageTask, *steps: Transform) -> Tensor:
    """As torchvision's own classes do it."""
    last = transforms.ToTensor(), transforms.Normalize(task.mean, task.std)
    result = transforms.Compose([*steps, *last])(image)
    assert isinstance(result, Tensor)
    return result


def all_of(batches: list[Batch]) -> tuple[Tensor, Tensor]:
    inputs = [batch.inputs for batch in batches]
    assert all(isinstance(values, Tensor) for values in inputs)
    return torch.cat(inputs), torch.cat([batch.targets for batch in batches])  # pyright: ignore


# -- data sets in memory ---------------------------------------------------------------------------


@each_stored
def test_the_test_set_is_what_the_files_hold(ready: Ready) -> None:
    batches = list(ready.task.test().batches(5))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    inputs, targets = all_of(batches)
    expected = [normalised(pixels, ready.task) for pixels in ready.written.pixels["test"]]
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.long)
    torch.testing.assert_close(inputs, torch.stack(expected), rtol=0, atol=1e-5)
    assert targets.tolist() == ready.written.targets["test"]


@each_stored
def test_training_and_validation_are_the_training_set_once(ready: Ready) -> None:
    training, validation = ready.task.training(), ready.task.validation()
    assert (training.size, validation.size) == (COUNTS["train"] - 7, 7)
    held = set(validation.numbers.tolist())
    assert held.isdisjoint(training.numbers.tolist())
    assert held | set(training.numbers.tolist()) == set(range(COUNTS["train"]))
    inputs, targets = all_of(list(validation.batches(3)))
    for number, picture, target in zip(validation.numbers.tolist(), inputs, targets, strict=True):
        expected = normalised(ready.written.pixels["train"][number], ready.task)
        torch.testing.assert_close(picture, expected, rtol=0, atol=1e-5)
        assert target == ready.written.targets["train"][number]


@each_stored
def test_what_is_held_back_is_always_the_same(ready: Ready) -> None:
    torch.manual_seed(1)
    first = ready.task.validation().numbers
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(ready.task.validation().numbers, first)
    assert torch.equal(torch.get_rng_state(), before)


@each_stored
def test_pixels_are_kept_once_and_as_bytes(ready: Ready) -> None:
    training, validation = ready.task.training(), ready.task.validation()
    assert training.pictures is validation.pictures
    kept = ready.task.pictures(train=True)
    assert kept is training.pictures
    assert kept.pixels.dtype is torch.uint8


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist"])
def test_without_augmentation_training_pictures_are_what_the_files_hold(ready: Ready) -> None:
    task = ready.task if isinstance(ready.task, MNIST) else replace(ready.task, augment=False)
    examples = task.training()
    indices = torch.tensor([4, 0, 4])
    batch = examples.take(indices, generator(0))
    numbers = examples.numbers[indices].tolist()
    expected = [normalised(ready.written.pixels["train"][number], task) for number in numbers]
    assert isinstance(batch.inputs, Tensor)
    torch.testing.assert_close(batch.inputs, torch.stack(expected), rtol=0, atol=1e-5)
    assert batch.targets.tolist() == [ready.written.targets["train"][k] for k in numbers]


@cifar_only
def test_cifar_is_augmented_by_autoaugment_and_nothing_else(ready: Ready) -> None:
    examples, indices = ready.task.training(), torch.arange(12)
    found = examples.take(indices, generator(3)).inputs
    seed = int(torch.randint(2**63 - 1, (1,), generator=generator(3)))
    augment = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pixels = ready.written.pixels["train"]
        expected = [
            changed(Image.fromarray(pixels[number]), ready.task, augment)
            for number in examples.numbers[:12].tolist()
        ]
    assert isinstance(found, Tensor)
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-6)


@cifar_only
def test_a_batch_depends_on_its_generator_alone(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the GPUs' generators were seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    examples, indices = ready.task.training(), torch.arange(20)
    first = examples.take(indices, generator(5)).inputs
    torch.default_generator.manual_seed(77)
    before = torch.get_rng_state()
    again = examples.take(indices, generator(5)).inputs
    assert torch.equal(torch.get_rng_state(), before)
    other = examples.take(indices, generator(6)).inputs
    assert isinstance(first, Tensor)
    assert isinstance(again, Tensor)
    assert isinstance(other, Tensor)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["cifar10"])
def test_worker_processes_make_the_same_batches(ready: Ready) -> None:
    stream = Stream(ready.task.training(), batch_size=8, seed=0)
    here = list(stream.batches(0, 4, workers=0, pin=False))
    there = list(stream.batches(0, 4, workers=2, pin=False))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(all_of([one])[0], all_of([other])[0])
        assert torch.equal(one.targets, other.targets)


# -- data that are missing or damaged --------------------------------------------------------------


@each_stored
def test_missing_data_are_said_in_one_line_with_what_to_add(name: str, tmp_path: Path) -> None:
    task = STORED[name].task(folder=str(tmp_path))
    for ask in (task.training, task.validation, task.test):
        with pytest.raises(UserError, match=r"\Atask\.folder=.*task\.download=true.*\Z") as refused:
            ask()
        assert str(tmp_path / STORED[name].place) in str(refused.value)


@each_stored
def test_data_are_fetched_only_when_asked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = STORED[name]
    fetched: list[str] = []

    def download(_: object) -> None:
        fetched.append(name)
        stored.write(tmp_path, monkeypatch)

    monkeypatch.setattr(stored.task.source.dataset, "download", download)
    with pytest.raises(UserError):
        stored.task(folder=str(tmp_path)).test()
    assert not fetched
    assert stored.task(folder=str(tmp_path), download=True).test().size == COUNTS["test"]
    assert fetched == [name]


@each_stored
def test_without_a_network_fetching_ends_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_: object) -> None:
        raise URLError("no route to host\nat all")

    monkeypatch.setattr(STORED[name].task.source.dataset, "download", download)
    with pytest.raises(UserError, match=r"\Atask\.folder=.*no route to host.*\Z"):
        STORED[name].task(folder=str(tmp_path), download=True).test()


def damage(file: Path, kind: str) -> None:
    whole = file.read_bytes()
    match kind:
        case "missing":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(whole[:-5])
        case "text":
            file.write_text("no such page\n")


@pytest.mark.parametrize("kind", ["missing", "empty", "cut", "text"])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "data_batch_3"),
        ("cifar10", "batches.meta"),
        ("cifar100", "train"),
        ("mnist", "train-images-idx3-ubyte"),
        ("mnist", "train-labels-idx1-ubyte"),
    ],
)
def test_damaged_files_are_said_in_one_line(
    ready: Ready, name: str, file: str, kind: str, tmp_path: Path
) -> None:
    place = tmp_path / STORED[name].place
    damage(place / file, kind)
    with pytest.raises(UserError, match=r"\Atask\.folder=.*can't be read.*\Z") as refused:
        ready.task.training()
    assert str(place) in str(refused.value)


@pytest.mark.parametrize("name", ["mnist"])
@pytest.mark.parametrize("label", [10, 255])
def test_a_label_without_a_class_is_refused(ready: Ready, tmp_path: Path, label: int) -> None:
    file = tmp_path / "MNIST/raw/train-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1] + bytes([label]))
    with pytest.raises(UserError, match=rf"\Atask\.folder=.*a label is {label}.*\Z"):
        ready.task.training()


# -- ImageNet --------------------------------------------------------------------------------------


def reference(file: Path, task: ImageNet) -> Tensor:
    """As torchvision's tutorials evaluate, without their crop."""
    return changed(Image.open(file).convert("RGB"), task, transforms.Resize(task.short_side))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_test_pictures_keep_their_shape_and_come_once(
    imagenet: ImageNet, tmp_path: Path, batch_size: int
) -> None:
    files = sorted(tmp_path.glob("val/*/*.JPEG"))
    expected = [
        (IMAGENET_CLASSES.index(file.parent.name), reference(file, imagenet)) for file in files
    ]
    shapes = {tuple(picture.shape) for _, picture in expected}
    assert len(shapes) == 4
    for batch in imagenet.test().batches(batch_size):
        assert 1 <= len(batch) <= batch_size
        assert isinstance(batch.inputs, Tensor)
        assert min(batch.inputs.shape[2:]) == 16
        for picture, target in zip(batch.inputs, batch.targets.tolist(), strict=True):
            (place,) = [
                place
                for place, (number, other) in enumerate(expected)
                if number == target
                and other.shape == picture.shape
                and torch.allclose(other, picture, atol=1e-5)
            ]
            expected.pop(place)
    assert not expected


def test_batches_are_as_large_as_their_shapes_allow(imagenet: ImageNet) -> None:
    sizes = [len(batch) for batch in imagenet.test().batches(4)]
    # of 40x30, 30x40, square and 33x21: 9, 6, 6 and 3 pictures
    assert sorted(sizes) == sorted([4, 4, 1, 4, 2, 4, 2, 3])


def test_training_pictures_are_cropped_and_flipped_as_torchvision_does(
    imagenet: ImageNet, tmp_path: Path
) -> None:
    examples, indices = imagenet.training(), torch.arange(10)
    assert examples.size == 3 * 8 - 4
    batch = examples.take(indices, generator(2))
    steps = transforms.RandomResizedCrop(12), transforms.RandomHorizontalFlip()
    files = sorted(tmp_path.glob("train/*/*.JPEG"))
    seed = int(torch.randint(2**63 - 1, (1,), generator=generator(2)))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        chosen = [files[number] for number in examples.numbers[:10].tolist()]
        expected = [changed(Image.open(file).convert("RGB"), imagenet, *steps) for file in chosen]
    assert isinstance(batch.inputs, Tensor)
    torch.testing.assert_close(batch.inputs, torch.stack(expected), rtol=0, atol=1e-6)
    assert batch.targets.tolist() == [IMAGENET_CLASSES.index(f.parent.name) for f in chosen]


def test_validation_is_held_back_and_looks_as_the_test_set_does(
    imagenet: ImageNet, tmp_path: Path
) -> None:
    files = sorted(tmp_path.glob("train/*/*.JPEG"))
    validation = imagenet.validation()
    assert set(validation.numbers.tolist()).isdisjoint(imagenet.training().numbers.tolist())
    found = [picture for batch in validation.batches(4) for picture in batch.inputs]
    assert len(found) == validation.size == 4
    for number in validation.numbers.tolist():
        expected = reference(files[number], imagenet)
        assert any(
            picture.shape == expected.shape and torch.allclose(picture, expected, atol=1e-5)
            for picture in found
        )


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "missing"])
def test_a_damaged_picture_is_named_when_it_is_asked_for(
    imagenet: ImageNet, tmp_path: Path, kind: str
) -> None:
    examples = imagenet.training()  # listed, not read
    number = int(examples.numbers[3])
    file = sorted(tmp_path.glob("train/*/*.JPEG"))[number]
    damage(file, kind)
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:-200])
    assert len(examples.take(torch.tensor([0, 1]), generator(0))) == 2
    said = "no such file" if kind == "missing" else "not a picture that can be read"
    with pytest.raises(UserError, match=rf"\A.*{said}.*\Z") as refused:
        examples.take(torch.tensor([1, 3]), generator(0))
    assert str(file) in str(refused.value)


def test_missing_folders_are_said_in_one_line(tmp_path: Path) -> None:
    task = ImageNet(folder=str(tmp_path), classes=3)
    for ask in (task.training, task.validation, task.test, lambda: task.labels):
        with pytest.raises(UserError, match=r"\Atask\.folder=.*want train/<class>/.*\Z") as refused:
            ask()
        assert str(tmp_path) in str(refused.value)


def test_pictures_that_lie_in_no_class_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(UserError, match=r"\Atask\.folder=.*no pictures in .*val.*\Z"):
        ImageNet(folder=str(tmp_path)).test()


def test_another_number_of_classes_is_refused(imagenet: ImageNet) -> None:
    with pytest.raises(UserError, match=r"\Atask\.classes=5: .*set task\.classes=3.*\Z"):
        replace(imagenet, classes=5).test()


def test_a_test_set_of_other_classes_is_refused(imagenet: ImageNet, tmp_path: Path) -> None:
    (tmp_path / "val" / IMAGENET_CLASSES[1]).rename(tmp_path / "val" / "n09999999")
    with pytest.raises(UserError, match=r"\Atask\.folder=.*different names.*\Z"):
        imagenet.test()


def test_the_test_set_needs_no_training_set(imagenet: ImageNet, tmp_path: Path) -> None:
    (tmp_path / "train").rename(tmp_path / "elsewhere")
    assert imagenet.test().size == 3 * 8


def test_classes_have_the_names_of_their_folders_and_the_thousand_have_words(
    imagenet: ImageNet, tmp_path: Path
) -> None:
    assert imagenet.labels == IMAGENET_CLASSES
    words = ImageNet(folder=str(tmp_path / "nowhere")).labels
    assert (len(words), words[0], words[207], words[999]) == (
        1000,
        "tench",
        "golden retriever",
        "toilet tissue",
    )


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (256, 256), (33, 21), (1, 7), (1023, 4)])
@pytest.mark.parametrize("side", [16, 256])
def test_a_fitted_picture_has_torchvisions_size(size: tuple[int, int], side: int) -> None:
    image = Image.new("RGB", size)
    expected = transforms.Resize(side)(image)
    fit = Fit(side, square=False)
    assert fit(image).size == expected.size
    assert fit.size(image.height, image.width) == (expected.height, expected.width)


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "shape", "classes"),
    [
        (CIFAR10(), (3, 32, 32), 10),
        (CIFAR100(), (3, 32, 32), 100),
        (MNIST(), (1, 28, 28), 10),
        (ImageNet(), (3, 0, 0), 1000),
    ],
    ids=lambda value: value.kind if isinstance(value, ImageTask) else "",
)
def test_the_spec_says_what_the_data_are(
    task: ImageTask, shape: tuple[int, ...], classes: int
) -> None:
    assert (task.spec.input_kind, task.spec.input_shape) == (InputKind.image, shape)
    assert task.spec.output_shape == (classes,)
    assert len(task.labels) == len(set(task.labels)) == classes
    assert task.answer(torch.eye(classes)[classes - 1]) == task.labels[-1]
    assert task.token_grid((4, 8)) == (4, 8)
    assert isinstance(task.evaluation(), ImageClassification)


@pytest.mark.parametrize("kind", ["cifar10", "cifar100", "mnist", "imagenet"])
def test_settings_survive_json(kind: str) -> None:
    task = from_plain(TASKS, {"kind": kind, "folder": "elsewhere", "validation_size": 3})
    assert isinstance(task, ImageTask)
    plain = json.loads(json.dumps(to_plain(task)))
    assert (plain["mean"], plain["folder"]) == (task.mean, "elsewhere")
    assert from_plain(TASKS, plain) == task


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (CIFAR10, {"validation_size": 0}, r"task\.validation_size=0: want 1 or more"),
        (CIFAR10, {"mean": [0.5]}, r"task\.mean=\[0\.5\]: want 3 number\(s\), one a channel"),
        (MNIST, {"std": [1.0] * 3}, r"task\.std=.*: want 1 number\(s\), one a channel"),
        (CIFAR100, {"std": [1.0, 0.0, 1.0]}, r"task\.std=.*: want numbers above 0"),
        (ImageNet, {"classes": 1}, r"task\.classes=1: want 2 or more"),
        (ImageNet, {"crop": 0}, r"task\.crop=0: want 1 or more"),
        (ImageNet, {"short_side": 0}, r"task\.short_side=0: want 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(
    task: type[ImageTask], settings: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"\A{message}\Z"):
        task(**settings)


@pytest.mark.parametrize("name", ["cifar10"])
def test_validation_can_not_take_all_training_pictures(ready: Ready) -> None:
    with pytest.raises(ConfigError, match=r"\Atask\.validation_size=30: want fewer than the 30 .*"):
        replace(ready.task, validation_size=30).training()


# -- pictures that people bring --------------------------------------------------------------------


@each_stored
def test_a_test_picture_written_as_png_comes_back(ready: Ready, name: str, tmp_path: Path) -> None:
    pixels = ready.written.pixels["test"][3].copy()
    if name == "mnist":
        pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1] = 0, 0, 0, 0  # black ground
    file = tmp_path / "picture.png"
    Image.fromarray(pixels.squeeze()).save(file)
    parsed = ready.task.parse(str(file))
    torch.testing.assert_close(parsed[0], normalised(pixels, ready.task), rtol=0, atol=1e-5)
    shown = ready.task.picture(parsed[0])
    np.testing.assert_allclose(shown, pixels.squeeze() / 255, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (100, 64), (64, 100)])
def test_a_larger_picture_is_cut_to_its_middle_and_shrunk(
    size: tuple[int, int], tmp_path: Path
) -> None:
    image = Image.new("RGB", size, "red")
    left, top = (size[0] - 64) // 2, (size[1] - 64) // 2
    quarters = Image.fromarray(
        np.array([[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]], dtype=np.uint8)
    )
    image.paste(quarters.resize((64, 64), Image.Resampling.NEAREST), (left, top))
    image.save(tmp_path / "large.png")
    task = CIFAR10()
    shown = task.picture(task.parse(str(tmp_path / "large.png"))[0])
    assert shown.shape == (32, 32, 3)
    inner = shown[1:-1, 1:-1]  # at the cut itself antialiasing mixes
    assert np.abs(inner[..., 0] - inner[..., 1]).max() < 1e-5  # no red from outside the middle
    np.testing.assert_allclose(shown[1:14, 1:14], 0, atol=1e-5)
    np.testing.assert_allclose(shown[1:14, 18:-1], 1, atol=1e-5)


def test_imagenet_reads_a_persons_picture_as_its_test_pictures(
    imagenet: ImageNet, tmp_path: Path
) -> None:
    for file in sorted(tmp_path.glob("val/*/*.JPEG")):
        parsed = imagenet.parse(str(file))
        torch.testing.assert_close(parsed[0], reference(file, imagenet), rtol=0, atol=1e-5)


def test_see_through_ground_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    task = CIFAR10()
    shown = task.picture(task.parse(str(tmp_path / "clear.png"))[0])
    np.testing.assert_allclose(shown, 1, atol=1e-5)


@pytest.mark.parametrize("size", [(28, 28), (84, 84), (2, 2), (1, 5)])
def test_mnist_turns_dark_ink_on_light_ground_round(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, "white").save(tmp_path / "page.png")
    task = MNIST()
    shown = task.picture(task.parse(str(tmp_path / "page.png"))[0])
    np.testing.assert_allclose(shown, np.zeros((28, 28)), atol=1e-5)


@pytest.mark.parametrize("task", [CIFAR10(), MNIST(), ImageNet()], ids=lambda task: task.kind)
@pytest.mark.parametrize("kind", ["missing", "empty", "cut", "text", "folder", "line"])
def test_what_is_no_picture_is_refused_in_one_line(
    task: ImageTask, kind: str, tmp_path: Path
) -> None:
    file = tmp_path / "picture.png"
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    damage(file, kind)
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:-1000])
    if kind == "line":
        Image.new("RGB", (2001, 100)).save(file)
    path = tmp_path if kind == "folder" else file
    with pytest.raises(UserError, match=r"\Ainput=.*(no such file|not a pict|20 times).*\Z") as no:
        task.parse(str(path))
    assert str(path) in str(no.value)


def test_a_name_of_two_lines_is_refused_in_one() -> None:
    with pytest.raises(UserError, match=r"\Ainput=.*no such file.*\Z"):
        CIFAR10().parse("two\nlines.png")


def test_stored_pixels_and_pillow_agree_on_channels() -> None:
    pixels = torch.arange(24, dtype=torch.uint8).view(1, 3, 2, 4)
    image = F.to_pil_image(pixels[0])
    assert image.getpixel((1, 0)) == (1, 9, 17)
    assert torch.equal(F.pil_to_tensor(image), pixels[0])


def test_names_saved_beside_a_model_serve_where_the_folders_are_not() -> None:
    away = ImageNet(folder="nowhere", classes=3)
    with pytest.raises(UserError, match="nowhere"):
        _ = away.labels
    assert away.knowing(("cat", "dog", "owl")).labels == ("cat", "dog", "owl")
