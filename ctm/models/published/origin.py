"""What a published model is and what it was trained on, as far as its arguments tell."""

from collections.abc import Mapping
from typing import Any

from ctm.errors import ConfigError
from ctm.interface import InputKind, TaskSpec

NAMES = {"ctm": "ctm", "lstm": "lstm", "ff": "ff"}  # of `--model` and `--model_type`
USUAL_MAZE = 39  # pixels a side, of the published mazes
IMAGENET = 1000  # classes
# arguments that every published constructor has
COMMON = ("d_model", "out_dims")


def looks_published(saved: Mapping[str, Any]) -> bool:
    """Whether this is the `config.json` of a published folder."""
    return all(name in saved for name in COMMON)


def kind_of(args: Mapping[str, Any]) -> str:
    """Which of the published classes was built with such arguments.

    A training checkpoint names its model; of a folder it is seen by the arguments that are there.

    Raises:
        ConfigError: a model that we have not got.
    """
    name = args.get("model_type", args.get("model"))
    if name is not None and name not in NAMES:
        raise ConfigError(f"model={name}: choose one of {', '.join(NAMES)}")
    if name in ("lstm", "ff"):
        return NAMES[name]
    if args.get("iterations_for_answering") is not None:
        return "ctm_qamnist"
    if args.get("memory_length") is not None:
        return "ctm_sort" if args.get("backbone_type") == "none" else "ctm"
    return "lstm" if args.get("num_layers") is not None else "ff"


def task_of(args: Mapping[str, Any], spec: TaskSpec) -> dict[str, Any]:
    """Settings of the task, as `config.json` has them; empty where the arguments don't tell."""
    match spec.input_kind, spec.output_shape:
        case InputKind.signs, (length, 2):
            return {"kind": "parity", "length": length}
        case InputKind.vector, (labels,):
            return {"kind": "sort", "length": labels - 1}
        case InputKind.questions, _:
            return {
                "kind": "qamnist",
                "image_ticks": spec.image_ticks,
                "code_ticks": spec.code_ticks,
            }
        case InputKind.image, (moves, 5):
            signed = bool(args.get("expand_range", False))
            return {
                "kind": "mazes",
                "side": USUAL_MAZE,
                "route_length": moves,
                "pixel_range": "signed" if signed else "unit",
            }
        case InputKind.image, (classes,) if classes == IMAGENET:
            return {"kind": "imagenet"}
    return {"kind": args["dataset"]} if args.get("dataset") in ("cifar10", "cifar100") else {}
