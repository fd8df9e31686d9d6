"""State tracking: permutations come one after the other; how do things stand in the end?

The word problem of the symmetric group S_n. Of two items it is parity, fed one bit at a time; of
five no circuit of constant depth solves it, whatever its width, if TC0 and NC1 are not the same
(Barrington, 1989; Merrill et al., 2024, on Transformers).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ctm.config import wanted
from ctm.errors import UserError
from ctm.interface import Batch, InputKind, Inputs, TaskSpec
from ctm.metrics.lengths import LengthEvaluation
from ctm.tasks.parts import Part, draw_part
from ctm.tasks.task import WHOLE, Share, Task

MOST_ITEMS = 6  # 720 permutations


@lru_cache
def arrangements(items: int) -> Int[Tensor, "symbols items"]:
    """All permutations in lexicographic order, the identity first: row k says where each goes."""
    return torch.tensor(list(permutations(range(items))))


@lru_cache
def products(items: int) -> Int[Tensor, "symbols symbols"]:
    """The number of the permutation that row does first and column second."""
    each = arrangements(items)
    place_values = items ** torch.arange(items)
    number = {int(code): k for k, code in enumerate((each * place_values).sum(1))}
    both = each[torch.arange(len(each)).view(1, -1, 1), each.unsqueeze(1)]
    codes = (both * place_values).sum(2)
    return torch.tensor([[number[int(code)] for code in row] for row in codes])


def targets_of(words: Int[Tensor, "batch length"], items: int) -> Int[Tensor, " batch"]:
    """What each word comes to, its permutations done from the first to the last."""
    table = products(items)
    state = words[:, 0]
    for symbol in words[:, 1:].unbind(1):
        state = table[state, symbol]
    return state


def draw_words(
    count: int, length: int, items: int, part: Part, generator: torch.Generator
) -> Int[Tensor, "count length"]:
    """Random words of one part."""
    symbols = math.factorial(items)

    def draw(many: int) -> Int[Tensor, "many length"]:
        return torch.randint(symbols, (many, length), generator=generator)

    return draw_part(count, symbols**length, part, draw)


@dataclass(frozen=True)
class EndlessWords:
    """Words of the training part, made up as they are asked for, those of a batch equally long."""

    items: int
    lengths: range
    size: int | None = None

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        start, stop = self.lengths.start, self.lengths.stop
        length = int(torch.randint(start, stop, (), generator=generator))
        words = draw_words(len(indices), length, self.items, Part.training, generator)
        return Batch(words, targets_of(words, self.items))


@dataclass(frozen=True)
class WordSets:
    """The same number of fixed words of each length; they don't depend on what other lengths are.

    Args:
        lengths: in the order in which they come.
        each: words of a length.
    """

    items: int
    lengths: tuple[int, ...]
    each: int
    part: Part

    @property
    def size(self) -> int:
        return self.each * len(self.lengths)

    def batches(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        parts = [part for length in self.lengths for part in self._words(length).split(batch_size)]
        for words in share.of(parts):
            yield Batch(words, targets_of(words, self.items))

    def take(self, indices: Int[Tensor, " batch"], generator: torch.Generator) -> Batch:
        """
        Raises:
            ValueError: the words are not all of one length, so they make no batch.
        """
        set_number, *others = (indices // self.each).unique().tolist()
        if others:
            raise ValueError(f"indices={indices.tolist()}: want words of one length")
        words = self._words(self.lengths[set_number])[indices % self.each]
        return Batch(words, targets_of(words, self.items))

    def _words(self, length: int) -> Int[Tensor, "each length"]:
        generator = torch.Generator().manual_seed(1000 * length + self.part.value)
        return draw_words(self.each, length, self.items, self.part, generator)


@dataclass
class StateTracking(Task):
    """Permutations of some items, one after the other; the answer is what they come to.

    Args:
        items: that are permuted; 2 is parity.
        length: of the longest words to train on; each batch draws its own, from 1 on.
        symbol_ticks: how long each permutation is shown.
        validation_each, test_each: words of each length. Where there are 256 words of a length or
            more, none of these is trained on.
        test_length: of the longest words to test; null: as in training. Those longer than trained
            are reported by their length, and count nowhere else.
    """

    kind: str = "state_tracking"
    items: int = 3
    length: int = 8
    symbol_ticks: int = 1
    validation_each: int = 64
    test_each: int = 512
    test_length: int | None = None

    def __post_init__(self) -> None:
        wanted(2 <= self.items <= MOST_ITEMS, "task.items", self.items, f"2 to {MOST_ITEMS}")
        for name in ("length", "symbol_ticks", "validation_each", "test_each"):
            wanted(getattr(self, name) >= 1, f"task.{name}", getattr(self, name), "1 or more")
        wanted(self.test_length is None or self.test_length >= self.length, "task.test_length",
               self.test_length, f"task.length={self.length} or more, or null")  # fmt: skip

    @property
    def spec(self) -> TaskSpec:
        symbols = math.factorial(self.items)
        return TaskSpec(
            InputKind.symbols,
            (self.length,),
            (symbols,),
            code_ticks=self.symbol_ticks,
            symbols=symbols,
        )

    def blank_sizes(self, batch: int, device: torch.device | str) -> list[Inputs]:
        words = self.blank_inputs(batch, device)
        assert isinstance(words, Tensor)
        return [words[:, :length] for length in self.trained]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(map(self._named, range(math.factorial(self.items))))

    def _named(self, symbol: int) -> str:
        """`213`: the first item goes to place 2, the second to place 1."""
        return "".join(str(place + 1) for place in arrangements(self.items)[symbol].tolist())

    @property
    def trained(self) -> range:
        """Lengths."""
        return range(1, self.length + 1)

    def training(self) -> EndlessWords:
        return EndlessWords(self.items, self.trained)

    def validation(self) -> WordSets:
        return self._fixed(self.trained, self.validation_each, Part.validation)

    def test(self) -> WordSets:
        return self._fixed(range(1, (self.test_length or self.length) + 1), self.test_each,
                           Part.test)  # fmt: skip

    def _fixed(self, lengths: range, each: int, part: Part) -> WordSets:
        """The longest that was trained on first, so that pictures show one of these."""
        order = (*reversed(self.trained), *lengths[self.length :])
        return WordSets(self.items, order, each, part)

    def harder(self) -> "StateTracking":
        """Words four times as long; fewer of each length, for there are more lengths."""
        longest = max(4 * self.length, self.test_length or 0)
        return replace(self, test_length=longest, test_each=-(-self.test_each // 4))

    def evaluation(self, device: torch.device | str = "cpu") -> LengthEvaluation:
        return LengthEvaluation(self.spec, self.trained, device)

    # -- what people type and see ------------------------------------------------------------------

    def parse(self, text: str) -> Int[Tensor, "1 length"]:
        """Permutations with spaces between them, of items counted from 1: `213 132 321`."""
        names = {name: symbol for symbol, name in enumerate(self.labels)}
        words = text.split()
        strange = [word for word in words if word not in names]
        if strange or not words:
            found = f"{strange[0]!r:.20} is none" if strange else "nothing"
            raise UserError(
                f"input={repr(text)[1:-1]:.40}: {found}; want permutations of "
                f"{self.labels[0]} with spaces between them"
            )
        return torch.tensor([[names[word] for word in words]])

    def truth(self, inputs: Inputs) -> Int[Tensor, " batch"]:
        assert isinstance(inputs, Tensor)
        return targets_of(inputs, self.items)

    def picture(self, inputs: Int[Tensor, " length"]) -> Float[np.ndarray, "items columns"]:
        """The permutation matrices side by side."""
        return np.concatenate([self._matrix(symbol) for symbol in inputs.tolist()], axis=1)

    def _matrix(self, symbol: int) -> Float[np.ndarray, "items items"]:
        return np.eye(self.items, dtype=np.float32)[arrangements(self.items)[symbol]]

    def moments(self, inputs: Int[Tensor, " length"], ticks: int) -> list[tuple[np.ndarray, str]]:
        """Permutation after permutation, then time to answer."""
        blank = np.zeros((self.items, self.items), np.float32)
        shown = [
            (self._matrix(symbol), self._named(symbol))
            for symbol in inputs.tolist()
            for _ in range(self.symbol_ticks)
        ]
        return shown + [(blank, "= ?")] * (ticks - len(shown))

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, int]:
        """A token a permutation."""
        return 1, grid[-1]
