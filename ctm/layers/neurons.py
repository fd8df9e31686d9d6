"""Neuron-level models: every neuron has private weights over the history of its own inputs."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class PerNeuronLinear(nn.Module):
    """y_d = (x_d W_d + b_d) / T: a small linear layer for each neuron d, one temperature for all.

    Args:
        neurons: how many layers lie side by side.
        d_in, d_out: widths of each.
        dropout: on the input.
        layernorm: normalise the input over `d_in` first (scale and shift shared by the neurons).
    """

    def __init__(
        self, *, neurons: int, d_in: int, d_out: int, dropout: float = 0.0, layernorm: bool = False
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_in) if layernorm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        # The neuron comes first: the products of all neurons are one batched matrix product.
        self.weight = nn.Parameter(torch.empty(neurons, d_in, d_out))
        self.bias = nn.Parameter(torch.empty(neurons, d_out))
        self.temperature = nn.Parameter(torch.empty(1))

    def reset(self, generator: torch.Generator | None = None) -> None:
        bound = sum(self.weight.shape[1:]) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.temperature)

    def forward(
        self, x: Float[Tensor, "neurons batch d_in"]
    ) -> Float[Tensor, "neurons batch d_out"]:
        x = self.dropout(self.norm(x))
        # times 1 / T: the gradient of a division costs twice that of a product
        y = torch.baddbmm(self.bias.unsqueeze(1), x, self.weight)
        return y * self.temperature.reciprocal()


class NeuronLevelModels(nn.Module):
    """z_d = g_d(A_d): what each neuron makes of the history A_d of its own pre-activations.

        deep:    Linear(M -> 2h), GLU, Linear(h -> 2), GLU
        linear:  Linear(M -> 2), GLU                          (hidden = 0)

    Paper, section 3.3.

    Args:
        memory_length: M, pre-activations that a neuron sees, oldest first.
        hidden: h, the width inside each neuron's model; 0 for the linear kind.
        recompute: keep histories alone for the backward pass and compute all else again there.
    """

    def __init__(
        self,
        *,
        neurons: int,
        memory_length: int,
        hidden: int,
        dropout: float = 0.0,
        layernorm: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        widths = [memory_length, hidden, 1] if hidden else [memory_length, 1]
        # each layer is twice as wide as what its GLU hands on
        self.layers = nn.ModuleList(
            PerNeuronLinear(
                neurons=neurons, d_in=d_in, d_out=2 * d_out, dropout=dropout, layernorm=layernorm
            )
            for d_in, d_out in pairwise(widths)
        )

    def forward(
        self, history: Float[Tensor, "batch neurons memory"]
    ) -> Float[Tensor, "batch neurons"]:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self.think, history, use_reentrant=False)
        return self.think(history)

    def think(
        self, history: Float[Tensor, "batch neurons memory"]
    ) -> Float[Tensor, "batch neurons"]:
        x = history.transpose(0, 1)
        for layer in self.layers:
            x = F.glu(layer(x))
        return x.squeeze(-1).transpose(0, 1)


class NoNeuronModels(nn.Module):
    """z = a: the newest pre-activation as it is (an ablation of the paper)."""

    def forward(
        self, history: Float[Tensor, "batch neurons memory"]
    ) -> Float[Tensor, "batch neurons"]:
        return history[:, :, -1]
