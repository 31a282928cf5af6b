"""MobileNets. The identity path is never quantized: a block's output is signed and has no ReLU.

Howard et al., MobileNets; Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks.
ReLUs are not bounded at 6: the clip level of the quantizer that follows takes the place of 6.
"""

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.initialize import InitWeights
from models.layers.normalized import normalized
from models.networks.residual import BlockShape
from models.networks.separable import InvertedResidual, SeparableBlock
from models.networks.settings import MOST_CHANNELS, NetworkSettings
from models.networks.staged import StagedNetwork
from models.precision import LayerPrecision

_FEATURE = re.compile(r"\bfeatures\.(\d+)\.(?:conv\.)?(\d)(?:\.([01]))?\.(?=[a-z])")
_CLASSIFIER = re.compile(r"\bclassifier\.1\.")


class MobileNetSettings(NetworkSettings):
    """The settings of all networks of depth-wise convolutions."""

    strides: tuple[int, ...] = Field(description="stride of the first block of each stage (s)")
    stem_width: int = Field(
        32, ge=1, le=MOST_CHANNELS, description="channels of the first convolution"
    )

    @model_validator(mode="after")
    def _strides_complete(self) -> Self:
        if len(self.strides) != len(self.widths):
            raise ValueError(
                f"widths and strides have one entry for each stage, not {len(self.widths)} and "
                f"{len(self.strides)}"
            )
        if not set(self.strides) <= {1, 2}:
            raise ValueError("strides are 1 or 2")
        return self


class MobileNetV1Settings(MobileNetSettings):
    """MobileNetV1 for large images."""

    name: Literal["mobilenet_v1"] = "mobilenet_v1"
    widths: tuple[int, ...] = Field((64, 128, 256, 512, 1024), description="channels of each stage")
    depths: tuple[int, ...] = Field((1, 2, 2, 6, 2), description="blocks of each stage")
    strides: tuple[int, ...] = Field(
        (1, 2, 2, 2, 2), description="stride of the first block of each stage"
    )


class InvertedSettings(MobileNetSettings):
    """Stages of inverted residuals; the defaults are those for large images."""

    widths: tuple[int, ...] = Field(
        (16, 24, 32, 64, 96, 160, 320), description="channels of each stage (c)"
    )
    depths: tuple[int, ...] = Field((1, 2, 3, 4, 3, 3, 1), description="blocks of each stage (n)")
    expansions: tuple[int, ...] = Field(
        (1, 6, 6, 6, 6, 6, 6), description="widening inside the blocks of each stage (t)"
    )
    strides: tuple[int, ...] = Field(
        (1, 2, 2, 2, 1, 2, 1), description="stride of the first block of each stage (s)"
    )
    head_width: int = Field(
        1280,
        ge=0,
        le=MOST_CHANNELS,
        description="channels of the last convolution; 0: there is none",
    )

    @model_validator(mode="after")
    def _expansions_complete(self) -> Self:
        if len(self.expansions) != len(self.widths):
            raise ValueError(
                f"widths and expansions have one entry for each stage, not {len(self.widths)} and "
                f"{len(self.expansions)}"
            )
        if min(self.expansions) < 1:
            raise ValueError("expansions are at least 1")
        return self


class MobileNetV2Settings(InvertedSettings):
    """MobileNetV2 for large images."""

    name: Literal["mobilenet_v2"] = "mobilenet_v2"


class MobileNetV2CifarSettings(InvertedSettings):
    """MobileNetV2 for small images (kuangliu/pytorch-cifar's layout)."""

    name: Literal["mobilenet_v2_cifar"] = "mobilenet_v2_cifar"
    strides: tuple[int, ...] = Field(
        (1, 1, 2, 2, 1, 2, 1), description="stride of the first block of each stage (s)"
    )
    init_weights: InitWeights = Field(
        "torch", description="how weights are drawn: as pytorch-cifar does, or as torchvision does"
    )


class MobileNetV2OneWeightSettings(InvertedSettings):
    """MobileNetV2 for small images as OneWeight has it: it shrinks them twice."""

    name: Literal["mobilenet_v2_oneweight"] = "mobilenet_v2_oneweight"
    strides: tuple[int, ...] = Field(
        (1, 1, 1, 1, 2, 1, 1), description="stride of the first block of each stage (s)"
    )


class InvResNetSettings(InvertedSettings):
    """OneWeight's Inv-ResNet26: ResNet-26's stages, of inverted residuals."""

    name: Literal["inv_resnet26"] = "inv_resnet26"
    widths: tuple[int, ...] = Field((16, 32, 64), description="channels of each stage")
    depths: tuple[int, ...] = Field((4, 4, 4), description="blocks of each stage")
    expansions: tuple[int, ...] = Field(
        (6, 6, 6), description="widening inside the blocks of each stage"
    )
    strides: tuple[int, ...] = Field(
        (1, 2, 2), description="stride of the first block of each stage"
    )
    stem_width: int = Field(
        16, ge=1, le=MOST_CHANNELS, description="channels of the first convolution"
    )
    head_width: int = Field(
        0, ge=0, le=MOST_CHANNELS, description="channels of the last convolution; 0: there is none"
    )
    init_weights: InitWeights = Field(
        "torch", description="how weights are drawn: torch's own default, or as torchvision does"
    )


