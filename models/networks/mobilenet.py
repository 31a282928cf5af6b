"""MobileNetV2 for 32x32 images (kuangliu/pytorch-cifar's layout, with ReLU).

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks. Blocks of stride 1 whose
channels change have a 1x1 convolution as shortcut, and every block has an expanding convolution.
The first convolution and the linear layer are not quantized; the identity path never is, since a
block's output is signed and has no activation.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.initialize import InitWeights
from models.layers.normalized import normalized
from models.layers.shortcut import Shortcut
from models.networks.residual import BlockShape
from models.networks.settings import MOST_CHANNELS, NetworkSettings
from models.networks.staged import StagedNetwork
from models.precision import LayerPrecision


class MobileNetV2CifarSettings(NetworkSettings):
    """MobileNetV2 for small images."""

    name: Literal["mobilenet_v2_cifar"] = "mobilenet_v2_cifar"
    widths: tuple[int, ...] = Field(
        (16, 24, 32, 64, 96, 160, 320), description="channels of each stage (c)"
    )
    depths: tuple[int, ...] = Field((1, 2, 3, 4, 3, 3, 1), description="blocks of each stage (n)")
    expansions: tuple[int, ...] = Field(
        (1, 6, 6, 6, 6, 6, 6), description="widening inside the blocks of each stage (t)"
    )
    strides: tuple[int, ...] = Field(
        (1, 1, 2, 2, 1, 2, 1), description="stride of the first block of each stage (s)"
    )
    stem_width: int = Field(
        32, ge=1, le=MOST_CHANNELS, description="channels of the first convolution"
    )
    head_width: int = Field(
        1280, ge=1, le=MOST_CHANNELS, description="channels of the last convolution"
    )
    init_weights: InitWeights = Field(
        "torch", description="how weights are drawn: as pytorch-cifar does, or as torchvision does"
    )

    @model_validator(mode="after")
    def _stages_complete(self) -> Self:
        if not len(self.widths) == len(self.expansions) == len(self.strides):
            raise ValueError(
                f"widths, expansions and strides have one entry for each stage, not "
                f"{len(self.widths)}, {len(self.expansions)} and {len(self.strides)}"
            )
        if min(self.expansions) < 1 or not set(self.strides) <= {1, 2}:
            raise ValueError("expansions are at least 1, strides 1 or 2")
        return self


class InvertedResidual(nn.Module):
    """Expand (1x1), convolve each channel (3x3), project (1x1, no activation).

    The shortcut's convolution shares the quantizer of the block's input. signed: the input is
    another block's projection, not the output of a ReLU.
    """

    main = ("conv1", "conv2", "conv3")

    def __init__(self, shape: BlockShape, layers: LayerFactory, *, signed: bool) -> None:
        super().__init__()
        ins, width, out, stride = shape
        self.has_residual = stride == 1
        self.act1 = layers.activation(signed=signed)
        self.conv1 = layers.conv(ins, width, 1)
        self.bn1 = layers.norm(width)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(width, width, 3, stride, groups=width)
        self.bn2 = layers.norm(width)
        self.act3 = layers.activation()
        self.conv3 = layers.conv(width, out, 1)
        self.bn3 = layers.norm(out)
        changes = self.has_residual and not shape.keeps_shape
        self.shortcut = Shortcut(ins, out, 1, layers) if changes else None

    @property
    def shortcut_layer(self) -> str | None:
        """The name of the shortcut's convolution, if it has one."""
        return None if self.shortcut is None else "shortcut.0"

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each of the three layers, and one for the shortcut's, if it has one."""
        first, second, third = at[:3]
        quantized = self.act1(inputs, first)
        output = normalized(self.conv1, self.bn1, quantized, first)
        output = normalized(self.conv2, self.bn2, self.act2(output, second), second)
        projected = normalized(self.conv3, self.bn3, self.act3(output, third), third)
        if not self.has_residual:
            return projected
        if self.shortcut is None:
            return projected + inputs
        own = at[-1]
        if own.own != first.own:
            quantized = self.act1(inputs, own)
        block: Tensor = projected + self.shortcut(quantized, own)
        return block


class MobileNetV2Cifar(StagedNetwork[MobileNetV2CifarSettings]):
    """Stages of inverted residuals, and a 1x1 convolution.

    The latter is quantized but stands outside the blocks: it is never swapped.
    """

    Settings = MobileNetV2CifarSettings
    outside = ("conv2",)

    def stem_conv(self, settings: MobileNetV2CifarSettings, layers: LayerFactory) -> nn.Conv2d:
        """Return the first convolution."""
        return layers.stem(settings.scaled(settings.stem_width), 3)

    def add_blocks(
        self, channels: int, settings: MobileNetV2CifarSettings, layers: LayerFactory
    ) -> int:
        """Add the stages and the last convolution, and return the channels of the latter."""
        self.layers = nn.ModuleList()
        stages = zip(
            settings.widths, settings.depths, settings.expansions, settings.strides, strict=True
        )
        for width, depth, expansion, first_stride in stages:
            for stride in (first_stride, *(1,) * (depth - 1)):
                shape = BlockShape(channels, channels * expansion, settings.scaled(width), stride)
                signed = len(self.layers) > 0
                self.layers.append(InvertedResidual(shape, layers, signed=signed))
                channels = shape.out_channels
        last = settings.scaled(settings.head_width)
        self.act2 = layers.activation(signed=True)
        self.conv2 = layers.conv(channels, last, 1)
        self.bn2 = layers.norm(last)
        return last

    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the blocks in order, each with its name."""
        for name, block in self.layers.named_children():
            yield f"layers.{name}", block

    def end(self, features: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """Compute the last convolution."""
        (last,) = at
        return F.relu(normalized(self.conv2, self.bn2, self.act2(features, last), last))
