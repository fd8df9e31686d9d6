"""From a description to an encoder, its sizes taken from the task."""

from torch import nn

from ctm.errors import ConfigError
from ctm.interface import TaskSpec
from ctm.layers.backbones import (
    Backbone,
    NumberEmbedding,
    PooledConv,
    ShallowWide,
    SignEmbedding,
    SmallConv,
)
from ctm.layers.encoders import RawEncoder, TokenEncoder, check_positions
from ctm.layers.questions import QuestionEncoder
from ctm.layers.resnet import ResNet
from ctm.layers.symbols import SymbolEncoder
from ctm.models.config import (
    ENCODERS,
    ConvEncoderConfig,
    EncoderConfig,
    NoEncoderConfig,
    ParityEncoderConfig,
    QuestionEncoderConfig,
    ResNetEncoderConfig,
    ShallowWideEncoderConfig,
    SymbolEncoderConfig,
    VectorEncoderConfig,
)


def build_encoder(config: EncoderConfig, spec: TaskSpec, d_input: int) -> nn.Module:
    """The encoder of a description, its sizes taken from the task.

    Raises:
        ConfigError: this encoder can't read such inputs.
    """
    refuse_other_inputs(config, spec)
    if isinstance(config, NoEncoderConfig):
        if spec.input_shape != (d_input,):
            raise ConfigError(
                f"model.d_input={d_input}: model/encoder=none hands on the task's "
                f"{spec.input_shape[0]} numbers; want model.d_input={spec.input_shape[0]}"
            )
        return RawEncoder()
    if isinstance(config, SymbolEncoderConfig):
        return SymbolEncoder(symbols=spec.symbols, d_input=d_input, ticks=spec.code_ticks)
    check_positions(config.positions, config.axes)
    backbone = build_backbone(config, spec, width=d_input)
    encoder = TokenEncoder(backbone=backbone, positions=config.positions, d_input=d_input)
    if isinstance(config, QuestionEncoderConfig):
        return QuestionEncoder(
            images=encoder,
            d_input=d_input,
            image_ticks=spec.image_ticks,
            code_ticks=spec.code_ticks,
        )
    return encoder


def refuse_other_inputs(config: EncoderConfig, spec: TaskSpec) -> None:
    if spec.input_kind not in config.reads:
        fitting = [kind for kind, other in ENCODERS.items() if spec.input_kind in other.reads]
        raise ConfigError(
            f"model/encoder={config.kind}: it can't read inputs of kind {spec.input_kind}; "
            f"choose one of {', '.join(fitting)}"
        )


def build_backbone(config: EncoderConfig, spec: TaskSpec, *, width: int) -> Backbone:
    """Inputs to features.

    Args:
        width: of the features where the encoder leaves it open.
    """
    channels = spec.input_shape[0]
    match config:
        case ParityEncoderConfig():
            return SignEmbedding(width=width)
        case VectorEncoderConfig():
            return NumberEmbedding(width=width)
        case ConvEncoderConfig():
            return SmallConv(channels=channels, widths=config.widths)
        case ShallowWideEncoderConfig():
            return ShallowWide(channels=channels)
        case ResNetEncoderConfig():
            return ResNet(channels=channels, depth=config.depth, stages=config.stages)
        case QuestionEncoderConfig():
            return PooledConv(channels=channels, width=width)
        case _:
            raise ConfigError(f"model/encoder={config.kind}: no such encoder")
