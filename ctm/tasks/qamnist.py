"""Questions about digits: after some pictures, what is the first minus the third plus the second?

The answer counts modulo 10. (Paper, section 5: Q&A MNIST.)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.config import wanted
from ctm.errors import UserError
from ctm.interface import Batch, InputKind, Inputs, TaskSpec
from ctm.layers.questions import OPERATORS, PLACES
from ctm.metrics.questions import QuestionEvaluation
from ctm.tasks.digit_pictures import (
    DigitPictures,
    DigitSource,
    Part,
    load_pictures,
    read_picture,
)
from ctm.tasks.task import WHOLE, Share, Task

PLUS, MINUS = -1, -2  # codes of the operators; 0 and more are places, counted from 0
SEEDS = {Part.validation: 1, Part.test: 2}


def answers_of(
    digits: Int[Tensor, "batch shown"], codes: Int[Tensor, "batch codes"]
) -> Int[Tensor, " batch"]:
    """The answers to questions `place (operator place)*`, from left to right, modulo 10."""
    values = digits.gather(1, codes[:, 0::2])
    signs = torch.where(codes[:, 1::2] == MINUS, -1, 1)
    return (values[:, 0] + (signs * values[:, 1:]).sum(1)) % 10


def draw_codes(
    count: int, shown: int, operations: int, generator: torch.Generator
) -> Int[Tensor, "count codes"]:
    """Questions of so many operations about the places of so many pictures, evenly drawn."""
    codes = torch.randint(shown, (count, 2 * operations + 1), generator=generator)
    codes[:, 1::2] = torch.randint(MINUS, PLUS + 1, (count, operations), generator=generator)
    return codes


def one_of(numbers: range, generator: torch.Generator) -> int:
    return int(torch.randint(numbers.start, numbers.stop, (), generator=generator))


@dataclass(frozen=True)
class Asker:
    """Asks about pictures, each picture and each code shown for so many ticks."""

    pictures: DigitPictures
    image_ticks: int
    code_ticks: int

    def batch(self, picks: Int[Tensor, "batch shown"], codes: Int[Tensor, "batch codes"]) -> Batch:
        """Questions about the pictures of these numbers, one after the other as a model sees it."""
        inputs = (
            self.pictures.show(picks).repeat_interleave(self.image_ticks, 1),
            codes.repeat_interleave(self.code_ticks, 1),
        )
        return Batch(inputs, answers_of(self.pictures.digits[picks], codes))

    def draw(
        self, count: int, shown: int, operations: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "count shown"], Int[Tensor, "count codes"]]:
        """Pictures by their numbers, and a question about each row of them."""
        picks = torch.randint(len(self.pictures.digits), (count, shown), generator=generator)
        return picks, draw_codes(count, shown, operations, generator)


@dataclass(frozen=True)
class EndlessQuestions:
    """Questions made up as they are asked for, those of a batch equally long."""

    asker: Asker
    digits: range
    operations: range
    size: int | None = None

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        shown, operations = one_of(self.digits, generator), one_of(self.operations, generator)
        return self.asker.batch(*self.asker.draw(len(indices), shown, operations, generator))


@dataclass(frozen=True)
class QuestionGrid:
    """The same number of fixed questions of each length, the longest first.

    Args:
        each: questions of each number of digits and of operations; they are the same ones whatever
            other lengths there are.
        seed: of the questions.
    """

    asker: Asker
    digits: range
    operations: range
    each: int
    seed: int

    @property
    def size(self) -> int:
        return self.each * len(self.cells)

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Digits and operations of the questions, in their order."""
        return [(shown, asked) for shown in self.digits for asked in self.operations][::-1]

    def batches(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        starts = range(0, self.each, batch_size)
        parts = [(cell, start) for cell in range(len(self.cells)) for start in starts]
        for cell, start in share.of(parts):
            picks, codes = self._questions(cell)
            part = slice(start, start + batch_size)
            yield self.asker.batch(picks[part], codes[part])

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        """
        Raises:
            ValueError: the questions are not all of one length, so they make no batch.
        """
        cell, *others = (indices // self.each).unique().tolist()
        if others:
            raise ValueError(f"indices={indices.tolist()}: want questions of one length")
        picks, codes = self._questions(cell)
        return self.asker.batch(picks[indices % self.each], codes[indices % self.each])

    def _questions(self, cell: int) -> tuple[Int[Tensor, "each shown"], Int[Tensor, "each codes"]]:
        shown, operations = self.cells[cell]
        seed = (self.seed * PLACES + shown) * 1000 + operations
        generator = torch.Generator().manual_seed(seed)
        return self.asker.draw(self.each, shown, operations, generator)


@dataclass
class QAMNIST(Task):
    """Digits are shown one by one, then a question about them; then it is to be answered.

    Args:
        source: of the pictures; mnist needs its files, sklearn none.
        folder: of MNIST's files (`folder/MNIST/raw`).
        download: fetch them if they are not there.
        side: height and width that pictures are resized to.
        image_ticks, code_ticks: how long each picture and each word of the question is shown.
        min_digits, max_digits: pictures of a question, drawn for each batch.
        min_operations, max_operations: the same for plus and minus signs.
        validation_each, test_each: questions of each length, that is of each number of digits and
            of operations.
        test_digits, test_operations: what test asks up to; null: the same as training. Longer
            questions are reported in the grid, and count nowhere else.
    """

    kind: str = "qamnist"
    source: DigitSource = DigitSource.mnist
    folder: str = "data"
    download: bool = False
    side: int = 32
    image_ticks: int = 1
    code_ticks: int = 1
    min_digits: int = 1
    max_digits: int = 4
    min_operations: int = 1
    max_operations: int = 4
    validation_each: int = 64
    test_each: int = 256
    test_digits: int | None = None
    test_operations: int | None = None

    def __post_init__(self) -> None:
        counts = ("image_ticks", "code_ticks", "min_digits", "min_operations", "validation_each",
                  "test_each")  # fmt: skip
        for name in counts:
            wanted(getattr(self, name) >= 1, f"task.{name}", getattr(self, name), "1 or more")
        wanted(self.side >= 4, "task.side", self.side, "4 or more: encoders halve it twice")
        for name in ("digits", "operations"):
            least, most, tested = (
                getattr(self, f"{part}_{name}") for part in ("min", "max", "test")
            )
            wanted(most >= least, f"task.max_{name}", most, f"task.min_{name}={least} or more")
            wanted(tested is None or tested >= most, f"task.test_{name}", tested,
                   f"task.max_{name}={most} or more, or null")  # fmt: skip
        furthest = self.tested_digits[-1]
        wanted(furthest <= PLACES, "task.max_digits, task.test_digits", furthest,
               f"at most {PLACES}: later places have no code")  # fmt: skip

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            InputKind.questions,
            (1, self.side, self.side),
            (10,),
            image_ticks=self.image_ticks,
            code_ticks=self.code_ticks,
        )

    def blank_inputs(self, batch: int, device: torch.device | str) -> Inputs:
        """The longest question."""
        return self._blank(batch, device, self.max_digits, self.max_operations)

    def blank_sizes(self, batch: int, device: torch.device | str) -> list[Inputs]:
        return [
            self._blank(batch, device, shown, asked)
            for shown in self.trained_digits
            for asked in self.trained_operations
        ]

    def _blank(
        self, batch: int, device: torch.device | str, shown: int, asked: int
    ) -> tuple[Tensor, Tensor]:
        return self.spec.blank_question(batch, device, images=shown, codes=2 * asked + 1)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple("0123456789")

    @property
    def trained_digits(self) -> range:
        return range(self.min_digits, self.max_digits + 1)

    @property
    def trained_operations(self) -> range:
        return range(self.min_operations, self.max_operations + 1)

    @property
    def tested_digits(self) -> range:
        return range(self.min_digits, (self.test_digits or self.max_digits) + 1)

    @property
    def tested_operations(self) -> range:
        return range(self.min_operations, (self.test_operations or self.max_operations) + 1)

    def training(self) -> EndlessQuestions:
        asker = self._asker(Part.training)
        return EndlessQuestions(asker, self.trained_digits, self.trained_operations)

    def validation(self) -> QuestionGrid:
        ranges = self.trained_digits, self.trained_operations
        part = Part.validation
        return QuestionGrid(self._asker(part), *ranges, self.validation_each, SEEDS[part])

    def test(self) -> QuestionGrid:
        ranges = self.tested_digits, self.tested_operations
        part = Part.test
        return QuestionGrid(self._asker(part), *ranges, self.test_each, SEEDS[part])

    def _asker(self, part: Part) -> Asker:
        return Asker(self._pictures(part), self.image_ticks, self.code_ticks)

    def _pictures(self, part: Part) -> DigitPictures:
        return load_pictures(self.source, self.side, self.folder, self.download)[part]

    def harder(self) -> "QAMNIST":
        """Twice as many operations."""
        return replace(
            self, test_operations=max(2 * self.max_operations, self.test_operations or 0)
        )

    def evaluation(self, device: torch.device | str = "cpu") -> QuestionEvaluation:
        return QuestionEvaluation(
            self.spec, images=self.trained_digits, operations=self.trained_operations, device=device
        )

    # -- what people type and see ------------------------------------------------------------------

    def parse(
        self, text: str
    ) -> tuple[Float[Tensor, "1 image_moments 1 side side"], Int[Tensor, "1 code_moments"]]:
        """Digits, a colon, and a question about their places, counted from 0: `3 7 5: 0 + 2 - 1`.

        A digit stands for a test picture of it; a path, as in `four.png 7: 0 - 1`, for that file.
        """
        shown, colon, question = text.rpartition(":")
        names = shown.split()
        if not colon or not names:
            raise UserError(
                f"input={_short(text)}: want digits or pictures, a colon, and a question about "
                "their places, such as 3 7 5: 0 + 2 - 1"
            )
        if len(names) > PLACES:
            raise UserError(f"input={_short(text)}: {len(names)} digits; want at most {PLACES}")
        codes = _read_question(question, len(names))
        images = torch.stack([self._named(name, names[:k]) for k, name in enumerate(names)])
        return (
            images.unsqueeze(0).repeat_interleave(self.image_ticks, 1),
            torch.tensor([codes]).repeat_interleave(self.code_ticks, 1),
        )

    def _named(self, name: str, before: list[str]) -> Float[Tensor, "1 side side"]:
        """What stands for a name: the same digit has another picture each time."""
        if name not in self.labels:
            return read_picture(Path(name), self.source, self.side)
        pictures = self._pictures(Part.test)
        return pictures.show(torch.tensor(pictures.of_digit(int(name), before.count(name))))

    def picture(self, inputs: Inputs) -> Float[np.ndarray, "height width"]:
        """The digits side by side."""
        digits = inputs[0][:: self.image_ticks, 0]
        return torch.cat(list(digits), dim=1).numpy()

    def moments(self, inputs: Inputs, ticks: int) -> list[tuple[np.ndarray, str]]:
        """Digit after digit, word after word of the question, then time to answer."""
        images, codes = inputs
        blank = np.zeros(images.shape[-2:], np.float32)
        shown = [(image[0].numpy(), "") for image in images]
        shown += [(blank, _word(code)) for code in codes.tolist()]
        return shown + [(blank, "= ?")] * (ticks - len(shown))

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        """Of the digit that is shown at a tick, not of all."""
        rows, columns = grid
        return rows, columns

    def asked(self, codes: Int[Tensor, " code_moments"]) -> str:
        """A question in a person's words: `0 + 2 - 1`."""
        words = codes[:: self.code_ticks].tolist()
        return " ".join(str(word) if word >= 0 else OPERATORS[-1 - word] for word in words)


def _word(code: int) -> str:
    return f"place {code}" if code >= 0 else OPERATORS[-1 - code].replace("-", "\N{MINUS SIGN}")


def _read_question(question: str, shown: int) -> list[int]:
    """The codes of `0 + 2 - 1` about so many digits."""
    if not re.fullmatch(r"\s*[0-9]+(\s*[-+]\s*[0-9]+)*\s*", question):
        raise UserError(
            f"input=...:{_short(question)}: not a question; want places with + or - between them, "
            "such as 0 + 2 - 1"
        )
    codes: list[int] = []
    for word in re.findall(r"[0-9]+|[-+]", question):
        if word in OPERATORS:
            codes.append(PLUS if word == "+" else MINUS)
        elif len(word) > 3 or int(word) >= shown:
            raise UserError(
                f"input=...:{_short(question)}: no digit stands at place {_short(word)}; want "
                f"places 0 to {shown - 1}"
            )
        else:
            codes.append(int(word))
    return codes


def _short(text: str) -> str:
    return repr(text)[1:-1][:40]
