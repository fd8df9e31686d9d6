"""The states of every random generator that a run may draw from, as plain data."""

import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Starts the global generators. Data and weights have their own; dropout draws from these."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - other libraries draw from it
    torch.manual_seed(seed)


def random_states(device: torch.device | str = "cpu") -> dict[str, Any]:
    """States of Python's, NumPy's, torch's and, if `device` is one, the GPU's generators."""
    on_gpu = torch.device(device).type == "cuda"
    version, numbers, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return {
        "python": [version, list(numbers), gauss],
        "numpy": {
            **{key: numpy_state[key] for key in ("bit_generator", "has_gauss", "gauss")},
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            "pos": numpy_state["state"]["pos"],
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if on_gpu else None,
    }


def restore_random_states(states: dict[str, Any], device: torch.device | str = "cpu") -> None:
    """Undoes all drawing since `random_states(device)`; a GPU's if it was on one."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    numpy_state = dict(states["numpy"])
    key = numpy_state.pop("key").numpy().astype(np.uint32)
    inner = {"key": key, "pos": numpy_state.pop("pos")}
    np.random.set_state({**numpy_state, "state": inner})  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
