"""ResNets with the CTM's stem, cut after the first stages.

Blocks are torchvision's. The stem is not: a 1x1 convolution to three channels, then 3x3 at stride
1 instead of 7x7 at stride 2. Nor is the depth of ResNet-152: the published weights have 4 blocks in
its second stage, where the usual network has 8.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from ctm.errors import ConfigError
from ctm.layers.backbones import Backbone

# blocks in each of the four stages
STAGES: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 4, 36, 3)),
}
WIDTHS = (64, 128, 256, 512)


class ResNet(Backbone):
    """Features of the first `stages` of a ResNet.

    Args:
        channels: of the image.
        depth: 18, 34, 50, 101 or 152.
        stages: 1 to 4; the map's side is that of the image divided by 2^stages, rounded up."""

    def __init__(self, *, channels: int, depth: int, stages: int) -> None:
        super().__init__()
        if depth not in STAGES:
            raise ConfigError(f"depth={depth}: choose a ResNet of {', '.join(map(str, STAGES))}")
        if not 1 <= stages <= 4:
            raise ConfigError(f"stages={stages}: a ResNet has 4; want 1 to 4")
        block, counts = STAGES[depth]
        self.to_rgb = nn.Conv2d(channels, 3, kernel_size=1)
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            # usually the other way round; the largest value's ReLU is the largest ReLU, and cheaper
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.Sequential()
        d_in = WIDTHS[0]
        for stage in range(stages):
            stride = 1 if stage == 0 else 2
            self.stages.append(_stage(block, d_in, WIDTHS[stage], counts[stage], stride))
            d_in = WIDTHS[stage] * block.expansion
        self.width = d_in

    def reset(self, generator: torch.Generator | None = None) -> None:
        """He initialisation of the convolutions, as in torchvision's ResNets."""
        for module in (self.stem, self.stages):
            for conv in (part for part in module.modules() if isinstance(part, nn.Conv2d)):
                nn.init.kaiming_normal_(
                    conv.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )

    def grid(self, *sizes: int) -> tuple[int, ...]:
        return tuple(-(-size // 2 ** len(self.stages)) for size in sizes)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch d_feature rows columns"]:
        if image.device.type == "cpu":  # a third less time there with channels innermost
            image = image.contiguous(memory_format=torch.channels_last)
        return self.stages(self.stem(self.to_rgb(image)))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], d_in: int, width: int, count: int, stride: int
) -> nn.Sequential:
    d_out = width * block.expansion
    shortcut = None
    if stride != 1 or d_in != d_out:
        shortcut = nn.Sequential(
            nn.Conv2d(d_in, d_out, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(d_out)
        )
    first = block(d_in, width, stride, shortcut)
    return nn.Sequential(first, *(block(d_out, width) for _ in range(count - 1)))
