"""Losses over all ticks of a thought, of which two ticks an example count (paper, section 3.5).

Each has `per_tick(thoughts, targets)`, its value for every example at every tick. (Evaluation
reports the plain cross-entropy, so that models trained by different losses compare.)
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ctm.errors import ConfigError
from ctm.interface import Readout, Thoughts


def cross_entropy(
    logits: Float[Tensor, "batch ticks *positions classes"],
    targets: Int[Tensor, "batch *positions"],
) -> Float[Tensor, "batch ticks *positions"]:
    """Cross-entropy at every tick and position, in float32 or better.

    Raises:
        ConfigError: the targets are not a class for each position.
    """
    if targets.shape[1:] != logits.shape[2:-1]:
        raise ConfigError(
            f"loss: targets of {tuple(targets.shape[1:])} for predictions of "
            f"{tuple(logits.shape[2:-1])}; want a class for each position, or choose loss=sort "
            "where labels are said over the ticks"
        )
    ticks = logits.shape[1]
    repeated = targets.unsqueeze(1).expand(-1, ticks, *targets.shape[1:])
    logits = logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits, repeated.flatten(), reduction="none").view(repeated.shape)


class TwoTickLoss(nn.Module):
    """Mean over the batch of (L at the tick where L is least + L at the chosen tick) / 2.

    L is the cross-entropy, averaged over an example's positions. Both ticks are picked for each
    example by itself, so just two ticks of it receive a gradient. Paper, section 3.5.

    Args:
        readout: how the second tick is chosen: the most certain or the last.
        last: only the last so many ticks take part; None: all that answer.
    """

    def __init__(self, readout: Readout | str = Readout.certain, last: int | None = None) -> None:
        super().__init__()
        if readout not in (Readout.certain, Readout.last):
            raise ConfigError(f"loss.readout={readout}: want certain or last")
        if last is not None and not (isinstance(last, int) and last >= 1):
            raise ConfigError(f"loss.last={last}: want 1 or more ticks, or null for all")
        self.readout, self.last = Readout(readout), last

    def per_tick(
        self, thoughts: Thoughts, targets: Int[Tensor, "batch *positions"]
    ) -> Float[Tensor, "batch ticks"]:
        """Each example's loss at each tick."""
        losses = cross_entropy(thoughts.logits, targets)
        return losses.flatten(2).mean(2) if losses.dim() > 2 else losses

    def forward(
        self, thoughts: Thoughts, targets: Int[Tensor, "batch *positions"]
    ) -> Float[Tensor, ""]:
        thoughts = thoughts.answers
        if self.last is not None:
            thoughts = thoughts.last_ticks(self.last)
        losses = self.per_tick(thoughts, targets)
        rows = torch.arange(len(losses), device=losses.device)
        least = losses[rows, losses.argmin(1)]
        chosen = losses[rows, thoughts.chosen(self.readout)]
        return (least + chosen).mean() / 2


class MazeLoss(TwoTickLoss):
    """The two-tick loss under a curriculum: routes are learned from their start outwards.

    Of each example only the first `max(L - 1, 0) + lookahead` steps count, L being the longest
    prefix that any tick has right. Paper, section 4.2 and appendix.

    Args:
        lookahead: steps beyond what is known that are asked for.
    """

    def __init__(self, lookahead: int = 5, readout: Readout | str = Readout.certain) -> None:
        super().__init__(readout)
        if not (isinstance(lookahead, int) and lookahead >= 1):
            raise ConfigError(f"loss.lookahead={lookahead}: want 1 or more steps")
        self.lookahead = lookahead

    def upto(
        self, thoughts: Thoughts, targets: Int[Tensor, "batch steps"]
    ) -> Int[Tensor, " batch"]:
        """How many steps of each route count."""
        right = thoughts.logits.argmax(-1) == targets.unsqueeze(1)
        longest = right.cumprod(2).sum(2).amax(1)
        return ((longest - 1).clamp_min(0) + self.lookahead).clamp_max(targets.shape[1])

    def per_tick(
        self, thoughts: Thoughts, targets: Int[Tensor, "batch *steps"]
    ) -> Float[Tensor, "batch ticks"]:
        if targets.dim() != 2:
            raise ConfigError(
                "loss=maze: it is for routes, targets of (batch, steps); these have "
                f"{targets.dim()} axis(es); choose loss=two_tick"
            )
        losses = cross_entropy(thoughts.logits, targets)
        upto = self.upto(thoughts, targets).unsqueeze(1)
        steps = torch.arange(targets.shape[1], device=targets.device)
        counts = (steps < upto).unsqueeze(1)
        return (losses * counts).sum(2) / upto


class SortLoss(nn.Module):
    """Connectionist temporal classification of the ticks' labels (Graves 2006; paper, section 5).

    A tick says one label or, the last class, that it has none to say. The loss is the negative log
    probability of saying the target's labels in their order, each once, over all ways to do so in
    the given ticks; of each example it is divided by the labels it has, then the mean is taken.
    """

    def per_example(
        self, thoughts: Thoughts, targets: Int[Tensor, "batch *labels"]
    ) -> Float[Tensor, " batch"]:
        """The negative log probability for each label, in nats."""
        logits = thoughts.logits
        if logits.dim() != 3 or targets.dim() != 2:
            raise ConfigError(
                "loss=sort: it is for sequences of labels, targets of (batch, labels); "
                f"these have {targets.dim()} axis(es); choose loss=two_tick"
            )
        batch, ticks, classes = logits.shape
        labels = targets.shape[1]
        if ticks < labels:
            raise ConfigError(f"model.ticks={ticks}: want {labels} or more to say {labels} labels")
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        losses = F.ctc_loss(
            logits.log_softmax(2).transpose(0, 1),
            targets,
            torch.full((batch,), ticks),
            torch.full((batch,), labels),
            blank=classes - 1,
            reduction="none",
        )
        return losses / labels

    def forward(
        self, thoughts: Thoughts, targets: Int[Tensor, "batch *labels"]
    ) -> Float[Tensor, ""]:
        return self.per_example(thoughts, targets).mean()
