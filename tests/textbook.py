"""The machine as the paper writes it: slow, plain, and written apart from `ctm.layers`.

Whole histories instead of running sums, and loops over neurons, heads, positions and examples
instead of batched products. Weights come by name, as tensors that autograd may follow. What the
machine is compared with in tests.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ctm.models.config import CTMConfig

Weights = Mapping[str, Tensor]

EPSILON = 1e-5  # of a layer norm


@dataclass
class Told:
    """All that happened, a tensor of the batch for each tick."""

    logits: list[Tensor] = field(default_factory=list)
    pre_activations: list[Tensor] = field(default_factory=list)
    post_activations: list[Tensor] = field(default_factory=list)
    sync_out: list[Tensor] = field(default_factory=list)
    sync_action: list[Tensor] = field(default_factory=list)
    attention: list[Tensor] = field(default_factory=list)


def think(
    weights: Weights, data: Tensor, config: CTMConfig, output_shape: tuple[int, ...], ticks: int
) -> Told:
    """One forward pass over encoded data: tokens (B, S, d) or, read directly, vectors (B, d)."""
    batch = len(data)
    pre = [column.repeat(batch, 1) for column in weights["start_history"].unbind(1)]
    post = [weights["start_z"].repeat(batch, 1)]
    told = Told()
    for _ in range(ticks):
        if config.reading == "attention":
            asked = synchronisation(weights, "sync_action", post)
            o, looked = attend(weights, data, asked, config.heads)
            told.sync_action.append(asked)
            told.attention.append(looked)
        else:
            o = data
        pre.append(synapse(weights, torch.cat([o, post[-1]], 1), config))
        post.append(neuron_models(weights, pre[-config.memory_length :], config))
        answered = synchronisation(weights, "sync_out", post)
        told.pre_activations.append(pre[-1])
        told.post_activations.append(post[-1])
        told.sync_out.append(answered)
        told.logits.append(linear(weights, "answer", answered).view(batch, *output_shape))
    return told


# -- parts -----------------------------------------------------------------------------------------


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    normal = (x - mean) / (variance + EPSILON).sqrt()
    return normal * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def glu(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x[..., :half] * sigmoid(x[..., half:])


def silu(x: Tensor) -> Tensor:
    return x * sigmoid(x)


def softmax(x: Tensor) -> Tensor:
    """Over the last axis."""
    powers = (x - x.amax(-1, keepdim=True).detach()).exp()
    return powers / powers.sum(-1, keepdim=True)


def synchronisation(weights: Weights, name: str, past: list[Tensor]) -> Tensor:
    """S = sum_k e^-r(t-k) z_i(k) z_j(k) / sqrt(sum_k e^-r(t-k)) over all of the past.

    Without pairs it is the newest z.
    """
    if f"{name}.decay" not in weights:
        return past[-1]
    left, right, r = (weights[f"{name}.{part}"] for part in ("left", "right", "decay"))
    top, bottom = torch.zeros_like(r), torch.zeros_like(r)
    for age, z in enumerate(reversed(past)):
        fade = torch.exp(-r * age)
        top = top + fade * z[:, left] * z[:, right]
        bottom = bottom + fade
    return top / bottom.sqrt()


def attend(weights: Weights, tokens: Tensor, asked: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Cross-attention, head by head: what is read, and the weights (B, heads, S)."""
    width = tokens.shape[2]
    size = width // heads
    query = linear(weights, "reader.query", asked)
    seen, looked = [], []
    for head in range(heads):
        rows = slice(head * size, (head + 1) * size)
        value_rows = slice(width + head * size, width + (head + 1) * size)
        q = query @ weights["reader.in_query.weight"][rows].T
        q = q + weights["reader.in_query.bias"][rows]
        k = tokens @ weights["reader.in_key_value.weight"][rows].T
        k = k + weights["reader.in_key_value.bias"][rows]
        v = tokens @ weights["reader.in_key_value.weight"][value_rows].T
        v = v + weights["reader.in_key_value.bias"][value_rows]
        share = softmax((k * q.unsqueeze(1)).sum(2) / math.sqrt(size))
        looked.append(share)
        seen.append((share.unsqueeze(2) * v).sum(1))
    return linear(weights, "reader.out", torch.cat(seen, 1)), torch.stack(looked, 1)


