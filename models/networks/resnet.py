"""ResNet-18 and ResNet-50 in torchvision's layout and with its names.

He et al., Deep Residual Learning for Image Recognition; bottlenecks stride in their 3x3
convolution. The first convolution and the linear layer are not quantized.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.initialize import initialize
from models.layers.normalize import Normalize
from models.layers.normalized import normalized
from models.layers.shortcut import Shortcut
from models.networks.base import AnyBitNetwork, list_layers
from models.networks.settings import NetworkSettings
from models.precision import Assignment, LayerPrecision
from models.quantized import Activations, values_of


class ResNetSettings(NetworkSettings):
    """The settings of all residual networks."""

    quantize_identity: bool = Field(
        True, description="a block's identity path carries the quantized input"
    )


class ResNet18Settings(ResNetSettings):
    """ResNet-18 for large images."""

    name: Literal["resnet18"] = "resnet18"
    widths: tuple[int, ...] = Field((64, 128, 256, 512), description="channels of each stage")
    depths: tuple[int, ...] = Field((2, 2, 2, 2), description="blocks of each stage")


class ResNet50Settings(ResNetSettings):
    """ResNet-50 for large images."""

    name: Literal["resnet50"] = "resnet50"
    widths: tuple[int, ...] = Field(
        (64, 128, 256, 512), description="channels of each stage, a quarter of its output's"
    )
    depths: tuple[int, ...] = Field((3, 4, 6, 3), description="blocks of each stage")


class ResidualBlock(nn.Module):
    """A residual block whose input quantizer feeds first layer, shortcut and identity alike.

    Inputs and outputs are sums that the next ReLU has not seen: it belongs to the quantizer.
    """

    expansion: ClassVar[int]
    main: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        layers: LayerFactory,
        *,
        quantize_identity: bool,
    ) -> None:
        super().__init__()
        self.quantize_identity = quantize_identity
        self.act1 = layers.activation()
        self.downsample = (
            Shortcut(in_channels, out_channels, stride, layers)
            if stride != 1 or in_channels != out_channels
            else None
        )

    @property
    def shortcut_layer(self) -> str | None:
        """The name of the shortcut's convolution, if it has one."""
        return None if self.downsample is None else "downsample.0"

    def shortcut(
        self, inputs: Tensor, quantized: Activations, at: Sequence[LayerPrecision]
    ) -> Tensor:
        """Return what is added to the residual: (batch, out_channels, height, width).

        quantized: relu(inputs) at the precision of the block's first layer.
        """
        if self.downsample is None:
            return values_of(quantized) if self.quantize_identity else F.relu(inputs)
        first, own = at[0], at[-1]
        if own.own != first.own:
            quantized = self.act1(inputs, own)
        output: Tensor = self.downsample(quantized, own)
        return output


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions."""

    expansion = 1
    main = ("conv1", "conv2")

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        layers: LayerFactory,
        *,
        quantize_identity: bool,
    ) -> None:
        super().__init__(in_channels, width, stride, layers, quantize_identity=quantize_identity)
        self.conv1 = layers.conv(in_channels, width, 3, stride)
        self.bn1 = layers.norm(width)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(width, width, 3)
        self.bn2 = layers.norm(width)

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each of the two layers, and one for the shortcut's, if it has one."""
        first, second = at[:2]
        quantized = self.act1(inputs, first)
        output = normalized(self.conv1, self.bn1, quantized, first)
        output = normalized(self.conv2, self.bn2, self.act2(output, second), second)
        return output + self.shortcut(inputs, quantized, at)


class Bottleneck(ResidualBlock):
    """A 1x1, a strided 3x3 and a widening 1x1 convolution."""

    expansion = 4
    main = ("conv1", "conv2", "conv3")

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        layers: LayerFactory,
        *,
        quantize_identity: bool,
    ) -> None:
        out_channels = width * self.expansion
        super().__init__(
            in_channels, out_channels, stride, layers, quantize_identity=quantize_identity
        )
        self.conv1 = layers.conv(in_channels, width, 1)
        self.bn1 = layers.norm(width)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(width, width, 3, stride)
        self.bn2 = layers.norm(width)
        self.act3 = layers.activation()
        self.conv3 = layers.conv(width, out_channels, 1)
        self.bn3 = layers.norm(out_channels)

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each of the three layers, and one for the shortcut's, if it has one."""
        first, second, third = at[:3]
        quantized = self.act1(inputs, first)
        output = normalized(self.conv1, self.bn1, quantized, first)
        output = normalized(self.conv2, self.bn2, self.act2(output, second), second)
        output = normalized(self.conv3, self.bn3, self.act3(output, third), third)
        return output + self.shortcut(inputs, quantized, at)