M = TypeVar("M", bound=MobileNetSettings)


class MobileNet(StagedNetwork[M]):
    """Stages of blocks with depth-wise convolutions.

    scales_ends: the width multiplier acts on the first and the last convolution too.
    """

    stem_stride: ClassVar[int] = 2
    scales_ends: ClassVar[bool] = False

    def stem_conv(self, settings: M, layers: LayerFactory) -> nn.Conv2d:
        """Return the first convolution."""
        width = self.end_width(settings.stem_width, settings)
        return layers.stem(width, 3, stride=self.stem_stride)

    def end_width(self, channels: int, settings: M) -> int:
        """Return the channels of the first or the last convolution."""
        return settings.scaled(channels) if self.scales_ends else channels

    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the blocks in order, each with its name."""
        for name, block in self.get_submodule("layers").named_children():
            yield f"layers.{name}", block


class MobileNetV1(MobileNet[MobileNetV1Settings]):
    """Separable convolutions alone."""

    Settings = MobileNetV1Settings

    def add_blocks(self, channels: int, settings: MobileNetV1Settings, layers: LayerFactory) -> int:
        """Add the stages and return the channels of the last one."""
        self.layers = nn.ModuleList()
        for width, depth, first in zip(
            settings.widths, settings.depths, settings.strides, strict=True
        ):
            for stride in (first, *(1,) * (depth - 1)):
                shape = BlockShape(channels, channels, settings.scaled(width), stride)
                self.layers.append(SeparableBlock(shape, layers, signed=False, residual=False))
                channels = shape.out_channels
        return channels


class InvertedNetwork(MobileNet[InvertedSettings]):
    """Stages of inverted residuals, and a 1x1 convolution.

    The latter is quantized but stands outside the blocks: it is never swapped.

    converts: blocks of stride 1 whose channels change have a convolution as shortcut, and blocks
        without expansion an expanding convolution nevertheless.
    """

    converts: ClassVar[bool] = False

    def add_blocks(self, channels: int, settings: InvertedSettings, layers: LayerFactory) -> int:
        """Add the stages and the last convolution, and return the channels behind them."""
        self.layers = nn.ModuleList()
        for width, depth, expansion, first in zip(
            settings.widths, settings.depths, settings.expansions, settings.strides, strict=True
        ):
            for stride in (first, *(1,) * (depth - 1)):
                shape = BlockShape(channels, channels * expansion, settings.scaled(width), stride)
                self.layers.append(self._block(shape, layers))
                channels = shape.out_channels
        if not settings.head_width:
            return channels
        last = self.end_width(settings.head_width, settings)
        self.outside = ("conv2",)
        self.act2 = layers.activation(signed=True)
        self.conv2 = layers.conv(channels, last, 1)
        self.bn2 = layers.norm(last)
        return last

    def _block(self, shape: BlockShape, layers: LayerFactory) -> nn.Module:
        signed = len(self.layers) > 0
        if shape.width == shape.in_channels and not self.converts:
            return SeparableBlock(shape, layers, signed=signed, residual=True)
        return InvertedResidual(shape, layers, signed=signed, converts=self.converts)

    @property
    def signed_features(self) -> bool:
        """Whether the features that are pooled are signed: projections, without a ReLU."""
        return not self.outside

    def end(self, features: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """Compute the last convolution, if there is one."""
        if not self.outside:
            return features
        (last,) = at
        return F.relu(normalized(self.conv2, self.bn2, self.act2(features, last), last))


class MobileNetV2(InvertedNetwork):
    """MobileNetV2 for large images; loads torchvision's weights."""

    Settings = MobileNetV2Settings

    def own_name(self, name: str) -> str:
        """Return what is called `name` in torchvision's MobileNetV2, behind any prefix.

        features.0 is the stem, features.<n> block n - 1, the one behind all blocks the last
        convolution. In a block conv.<k>.0 is a convolution and conv.<k>.1 its batch norm, but for
        the block's last ones, which are conv.<k> and conv.<k + 1>.
        """
        return _CLASSIFIER.sub("fc.", _FEATURE.sub(self._own_feature, name))

    def _own_feature(self, found: re.Match[str]) -> str:
        feature, first, second = int(found[1]), int(found[2]), found[3]
        if feature in (0, len(self.layers) + 1):
            return f"{'bn' if first else 'conv'}{1 if feature == 0 else 2}."
        if feature > len(self.layers):
            return found[0]
        last = len(self.layers[feature - 1].main) - 1  # type: ignore[arg-type]
        is_norm = second == "1" or (second is None and first > last)
        return f"layers.{feature - 1}.{'bn' if is_norm else 'conv'}{min(first, last) + 1}."


class MobileNetV2Cifar(InvertedNetwork):
    """MobileNetV2 for small images, shrunk three times."""

    Settings = MobileNetV2CifarSettings
    stem_stride, scales_ends, converts = 1, True, True


class MobileNetV2OneWeight(InvertedNetwork):
    """MobileNetV2 for small images, shrunk twice: by the stem and in the fifth stage."""

    Settings = MobileNetV2OneWeightSettings
    scales_ends = True


class InvResNet(InvertedNetwork):
    """Inverted residuals in the stages of a ResNet for small images."""

    Settings = InvResNetSettings
    stem_stride, scales_ends = 1, True
