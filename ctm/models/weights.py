"""Weights that fit a model exactly, or a list of what doesn't."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ctm.errors import CheckpointError, listed


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        CheckpointError: the file is missing, cut off, or something else.
    """
    try:
        return load_file(file)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not a whole safetensors file ({error})") from None


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], *, assign: bool = False) -> None:
    """Loads weights that fit exactly, and changes nothing otherwise.

    Args:
        assign: the model takes these tensors instead of copying them; so one on the meta device
            comes to have weights.

    Raises:
        CheckpointError: names what is missing, unexpected, or of another shape.
    """
    wanted = model.state_dict()
    faults = [f"{name} missing" for name in wanted if name not in state]
    faults += [f"{name} unexpected" for name in state if name not in wanted]
    faults += [
        f"{name} is {tuple(state[name].shape)}, want {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if faults:
        raise CheckpointError(f"these weights are of another model: {listed(faults)}")
    model.load_state_dict(state, assign=assign)
