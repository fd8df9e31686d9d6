"""The loop as the published code writes it: what every speed-up is measured against.

Plain torch at full size, with the habits that SPEC section 6 names: keys and values projected again
at every tick, histories put together anew, a per-neuron einsum over a (memory, hidden, neurons)
weight, outer products built in full before their triangle is taken, logits at every tick.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ctm.interface import Thoughts
from ctm.layers.neurons import NeuronLevelModels, PerNeuronLinear
from ctm.layers.reading import AttentionReader
from ctm.layers.sync import DECAY_MAX, Pairing, Synchronisation
from ctm.models.machine import ContinuousThoughtMachine


class TextbookCTM(nn.Module):
    """A machine's weights in the textbook loop: the same function, computed the slow way.

    Encoder, synapse and answer are the machine's own modules, whose parameters it shares; all else
    is copied into the layouts that the loop wants.

    Args:
        machine: one that reads by attention and has private neuron-level models.
    """

    def __init__(self, machine: ContinuousThoughtMachine) -> None:
        super().__init__()
        reader, neurons = machine.reader, machine.neuron_models
        assert isinstance(reader, AttentionReader)
        assert isinstance(neurons, NeuronLevelModels)
        self.ticks, self.output_shape = machine.ticks, machine.output_shape
        self.encoder, self.synapse, self.answer = machine.encoder, machine.synapse, machine.answer
        self.query = reader.query
        self.attention = torch_attention(reader)
        layers = [layer for layer in neurons.layers if isinstance(layer, PerNeuronLinear)]
        self.neuron_models = nn.Sequential(*map(TextbookNeurons, layers))
        self.sync_action = TextbookSync(machine.sync_action)
        self.sync_out = TextbookSync(machine.sync_out)
        self.start_history = nn.Parameter(machine.start_history.detach().clone())
        self.start_z = nn.Parameter(machine.start_z.detach().clone())

    def forward(self, inputs: Tensor) -> Thoughts:
        tokens = self.encoder(inputs)
        z = self.start_z.expand(len(inputs), -1)
        history = self.start_history.expand(len(inputs), -1, -1)
        logits = []
        alpha_action = beta_action = None
        alpha_out, beta_out = self.sync_out(z, None, None)[1:]
        for _ in range(self.ticks):
            asked, alpha_action, beta_action = self.sync_action(z, alpha_action, beta_action)
            o, _ = self.attention(self.query(asked).unsqueeze(1), tokens, tokens,
                                  average_attn_weights=False)  # fmt: skip
            a = self.synapse(torch.cat((o.squeeze(1), z), dim=-1))
            history = torch.cat((history[:, :, 1:], a.unsqueeze(-1)), dim=-1)
            z = self.neuron_models(history).squeeze(-1)
            answered, alpha_out, beta_out = self.sync_out(z, alpha_out, beta_out)
            logits.append(self.answer(answered))
        return Thoughts.of(torch.stack(logits, 1).unflatten(2, self.output_shape))


def torch_attention(reader: AttentionReader) -> nn.MultiheadAttention:
    """torch's own multi-head attention with the reader's weights."""
    width = reader.out.in_features
    attention = nn.MultiheadAttention(width, reader.heads, dropout=reader.dropout, batch_first=True)
    attention.to(reader.out.weight)
    asked, read, out = reader.in_query, reader.in_key_value, reader.out
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat((asked.weight, read.weight)))
        attention.in_proj_bias.copy_(torch.cat((asked.bias, read.bias)))
        attention.out_proj.weight.copy_(out.weight)
        attention.out_proj.bias.copy_(out.bias)
    return attention


class TextbookNeurons(nn.Module):
    """One layer of all neuron-level models: einsum over (d_in, d_out, neurons), then GLU."""

    def __init__(self, layer: PerNeuronLinear) -> None:
        super().__init__()
        self.norm, self.dropout = layer.norm, layer.dropout
        self.weight = nn.Parameter(layer.weight.detach().permute(1, 2, 0).contiguous())
        self.bias = nn.Parameter(layer.bias.detach().unsqueeze(0).clone())
        self.temperature = nn.Parameter(layer.temperature.detach().clone())

    def forward(
        self, x: Float[Tensor, "batch neurons d_in"]
    ) -> Float[Tensor, "batch neurons d_half"]:
        x = self.dropout(self.norm(x))
        y = torch.einsum("bdm,mhd->bdh", x, self.weight) + self.bias
        return F.glu(y / self.temperature, dim=-1)


class TextbookSync(nn.Module):
    """Synchronisation after one more tick; the sums of each example are kept apart."""

    left: Tensor
    right: Tensor

    def __init__(self, sync: Synchronisation) -> None:
        super().__init__()
        self.decay = nn.Parameter(sync.decay.detach().clone())
        self.outer = sync.pairing is not Pairing.random
        left, right = sync.left, sync.right
        if self.outer:  # the two sets: the diagonal of the triangle
            row, column = torch.triu_indices(sync.sync, sync.sync)
            left, right = left[row == column], right[row == column]
        self.register_buffer("left", left.clone())
        self.register_buffer("right", right.clone())

    def forward(
        self,
        z: Float[Tensor, "batch neurons"],
        alpha: Float[Tensor, "batch pairs"] | None,
        beta: Float[Tensor, "batch pairs"] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        left, right = z[:, self.left], z[:, self.right]
        if self.outer:
            sync = left.shape[1]
            row, column = torch.triu_indices(sync, sync, device=z.device)
            products = (left.unsqueeze(2) * right.unsqueeze(1))[:, row, column]
        else:
            products = left * right
        if alpha is None or beta is None:
            alpha, beta = products, torch.ones_like(products)
        else:
            with torch.no_grad():
                self.decay.clamp_(0, DECAY_MAX)
            keep = torch.exp(-self.decay).unsqueeze(0).repeat(len(z), 1)
            alpha, beta = keep * alpha + products, keep * beta + 1
        return alpha / beta.sqrt(), alpha, beta
