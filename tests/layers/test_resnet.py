"""ResNets against torchvision's, with the stem that the published weights have."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from ctm.errors import ConfigError
from ctm.layers.resnet import ResNet
from tests.build import generator, perturbed

BLOCKS = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 4, 36, 3]),
}
each_depth = pytest.mark.parametrize("depth", BLOCKS)
each_cut = pytest.mark.parametrize("stages", [1, 2, 3, 4])


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def stages_of(network: TorchvisionResNet) -> list[nn.Sequential]:
    return [network.layer1, network.layer2, network.layer3, network.layer4]


def described(depth: int, stages: int, channels: int = 3) -> ResNet:
    with torch.device("meta"):
        return ResNet(channels=channels, depth=depth, stages=stages)


@each_depth
def test_stages_have_their_number_of_blocks(depth: int) -> None:
    network = described(depth, 4)
    blocks = [len(stage) for stage in network.stages if isinstance(stage, nn.Sequential)]
    assert blocks == BLOCKS[depth][1]


@each_cut
@each_depth
def test_parameters_are_those_of_torchvision_behind_another_stem(depth: int, stages: int) -> None:
    block, counts = BLOCKS[depth]
    with torch.device("meta"):
        torchvision = TorchvisionResNet(block, counts)
    stem = (2 * 3 + 3) + 3 * 64 * 3 * 3 + 2 * 64
    behind = sum(count(stage) for stage in stages_of(torchvision)[:stages])
    assert count(described(depth, stages, channels=2)) == stem + behind


def stem(network: ResNet, image: Tensor) -> Tensor:
    """1x1 to three channels with bias, 3x3 without at stride 1, BatchNorm, ReLU, 3x3 max-pool."""
    conv, norm = network.stem[0], network.stem[1]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    rgb = F.conv2d(image, network.to_rgb.weight, network.to_rgb.bias)
    x = F.conv2d(rgb, conv.weight, stride=1, padding=1)
    by_channel = (1, -1, 1, 1)
    x = (x - norm.running_mean.view(by_channel)) / (norm.running_var.view(by_channel) + 1e-5).sqrt()
    x = (x * norm.weight.view(by_channel) + norm.bias.view(by_channel)).clamp_min(0)
    return F.max_pool2d(x, 3, stride=2, padding=1)


@pytest.mark.parametrize(("depth", "stages"), [(18, 1), (18, 4), (34, 2), (50, 2)])
def test_features_are_torchvisions_behind_the_stem(depth: int, stages: int) -> None:
    network = perturbed(ResNet(channels=2, depth=depth, stages=stages)).float()
    torchvision = TorchvisionResNet(*BLOCKS[depth]).eval()
    image = torch.randn(2, 2, 9, 6, generator=generator(1))
    with torch.no_grad():
        x = stem(network, image)
        for theirs, ours in zip(stages_of(torchvision), network.stages, strict=False):
            theirs.load_state_dict(ours.state_dict())
            x = theirs(x)
        features = network(image)
    assert features.shape == (2, network.width, *network.grid(9, 6))
    torch.testing.assert_close(features, x, rtol=1e-4, atol=1e-4 * x.abs().max().item())


@each_cut
@each_depth
def test_the_grid_and_the_width_are_those_of_the_features(depth: int, stages: int) -> None:
    network = described(depth, stages, channels=1)
    for height, width in ((32, 32), (39, 21)):
        image = torch.empty(1, 1, height, width, device="meta")
        assert network(image).shape[1:] == (network.width, *network.grid(height, width))


@pytest.mark.parametrize(
    ("depth", "stages", "said"),
    [(20, 1, "18, 34, 50, 101, 152"), (18, 0, "1 to 4"), (18, 5, "1 to 4")],
)
def test_a_resnet_that_is_not_is_refused_with_those_that_are(
    depth: int, stages: int, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        ResNet(channels=3, depth=depth, stages=stages)
