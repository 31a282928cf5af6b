"""ResNet-18 and ResNet-50 in torchvision's layout and with its names.

He et al., Deep Residual Learning for Image Recognition; bottlenecks stride in their 3x3
convolution. The first convolution and the linear layer are not quantized.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from models.bitwidth import Assignment
from models.layers.factory import LayerFactory
from models.layers.initialize import initialize
from models.layers.shortcut import Shortcut
from models.networks.base import AnyBitNetwork
from models.networks.settings import NetworkSettings


class ResNet18Settings(NetworkSettings):
    """ResNet-18 for large images."""

    name: Literal["resnet18"] = "resnet18"
    widths: tuple[int, ...] = Field((64, 128, 256, 512), description="channels of each stage")
    depths: tuple[int, ...] = Field((2, 2, 2, 2), description="blocks of each stage")


class ResNet50Settings(NetworkSettings):
    """ResNet-50 for large images."""

    name: Literal["resnet50"] = "resnet50"
    widths: tuple[int, ...] = Field(
        (64, 128, 256, 512), description="channels of each stage, a quarter of its output's"
    )
    depths: tuple[int, ...] = Field((3, 4, 6, 3), description="blocks of each stage")


class ResidualBlock(nn.Module):
    """A residual block whose input quantizer feeds first layer, shortcut and identity alike.

    The shortcut runs at the bit-width of the first layer, with which it shares its input.
    """

    expansion: ClassVar[int]
    num_layers: ClassVar[int]

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, layers: LayerFactory
    ) -> None:
        super().__init__()
        self.quantize_identity = layers.settings.quantize_identity
        self.relu = nn.ReLU(inplace=True)
        self.act1 = layers.activation()
        self.downsample = (
            Shortcut(in_channels, out_channels, stride, layers)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def shortcut(self, inputs: Tensor, quantized: Tensor, bits: int) -> Tensor:
        """Return what is added to the residual: (batch, out_channels, height, width)."""
        if self.downsample is not None:
            output: Tensor = self.downsample(quantized, bits, self.act1.step(bits))
            return output
        return quantized if self.quantize_identity else inputs


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions."""

    expansion = 1
    num_layers = 2

    def __init__(self, in_channels: int, width: int, stride: int, layers: LayerFactory) -> None:
        super().__init__(in_channels, width, stride, layers)
        self.conv1 = layers.conv(in_channels, width, 3, stride)
        self.bn1 = layers.norm(width)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(width, width, 3)
        self.bn2 = layers.norm(width)

    def forward(self, inputs: Tensor, bits: tuple[int, ...]) -> Tensor:
        """bits: one for each of the two layers."""
        first, second = bits
        quantized = self.act1(inputs, first)
        output = self.conv1(quantized, first, self.act1.step(first))
        output = self.relu(self.bn1(output, first))
        output = self.conv2(self.act2(output, second), second, self.act2.step(second))
        output = self.bn2(output, second)
        block: Tensor = self.relu(output + self.shortcut(inputs, quantized, first))
        return block


class Bottleneck(ResidualBlock):
    """A 1x1, a strided 3x3 and a widening 1x1 convolution."""

    expansion = 4
    num_layers = 3

    def __init__(self, in_channels: int, width: int, stride: int, layers: LayerFactory) -> None:
        out_channels = width * self.expansion
        super().__init__(in_channels, out_channels, stride, layers)
        self.conv1 = layers.conv(in_channels, width, 1)
        self.bn1 = layers.norm(width)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(width, width, 3, stride)
        self.bn2 = layers.norm(width)
        self.act3 = layers.activation()
        self.conv3 = layers.conv(width, out_channels, 1)
        self.bn3 = layers.norm(out_channels)

    def forward(self, inputs: Tensor, bits: tuple[int, ...]) -> Tensor:
        """bits: one for each of the three layers."""
        first, second, third = bits
        quantized = self.act1(inputs, first)
        output = self.conv1(quantized, first, self.act1.step(first))
        output = self.relu(self.bn1(output, first))
        output = self.conv2(self.act2(output, second), second, self.act2.step(second))
        output = self.relu(self.bn2(output, second))
        output = self.conv3(self.act3(output, third), third, self.act3.step(third))
        output = self.bn3(output, third)
        block: Tensor = self.relu(output + self.shortcut(inputs, quantized, first))
        return block


class ResNet(AnyBitNetwork):
    """Stem, stages of residual blocks, global average pool, linear layer."""

    block: ClassVar[type[BasicBlock | Bottleneck]]

    def __init__(self, settings: NetworkSettings, layers: LayerFactory, num_classes: int) -> None:
        num_blocks = sum(settings.depths)
        super().__init__(layers.bit_widths, (self.block.num_layers,) * num_blocks)
        stem_width = settings.widths[0]
        self.conv1 = self.stem_conv(stem_width)
        self.bn1 = layers.stem_norm(stem_width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = self.stem_pool()
        self.stages: list[str] = []
        channels = stem_width
        for index, (width, depth) in enumerate(zip(settings.widths, settings.depths, strict=True)):
            name = f"layer{index + 1}"
            self.add_module(
                name, self._stage(channels, width, depth, 1 if index == 0 else 2, layers)
            )
            self.stages.append(name)
            channels = width * self.block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(settings.dropout)
        self.fc = nn.Linear(channels, num_classes)
        initialize(self, settings.init_weights)

    def stem_conv(self, width: int) -> nn.Conv2d:
        """The first convolution, which stays in float."""
        return nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)

    def stem_pool(self) -> nn.Module:
        """What follows the stem."""
        return nn.MaxPool2d(3, stride=2, padding=1)

    def _stage(
        self, in_channels: int, width: int, depth: int, stride: int, layers: LayerFactory
    ) -> nn.Sequential:
        blocks = [self.block(in_channels, width, stride, layers)]
        out_channels = width * self.block.expansion
        blocks += [self.block(out_channels, width, 1, layers) for _ in range(depth - 1)]
        return nn.Sequential(*blocks)

    def logits(self, inputs: Tensor, assignment: Assignment) -> Tensor:
        """Run images (batch, 3, height, width) to logits (batch, classes)."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(inputs), assignment.bits)))
        start = 0
        for stage in self.stages:
            for block in self.get_submodule(stage).children():
                end = start + self.block.num_layers
                features = block(features, assignment.layers[start:end])
                start = end
        logits: Tensor = self.fc(self.dropout(self.avgpool(features).flatten(1)))
        return logits


class ResNet18(ResNet):
    """ResNet-18: two basic blocks in each of four stages."""

    Settings = ResNet18Settings
    block = BasicBlock


class ResNet50(ResNet):
    """ResNet-50: 3, 4, 6 and 3 bottlenecks."""

    Settings = ResNet50Settings
    block = Bottleneck
