"""Weights that fit a model exactly, or a list of what doesn't."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ctm.errors import CheckpointError, listed
from ctm.layers.sync import Synchronisation

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # of every checkpoint's folder


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        CheckpointError: the file is missing, cut off, or something else.
    """
    try:
        # copied into torch's own memory: where weights lie askew, as in the file, their products
        # round in another way, and a run that goes on would not be the same to the bit
        return {name: weight.clone() for name, weight in load_file(file).items()}
    except FileNotFoundError:
        raise CheckpointError(f"{file}: missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not a whole safetensors file ({error})") from None


def write_weights(weights: Mapping[str, Tensor], file: Path) -> None:
    save_file({name: value.contiguous() for name, value in weights.items()}, file)


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], *, assign: bool = False) -> None:
    """Loads weights that fit exactly, and changes nothing otherwise.

    Args:
        assign: the model takes these tensors instead of copying them; so one on the meta device
            comes to have weights.

    Raises:
        CheckpointError: names what is missing, unexpected, of another shape or kind of number.
    """
    wanted = model.state_dict()
    faults = [f"{name} missing" for name in wanted if name not in state]
    faults += [f"{name} unexpected" for name in state if name not in wanted]
    faults += [
        f"{name} is {tuple(state[name].shape)}, want {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    faults += [
        f"{name} holds {state[name].dtype}, want {value.dtype}"
        for name, value in wanted.items()
        if name in state and not _converts(state[name].dtype, value.dtype)
    ]
    if not faults:
        faults = [
            f"{name}.{side} names neurons that are not there"
            for name, sync in model.named_modules()
            if isinstance(sync, Synchronisation)
            for side in ("left", "right")
            if not _within(state[f"{name}.{side}"], sync.neurons)
        ]
    if faults:
        raise CheckpointError(f"these weights are of another model: {listed(faults)}")
    typed = {name: state[name].to(value.dtype) for name, value in wanted.items()}
    model.load_state_dict(typed, assign=assign)


def _converts(came: torch.dtype, wanted: torch.dtype) -> bool:
    """Floating-point numbers of any width do; indices and counts must be what they are."""
    return came == wanted or (came.is_floating_point and wanted.is_floating_point)


def _within(indices: Tensor, neurons: int) -> bool:
    return not len(indices) or bool(indices.min() >= 0 and indices.max() < neurons)
