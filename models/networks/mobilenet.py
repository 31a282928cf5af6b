"""MobileNetV2 for 32x32 images (kuangliu/pytorch-cifar's layout, with ReLU).

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks. Blocks of stride 1 whose
channels change have a 1x1 convolution as shortcut, and every block has an expanding convolution.
The first convolution and the linear layer are not quantized; the identity path never is, since a
block's output is signed and has no activation.
"""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.initialize import InitWeights, initialize
from models.layers.normalize import Normalize
from models.layers.normalized import normalized
from models.layers.shortcut import Shortcut
from models.networks.base import AnyBitNetwork, list_layers
from models.networks.settings import MOST_CHANNELS, NetworkSettings
from models.precision import Assignment, LayerPrecision


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

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int,
        stride: int,
        layers: LayerFactory,
        *,
        signed: bool,
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        self.has_residual = stride == 1
        self.act1 = layers.activation(signed=signed)
        self.conv1 = layers.conv(in_channels, width, 1)
        self.bn1 = layers.norm(width)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(width, width, 3, stride, groups=width)
        self.bn2 = layers.norm(width)
        self.act3 = layers.activation()
        self.conv3 = layers.conv(width, out_channels, 1)
        self.bn3 = layers.norm(out_channels)
        self.shortcut = (
            Shortcut(in_channels, out_channels, 1, layers)
            if self.has_residual and in_channels != out_channels
            else None
        )

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


class MobileNetV2Cifar(AnyBitNetwork):
    """Normalization, stem, stages of inverted residuals, 1x1 convolution, pool, linear layer.

    The last 1x1 convolution is quantized but stands outside the blocks: it is never swapped.
    """

    Settings = MobileNetV2CifarSettings

    def __init__(
        self,
        settings: MobileNetV2CifarSettings,
        layers: LayerFactory,
        normalize: Normalize,
        num_classes: int,
    ) -> None:
        super().__init__(layers.precisions)
        self.normalize = normalize
        self.conv1 = layers.stem(settings.stem_width, 3)
        self.bn1 = layers.stem_norm(settings.stem_width, shared=settings.stem_bn_shared)
        self.layers = nn.ModuleList(_blocks(settings, layers))
        self.act2 = layers.activation(signed=True)
        self.conv2 = layers.conv(settings.widths[-1], settings.head_width, 1)
        self.bn2 = layers.norm(settings.head_width)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(settings.dropout)
        self.fc = layers.head(settings.head_width, num_classes)
        blocks = [(f"layers.{name}", block) for name, block in self.layers.named_children()]
        self._layers = list_layers(blocks, outside=["conv2"])
        initialize(self, settings.init_weights)

    @property
    def stem_norm(self) -> nn.Module:
        """The batch norm behind the first convolution."""
        return self.bn1

    def stem(self, inputs: Tensor) -> Tensor:
        """Run images (batch, 3, height, width) to what all points have in common."""
        features: Tensor = self.conv1(self.normalize(inputs, self.conv1.weight.dtype))
        return self.bn1(features) if self.shares_stem_norm else features

    def from_stem(self, features: Tensor, assignment: Assignment) -> Tensor:
        """Run what `stem` returns to logits (batch, classes)."""
        outside = LayerPrecision(assignment.outside, assignment.outside)
        if not self.shares_stem_norm:
            features = self.bn1(features, outside)
        *inside, last = self.layer_precisions(assignment)
        at = iter(inside)
        for block in self.layers.children():
            assert isinstance(block, InvertedResidual)
            count = len(block.main) + (block.shortcut_layer is not None)
            features = block(features, [next(at) for _ in range(count)])
        features = F.relu(normalized(self.conv2, self.bn2, self.act2(features, last), last))
        logits: Tensor = self.fc(self.dropout(self.avgpool(features).flatten(1)), outside)
        return logits


def _blocks(settings: MobileNetV2CifarSettings, layers: LayerFactory) -> list[InvertedResidual]:
    blocks: list[InvertedResidual] = []
    channels = settings.stem_width
    stages = zip(
        settings.widths, settings.depths, settings.expansions, settings.strides, strict=True
    )
    for width, depth, expansion, first_stride in stages:
        for stride in (first_stride, *(1,) * (depth - 1)):
            signed = bool(blocks)
            blocks.append(
                InvertedResidual(channels, width, expansion, stride, layers, signed=signed)
            )
            channels = width
    return blocks