def synapse(weights: Weights, x: Tensor, config: CTMConfig) -> Tensor:
    if config.synapse_depth == 1:
        return layer_norm(weights, "synapse.3", glu(linear(weights, "synapse.1", x)))
    blocks = config.synapse_depth - 1

    def block(name: str, x: Tensor, first: int = 1) -> Tensor:
        x = linear(weights, f"{name}.{first}", x)
        return silu(layer_norm(weights, f"{name}.{first + 1}", x))

    downward = [block("synapse.first", x, first=0)]
    for level in range(blocks):
        downward.append(block(f"synapse.down.{level}", downward[level]))
    x = downward[blocks]
    for level in range(blocks - 1, -1, -1):
        x = block(f"synapse.up.{level}", x) + downward[level]
        x = layer_norm(weights, f"synapse.norms.{level}", x)
    return x


def neuron_models(weights: Weights, history: list[Tensor], config: CTMConfig) -> Tensor:
    """Each neuron's own model of its own history, one neuron after the other."""
    if config.neuron_models == "none":
        return history[-1]
    z = []
    for neuron in range(config.neurons):
        x = torch.stack([a[:, neuron] for a in history], 1)
        for layer in range(2 if config.nlm_hidden else 1):
            name = f"neuron_models.layers.{layer}"
            if config.nlm_layernorm:
                x = layer_norm(weights, f"{name}.norm", x)
            x = x @ weights[f"{name}.weight"][neuron] + weights[f"{name}.bias"][neuron]
            x = glu(x / weights[f"{name}.temperature"])
        z.append(x[:, 0])
    return torch.stack(z, 1)


# -- readouts and losses ---------------------------------------------------------------------------


def certainty_of(logits: Tensor) -> float:
    """1 - mean normalised entropy of one prediction (*positions, classes)."""
    entropies = []
    for position in logits.detach().reshape(-1, logits.shape[-1]):
        p = softmax(position)
        entropies.append(-sum(float(q) * math.log(float(q)) for q in p if q > 0))
    return 1 - sum(entropies) / len(entropies) / math.log(logits.shape[-1])


def certainties(logits: Tensor) -> Tensor:
    """Of logits (B, T, *positions, classes): (B, T)."""
    return torch.tensor(
        [[certainty_of(tick) for tick in example] for example in logits], dtype=logits.dtype
    )


def first_largest(values: list[float]) -> int:
    return values.index(max(values))


def cross_entropies(logits: Tensor, target: Tensor) -> list[Tensor]:
    """At each position of one prediction."""
    rows = logits.reshape(-1, logits.shape[-1])
    return [
        -softmax(row)[int(right)].log() for row, right in zip(rows, target.flatten(), strict=True)
    ]


def pick_two(losses: list[Tensor], logits: Tensor, readout: str) -> Tensor:
    """(least loss + loss at the chosen tick) / 2 of one example."""
    least = first_largest([-loss.item() for loss in losses])
    sure = first_largest([certainty_of(tick) for tick in logits])
    chosen = {"certain": sure, "last": len(losses) - 1}[readout]
    return (losses[least] + losses[chosen]) / 2


def two_tick_loss(
    logits: Tensor, targets: Tensor, readout: str = "certain", last: int | None = None
) -> Tensor:
    total = logits.new_zeros(())
    for example, target in zip(logits, targets, strict=True):
        counted = example if last is None else example[-last:]
        losses = []
        for tick in counted:
            each = cross_entropies(tick, target)
            losses.append(torch.stack(each).mean())
        total = total + pick_two(losses, counted, readout)
    return total / len(logits)


def maze_upto(logits: Tensor, target: Tensor, lookahead: int) -> int:
    """How many steps of one route count: logits (T, steps, classes)."""
    longest = 0
    for tick in logits:
        right = 0
        while right < len(target) and int(tick[right].argmax()) == int(target[right]):
            right += 1
        longest = max(longest, right)
    return min(max(longest - 1, 0) + lookahead, len(target))


def maze_loss(
    logits: Tensor, targets: Tensor, lookahead: int = 5, readout: str = "certain"
) -> Tensor:
    total = logits.new_zeros(())
    for example, target in zip(logits, targets, strict=True):
        upto = maze_upto(example, target, lookahead)
        losses = []
        for tick in example:
            each = cross_entropies(tick, target)[:upto]
            losses.append(torch.stack(each).mean())
        total = total + pick_two(losses, example, readout)
    return total / len(logits)