class ResNet(AnyBitNetwork):
    """Normalization, stem, stages of residual blocks, global average pool, linear layer."""

    block: ClassVar[type[BasicBlock | Bottleneck]]

    def __init__(
        self,
        settings: ResNetSettings,
        layers: LayerFactory,
        normalize: Normalize,
        num_classes: int,
    ) -> None:
        super().__init__(layers.precisions)
        stem_width = settings.widths[0]
        self.normalize = normalize
        self.conv1 = self.stem_conv(stem_width, layers)
        self.bn1 = layers.stem_norm(stem_width, shared=settings.stem_bn_shared)
        self.maxpool = self.stem_pool()
        self.stages: list[str] = []
        channels = stem_width
        for index, (width, depth) in enumerate(zip(settings.widths, settings.depths, strict=True)):
            name, stride = f"layer{index + 1}", 1 if index == 0 else 2
            self.add_module(name, self._stage(channels, width, depth, stride, settings, layers))
            self.stages.append(name)
            channels = width * self.block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(settings.dropout)
        self.fc = layers.head(channels, num_classes)
        self._layers = list_layers(self._blocks())
        initialize(self, settings.init_weights)

    def stem_conv(self, width: int, layers: LayerFactory) -> nn.Conv2d:
        """The first convolution."""
        return layers.stem(width, 7, stride=2)

    def stem_pool(self) -> nn.Module:
        """What follows the stem."""
        return nn.MaxPool2d(3, stride=2, padding=1)

    def _stage(
        self,
        in_channels: int,
        width: int,
        depth: int,
        stride: int,
        settings: ResNetSettings,
        layers: LayerFactory,
    ) -> nn.Sequential:
        identity = {"quantize_identity": settings.quantize_identity}
        blocks = [self.block(in_channels, width, stride, layers, **identity)]
        out_channels = width * self.block.expansion
        blocks += [self.block(out_channels, width, 1, layers, **identity) for _ in range(depth - 1)]
        return nn.Sequential(*blocks)

    def _blocks(self) -> Iterator[tuple[str, nn.Module]]:
        for stage in self.stages:
            for name, block in self.get_submodule(stage).named_children():
                yield f"{stage}.{name}", block

    @property
    def stem_norm(self) -> nn.Module:
        """The batch norm behind the first convolution."""
        return self.bn1

    def stem(self, inputs: Tensor) -> Tensor:
        """Run images (batch, 3, height, width) to what all points have in common."""
        features: Tensor = self.conv1(self.normalize(inputs, self.conv1.weight.dtype))
        return self.maxpool(self.bn1(features)) if self.shares_stem_norm else features

    def from_stem(self, features: Tensor, assignment: Assignment) -> Tensor:
        """Run what `stem` returns to logits (batch, classes)."""
        outside = LayerPrecision(assignment.outside, assignment.outside)
        if not self.shares_stem_norm:
            features = self.maxpool(self.bn1(features, outside))
        at = iter(self.layer_precisions(assignment))
        for _, block in self._blocks():
            count = len(self.block.main) + (block.shortcut_layer is not None)
            features = block(features, [next(at) for _ in range(count)])
        pooled = self.avgpool(F.relu(features)).flatten(1)
        logits: Tensor = self.fc(self.dropout(pooled), outside)
        return logits


class ResNet18(ResNet):
    """ResNet-18: two basic blocks in each of four stages."""

    Settings = ResNet18Settings
    block = BasicBlock


class ResNet50(ResNet):
    """ResNet-50: 3, 4, 6 and 3 bottlenecks."""

    Settings = ResNet50Settings
    block = Bottleneck
