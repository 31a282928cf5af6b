"""ResNet-18, ResNet-34 and ResNet-50 in torchvision's layout and with its names.

He et al., Deep Residual Learning for Image Recognition; bottlenecks stride in their 3x3
convolution. The first convolution and the linear layer are not quantized.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.normalized import normalized
from models.layers.shortcut import QuantizingShortcut, Shortcut
from models.networks.residual import BlockShape, BottleneckSettings, ResidualNetwork
from models.networks.settings import NetworkSettings
from models.precision import LayerPrecision
from models.quantized import Activations, values_of


class ResNetSettings(NetworkSettings):
    """The settings of all residual networks whose convolutions are followed by a ReLU."""

    quantize_identity: bool = Field(
        True, description="a block's identity path carries the quantized input"
    )
    shortcut_quantizer: Literal["shared", "own"] = Field(
        "shared",
        description="whether a shortcut's convolution takes the inputs that the block's first one "
        "takes, or quantizes them at clip levels of its own (AdaBits)",
    )


class ResNet18Settings(ResNetSettings):
    """ResNet-18 for large images."""

    name: Literal["resnet18"] = "resnet18"
    widths: tuple[int, ...] = Field((64, 128, 256, 512), description="channels of each stage")
    depths: tuple[int, ...] = Field((2, 2, 2, 2), description="blocks of each stage")


class ResNet34Settings(ResNetSettings):
    """ResNet-34 for large images."""

    name: Literal["resnet34"] = "resnet34"
    widths: tuple[int, ...] = Field((64, 128, 256, 512), description="channels of each stage")
    depths: tuple[int, ...] = Field((3, 4, 6, 3), description="blocks of each stage")


class ResNet50Settings(BottleneckSettings, ResNetSettings):
    """ResNet-50 for large images."""

    name: Literal["resnet50"] = "resnet50"


class ResidualBlock(nn.Module):
    """A residual block whose input quantizer feeds first layer, shortcut and identity alike.

    Inputs and outputs are sums that the next ReLU has not seen: it belongs to the quantizer.
    """

    main: ClassVar[tuple[str, ...]]

    def __init__(self, shape: BlockShape, settings: ResNetSettings, layers: LayerFactory) -> None:
        super().__init__()
        self.quantize_identity = settings.quantize_identity
        self.act1 = layers.activation()
        own = settings.shortcut_quantizer == "own"
        self.downsample = None if shape.keeps_shape else _shortcut(shape, layers, own=own)

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
        if isinstance(self.downsample, QuantizingShortcut):
            taken: Activations = inputs
        else:
            taken = quantized if own.own == first.own else self.act1(inputs, own)
        output: Tensor = self.downsample(taken, own)
        return output


def _shortcut(shape: BlockShape, layers: LayerFactory, *, own: bool) -> Shortcut:
    """Return the shortcut of a block whose shape changes, with or without its own quantizer."""
    if own:
        return QuantizingShortcut(
            shape.in_channels, shape.out_channels, shape.stride, layers, signed=False
        )
    return Shortcut(shape.in_channels, shape.out_channels, shape.stride, layers)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions."""

    main = ("conv1", "conv2")

    def __init__(self, shape: BlockShape, settings: ResNetSettings, layers: LayerFactory) -> None:
        super().__init__(shape, settings, layers)
        width = shape.out_channels
        self.conv1 = layers.conv(shape.in_channels, width, 3, shape.stride)
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

    main = ("conv1", "conv2", "conv3")

    def __init__(self, shape: BlockShape, settings: ResNetSettings, layers: LayerFactory) -> None:
        super().__init__(shape, settings, layers)
        self.conv1 = layers.conv(shape.in_channels, shape.width, 1)
        self.bn1 = layers.norm(shape.width)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(shape.width, shape.width, 3, shape.stride)
        self.bn2 = layers.norm(shape.width)
        self.act3 = layers.activation()
        self.conv3 = layers.conv(shape.width, shape.out_channels, 1)
        self.bn3 = layers.norm(shape.out_channels)

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each of the three layers, and one for the shortcut's, if it has one."""
        first, second, third = at[:3]
        quantized = self.act1(inputs, first)
        output = normalized(self.conv1, self.bn1, quantized, first)
        output = normalized(self.conv2, self.bn2, self.act2(output, second), second)
        output = normalized(self.conv3, self.bn3, self.act3(output, third), third)
        return output + self.shortcut(inputs, quantized, at)


class ResNet18(ResidualNetwork[ResNetSettings]):
    """ResNet-18: two basic blocks in each of four stages."""

    Settings = ResNet18Settings
    block = BasicBlock


class ResNet34(ResidualNetwork[ResNetSettings]):
    """ResNet-34: 3, 4, 6 and 3 basic blocks."""

    Settings = ResNet34Settings
    block = BasicBlock


class ResNet50(ResidualNetwork[ResNetSettings]):
    """ResNet-50: 3, 4, 6 and 3 bottlenecks."""

    Settings = ResNet50Settings
    block = Bottleneck
