"""The float networks in plain torch, without a line of `models`: what steps are compared to.

ResNet-18 and ResNet-50 are torchvision's, the networks for small images kuangliu/pytorch-cifar's,
MobileNetV2 with ReLU. Their modules are called as in those.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size of images at stride 1."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 1x1 convolution and its batch norm, or nothing where the shape stays."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, width, ...)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        output: Tensor = self.relu(y + self.downsample(x))
        return output


class Bottleneck(nn.Module):
    """A 1x1, a strided 3x3 and a widening 1x1 convolution."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(inputs, 4 * width, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, 4 width, ...)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        output: Tensor = self.relu(y + self.downsample(x))
        return output


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global average pool, linear layer.

    small: of images, whose stem has a 3x3 convolution and no pooling.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        widths: tuple[int, ...],
        depths: tuple[int, ...],
        classes: int,
        *,
        small: bool,
    ) -> None:
        super().__init__()
        self.conv1 = conv(3, widths[0], 3) if small else conv(3, widths[0], 7, 2)
        self.bn1, self.relu = nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        self.stages = []
        inputs = widths[0]
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = []
            for index in range(depth):
                blocks.append(block(inputs, width, 2 if number and not index else 1))
                inputs = width * block.expansion
            self.stages.append(f"layer{number + 1}")
            self.add_module(self.stages[-1], nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (batch, 3, height, width) to logits (batch, classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


class InvertedResidual(nn.Module):
    """Expand (1x1), convolve each channel (3x3), project (1x1, no activation)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride, width), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, outputs, 1), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.residual = stride == 1
        self.shortcut = shortcut(inputs, outputs, 1) if self.residual else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, ...)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        output: Tensor = y + self.shortcut(x) if self.residual else y
        return output


MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Of each stage: how much its blocks widen, channels, blocks, stride of the first."""


class MobileNetV2Cifar(nn.Module):
    """Stem, inverted residuals, 1x1 convolution, global average pool, linear layer."""

    def __init__(
        self, classes: int, stages: Sequence[tuple[int, int, int, int]] = MOBILENET_V2
    ) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
        blocks, inputs = [], 32
        for expansion, outputs, depth, stride in stages:
            for index in range(depth):
                blocks.append(InvertedResidual(inputs, outputs, expansion, 1 if index else stride))
                inputs = outputs
        self.layers = nn.Sequential(*blocks)
        self.conv2, self.bn2 = conv(inputs, 1280, 1), nn.BatchNorm2d(1280)
        self.fc = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (batch, 3, height, width) to logits (batch, classes)."""
        x = self.layers(self.relu(self.bn1(self.conv1(x))))
        x = self.relu(self.bn2(self.conv2(x)))
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def resnet18_cifar(classes: int, width: int = 64) -> ResNet:
    """ResNet-18 for 32x32 images."""
    widths = (width, 2 * width, 4 * width, 8 * width)
    return ResNet(BasicBlock, widths, (2, 2, 2, 2), classes, small=True)


def resnet18(classes: int) -> ResNet:
    """ResNet-18 for large images."""
    return ResNet(BasicBlock, (64, 128, 256, 512), (2, 2, 2, 2), classes, small=False)


def resnet50(classes: int) -> ResNet:
    """ResNet-50 for large images."""
    return ResNet(Bottleneck, (64, 128, 256, 512), (3, 4, 6, 3), classes, small=False)
