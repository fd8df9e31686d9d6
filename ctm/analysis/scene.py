"""One example's thinking, as numpy arrays: all that a picture of it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from ctm.interface import Thoughts


@dataclass(frozen=True, eq=False)
class Scene:
    """What one example looked like and what a model thought of it, tick by tick.

    Args:
        picture: the input as an image, grey (any range) or RGB (0 to 1, or bytes).
        token_grid: rows and columns of the attention's tokens, row-major over the picture.
        attention: weights at each tick; None without attention, zeros where a tick has none.
        probabilities: of the classes at each tick and position.
        certainty: at each tick, 0 to 1.
        target: the right class of each position; a scalar where there is one answer.
        labels: names of the classes.
        post_activations: of the neurons at each tick.
        moments: a picture, as large as the input's tokens lie over, and words for each tick, where
            what is shown changes; empty: it is `picture` all the time.
        known: whether `target` is the truth. Where that isn't known it is the last prediction.

    Raises:
        ValueError: parts that don't fit each other.
    """

    picture: Num[np.ndarray, "height width *rgb"]
    token_grid: tuple[int, int]
    attention: Float[np.ndarray, "ticks heads tokens"] | None
    probabilities: Float[np.ndarray, "ticks *positions classes"]
    certainty: Float[np.ndarray, " ticks"]
    target: Int[np.ndarray, "..."]
    labels: tuple[str, ...]
    post_activations: Float[np.ndarray, "ticks neurons"]
    moments: Sequence[tuple[np.ndarray, str]] = ()
    known: bool = True

    def __post_init__(self) -> None:
        shape = self.picture.shape
        if len(shape) != 2 and not (len(shape) == 3 and shape[2] == 3):
            raise ValueError(f"picture has shape {shape}: want (height, width) or with 3 colours")
        rows, columns = self.token_grid
        if self.attention is not None and self.attention.shape[2] != rows * columns:
            raise ValueError(
                f"attention is over {self.attention.shape[2]} tokens, token_grid={self.token_grid} "
                f"has {rows * columns} cells: want rows x columns = tokens"
            )
        if len(self.labels) != self.probabilities.shape[-1]:
            raise ValueError(
                f"{len(self.labels)} labels, {self.probabilities.shape[-1]} classes: want one each"
            )
        if self.moments and len(self.moments) != self.ticks:
            raise ValueError(f"{len(self.moments)} moments, {self.ticks} ticks: want one each")
        if self.target.shape != self.probabilities.shape[1:-1]:
            raise ValueError(
                f"target has shape {self.target.shape}, predictions have positions "
                f"{self.probabilities.shape[1:-1]}: want the same"
            )

    @classmethod
    def of(
        cls,
        thoughts: Thoughts,
        example: int,
        *,
        picture: Any,
        token_grid: tuple[int, int],
        target: Any,
        labels: tuple[str, ...],
        moments: Sequence[tuple[np.ndarray, str]] = (),
    ) -> Self:
        """The scene of one example of a batch.

        Args:
            thoughts: of the batch, with a trace (`model(inputs, record=True)`).
            example: its index in the batch.
            picture, target: arrays or tensors on the CPU; the target None where nobody knows it.
            token_grid, labels, moments: see the class.

        Raises:
            ValueError: there is no trace, or parts don't fit each other.
        """
        trace = thoughts.trace
        if trace is None:
            raise ValueError("thoughts have no trace: call the model with record=True")
        attention = trace.attention
        last = thoughts.logits[example, -1].argmax(-1).cpu()
        return cls(
            picture=np.asarray(picture),
            token_grid=token_grid,
            attention=None if attention is None else attention[example].numpy(),
            probabilities=thoughts.logits[example].detach().float().softmax(-1).cpu().numpy(),
            certainty=thoughts.certainty[example].detach().float().cpu().numpy(),
            target=np.asarray(last if target is None else target, dtype=np.int64),
            labels=tuple(labels),
            post_activations=trace.post_activations[example].numpy(),
            moments=moments,
            known=target is not None,
        )

    @property
    def ticks(self) -> int:
        return len(self.certainty)

    @property
    def classes(self) -> int:
        return self.probabilities.shape[-1]

    @property
    def positions(self) -> int:
        """Answers that the example asks for."""
        return self.target.size

    @property
    def predictions(self) -> Int[np.ndarray, "ticks *positions"]:
        """The most probable class at each tick."""
        return self.probabilities.argmax(-1)

    @property
    def right(self) -> Bool[np.ndarray, "ticks *positions"]:
        """Where the prediction of a tick is the target."""
        return self.predictions == self.target

    @property
    def heat(self) -> Float[np.ndarray, "ticks rows columns"] | None:
        """Attention averaged over the heads, over the grid."""
        if self.attention is None:
            return None
        return self.attention.mean(1).reshape(self.ticks, *self.token_grid)

    @property
    def gaze(self) -> Float[np.ndarray, "ticks heads 2"] | None:
        """Centre of each head's attention, x and y in cells; NaN where it attends nowhere."""
        if self.attention is None:
            return None
        rows, columns = self.token_grid
        y, x = np.indices((rows, columns)).reshape(2, -1) + 0.5
        total = self.attention.sum(-1, keepdims=True)
        weights = np.divide(
            self.attention, total, out=np.full_like(self.attention, np.nan), where=total > 0
        )
        return weights @ np.stack([x, y], axis=1)
