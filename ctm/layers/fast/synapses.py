"""Synapses whose linear layers are ready to be repeated."""

from collections.abc import Callable

from torch import Tensor, nn

from ctm.layers.fast.linear import repeated
from ctm.layers.synapses import UNetSynapse, unet


def repeated_synapse(synapse: nn.Module) -> Callable[[Tensor], Tensor]:
    """The synapse for one pass. Shapes: (batch, d_in) to (batch, neurons)."""
    if not isinstance(synapse, UNetSynapse):
        return repeated(synapse)
    first = repeated(synapse.first)
    down, up = ([repeated(block) for block in blocks] for blocks in (synapse.down, synapse.up))
    return lambda x: unet(x, first, down, up, synapse.norms)
