"""Weights from one explicit generator; torch's own layers as torch would start them."""

import math

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def initialize(model: nn.Module, generator: torch.Generator | None = None) -> None:
    """Fills every parameter and buffer of `model`, parts before the whole they make up.

    A module of ours has `reset(generator)`; torch's own are filled as their constructors would, but
    from `generator`. So a model can be built without touching the global random state.

    Raises:
        TypeError: a module holds parameters, and nothing here knows how they start.
    """
    for module in reversed(list(model.modules())):
        own = getattr(module, "reset", None)
        if own is not None:
            own(generator)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            _uniform_by_fan_in(module, generator)
        elif isinstance(module, nn.LSTM):
            for weight in module.parameters():
                bound = module.hidden_size**-0.5
                nn.init.uniform_(weight, -bound, bound, generator=generator)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, generator=generator)
        elif isinstance(module, nn.LayerNorm | _BatchNorm):
            module.reset_parameters()  # ones and zeros
        elif any(True for _ in module.parameters(recurse=False)):
            raise TypeError(f"{type(module).__name__} has parameters and no reset(generator)")


def _uniform_by_fan_in(module: nn.Linear | nn.Conv2d, generator: torch.Generator | None) -> None:
    nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
    if module.bias is not None:
        fan_in = module.weight[0].numel()
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)
