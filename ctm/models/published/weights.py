"""The weights of the published models, under our names and in our layouts."""

import re
from collections.abc import Mapping

from torch import Tensor

from ctm.errors import CheckpointError
from ctm.layers.sync import Pairing, Pairs
from ctm.models.config import CTMConfig, ModelConfig, TickingConfig

# Published names to ours: the first pattern that fits a whole name gives the new one.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"start_activated_state", r"start_z"),
    (r"start_trace", r"start_history"),
    (r"start_(hidden|cell)_state", r"start_\1"),
    (r"decay_params_(out|action)", r"sync_\1.decay"),
    (r"(out|action)_neuron_indices_(left|right)", r"sync_\1.\2"),
    (r"q_proj\.(.+)", r"reader.query.\1"),
    (r"attention\.out_proj\.(.+)", r"reader.out.\1"),
    (r"output_projector\.0\.(.+)", r"answer.\1"),
    (r"output_projector\.3\.(.+)", r"layers.0.\1"),
    (r"output_projector\.6\.(.+)", r"answer.\1"),
    (r"kv_proj\.(.+)", r"encoder.project.\1"),
    (r"backbone_digit\.layers\.(.+)", r"encoder.images.backbone.layers.\1"),
    (r"index_backbone\.embedding", r"encoder.places"),
    (r"operator_backbone\.embedding\.weight", r"encoder.operators.weight"),
    (r"initial_rgb\.(.+)", r"encoder.backbone.to_rgb.\1"),
    (r"backbone\.conv1\.(.+)", r"encoder.backbone.stem.0.\1"),
    (r"backbone\.bn1\.(.+)", r"encoder.backbone.stem.1.\1"),
    (r"backbone\.embedding\.(.+)", r"encoder.backbone.embedding.\1"),
    (r"backbone\.(\d)\.(.+)", r"encoder.backbone.layers.\1.\2"),
    (r"positional_embedding\.Wr\.(.+)", r"encoder.positions.waves.\1"),
    (r"positional_embedding\.mlp\.(.+)", r"encoder.positions.mlp.\1"),
    (r"positional_embedding\.embedders\.(\d+)\.Wr\.(.+)", r"encoder.positions.scales.\1.waves.\2"),
    (r"positional_embedding\.embedders\.(\d+)\.mlp\.(.+)", r"encoder.positions.scales.\1.mlp.\2"),
    (r"positional_embedding\.combination", r"encoder.positions.mixture"),
    (r"positional_embedding\.start_vector", r"encoder.positions.start"),
    (
        r"positional_embedding\.projection(?:\.0)?\.(weight|bias)",
        r"encoder.positions.projection.\1",
    ),
    (r"synapses\.(\d)\.(.+)", r"synapse.\1.\2"),
    (r"synapses\.first_projection\.(.+)", r"synapse.first.\1"),
    (r"synapses\.(down|up)_projections\.(.+)", r"synapse.\1.\2"),
    (r"synapses\.skip_lns\.(.+)", r"synapse.norms.\1"),
)
NEURON_LAYERS = {"0": "0", "2": "1"}  # the GLUs between them were counted


def rename_ctm(state: Mapping[str, Tensor], config: CTMConfig) -> dict[str, Tensor]:
    """A published state dict under our names and in our layouts."""
    ours = renamed_all(state, config)
    if config.pairing is not Pairing.random:
        for sync in ("sync_out", "sync_action"):
            expand_pairs(ours, sync)
    return ours


def renamed_all(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Names that no rule knows stay, for the strict load to list."""
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        try:
            ours |= translated(name, value, config)
        except (RuntimeError, IndexError):
            raise CheckpointError(
                f"{name} is {tuple(value.shape)}: not a shape that the published model has"
            ) from None
    return ours


def translated(name: str, value: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    """One published tensor as ours: most change their name alone."""
    if name.startswith("attention.in_proj_") and isinstance(config, TickingConfig):
        part = name.removeprefix("attention.in_proj_")
        query, key_value = value.split([config.d_input, 2 * config.d_input])
        return {
            f"reader.in_query.{part}": query,
            f"reader.in_key_value.{part}": key_value,
        }
    if found := re.fullmatch(r"trace_processor\.0\.(\d)\.(.+)", name):
        layer, part = found.groups()
        prefix = f"neuron_models.layers.{NEURON_LAYERS.get(layer, layer)}"
        return neuron_layer(prefix, part, value)
    if found := re.fullmatch(r"backbone\.layer(\d)\.(.+)", name):
        stage, rest = found.groups()
        return {f"encoder.backbone.stages.{int(stage) - 1}.{rest}": value}
    return {renamed(name): value}


def renamed(name: str) -> str:
    for pattern, replacement in RENAMES:
        if found := re.fullmatch(pattern, name):
            return found.expand(replacement)
    return name


def neuron_layer(prefix: str, part: str, value: Tensor) -> dict[str, Tensor]:
    """One weight of a per-neuron layer: (in, out, D) becomes (D, in, out)."""
    match part:
        case "w1":
            return {f"{prefix}.weight": value.permute(2, 0, 1).contiguous()}
        case "b1":
            return {f"{prefix}.bias": value.squeeze(0)}
        case "T":
            return {f"{prefix}.temperature": value}
        case _:
            return {f"{prefix}.{part.replace('layernorm', 'norm')}": value}


def expand_pairs(ours: dict[str, Tensor], sync: str) -> None:
    """Published: the neurons of each side. Ours: the two neurons of each pair."""
    left, right = (ours.get(f"{sync}.{side}") for side in ("left", "right"))
    if left is not None and right is not None:
        if left.dim() != 1 or left.shape != right.shape:
            raise CheckpointError(
                f"{sync}.left is {tuple(left.shape)}, {sync}.right {tuple(right.shape)}: "
                "want as many left as right neurons"
            )
        ours[f"{sync}.left"], ours[f"{sync}.right"] = Pairs.triangle(left, right)


def weight_of(state: Mapping[str, Tensor], name: str) -> Tensor:
    """A weight that must be there, with the axes of a convolution's."""
    if name not in state:
        raise CheckpointError(f"published weights: {name} missing")
    if state[name].dim() != 4:
        raise CheckpointError(f"{name} is {tuple(state[name].shape)}: want 4 axes")
    return state[name]
