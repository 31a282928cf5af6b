"""Residual networks in the order of Bit-Mixer and of binary networks: quantize, convolve, PReLU.

A layer is

    batch norm [before][own] -> quantizer -> convolution -> PReLU

and sees signed inputs. The identity, in floats, goes around all layers of a block (Bulat et al.,
Bit-Mixer). Where shapes change, it is an average pool, a quantized 1x1 convolution and batch norm.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, TypeVar

from pydantic import Field
from torch import Tensor, nn

from models.layers.factory import LayerFactory
from models.layers.initialize import InitWeights
from models.layers.shortcut import PooledShortcut
from models.networks.residual import (
    BlockShape,
    BottleneckSettings,
    ForSmallImages,
    ResidualNetwork,
)
from models.networks.settings import NetworkSettings
from models.precision import LayerPrecision


class PreactSettings(NetworkSettings):
    """The settings of all networks in this order."""

    widths: tuple[int, ...] = Field((64, 128, 256, 512), description="channels of each stage")
    depths: tuple[int, ...] = Field((2, 2, 2, 2), description="blocks of each stage")
    activation: Literal["prelu", "relu"] = Field(
        "prelu", description="what follows a convolution: a ReLU with or without learned slopes"
    )


class ResNet18PreactSettings(PreactSettings):
    """ResNet-18 for large images."""

    name: Literal["resnet18_preact"] = "resnet18_preact"


class ResNet18PreactCifarSettings(PreactSettings):
    """ResNet-18 for small images."""

    name: Literal["resnet18_preact_cifar"] = "resnet18_preact_cifar"
    init_weights: InitWeights = Field(
        "torch", description="how weights are drawn: as pytorch-cifar does, or as torchvision does"
    )


class ResNet34PreactSettings(PreactSettings):
    """ResNet-34 for large images."""

    name: Literal["resnet34_preact"] = "resnet34_preact"
    depths: tuple[int, ...] = Field((3, 4, 6, 3), description="blocks of each stage")


class ResNet50PreactSettings(BottleneckSettings, PreactSettings):
    """ResNet-50 for large images."""

    name: Literal["resnet50_preact"] = "resnet50_preact"


class ConvShape(NamedTuple):
    """A convolution of a block."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    groups: int = 1


class PreactBlock(nn.Module):
    """Layers that quantize first; layer n has bn<n>, act<n>, conv<n> and prelu<n>."""

    main: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        shape: BlockShape,
        convs: Sequence[ConvShape],
        settings: PreactSettings,
        layers: LayerFactory,
    ) -> None:
        super().__init__()
        for number, conv in enumerate(convs, start=1):
            self.add_module(f"bn{number}", layers.norm(conv.in_channels))
            self.add_module(f"act{number}", layers.activation(signed=True))
            self.add_module(f"conv{number}", layers.conv(*conv))
            self.add_module(f"prelu{number}", slope(conv.out_channels, settings))
        self.downsample = (
            None
            if shape.keeps_shape
            else PooledShortcut(shape.in_channels, shape.out_channels, shape.stride, layers)
        )

    @property
    def shortcut_layer(self) -> str | None:
        """The name of the shortcut's convolution, if it has one."""
        return None if self.downsample is None else "downsample.0"

    def run_layer(self, number: int, inputs: Tensor, at: LayerPrecision) -> Tensor:
        """Run one layer, counted from 1."""
        bn, act, conv, prelu = (
            self.get_submodule(f"{part}{number}") for part in ("bn", "act", "conv", "prelu")
        )
        output: Tensor = prelu(conv(act(bn(inputs, at), at), at))
        return output

    def shortcut(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """Return what is added to the residual: (batch, out_channels, height, width)."""
        return inputs if self.downsample is None else self.downsample(inputs, at[-1])

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each layer, and one for the shortcut's, if it has one."""
        output = inputs
        for number, _ in enumerate(self.main, start=1):
            output = self.run_layer(number, output, at[number - 1])
        return output + self.shortcut(inputs, at)


def slope(channels: int, settings: PreactSettings) -> nn.Module:
    """Return what follows a convolution: a PReLU with a slope for each channel, or a ReLU."""
    return nn.PReLU(channels) if settings.activation == "prelu" else nn.ReLU()


class PreactBasicBlock(PreactBlock):
    """Two 3x3 convolutions."""

    main = ("conv1", "conv2")

    def __init__(self, shape: BlockShape, settings: PreactSettings, layers: LayerFactory) -> None:
        ins, out = shape.in_channels, shape.out_channels
        convs = [ConvShape(ins, out, 3, shape.stride), ConvShape(out, out, 3)]
        super().__init__(shape, convs, settings, layers)


class PreactBottleneck(PreactBlock):
    """A 1x1, a strided 3x3 and a widening 1x1 convolution."""

    main = ("conv1", "conv2", "conv3")

    def __init__(self, shape: BlockShape, settings: PreactSettings, layers: LayerFactory) -> None:
        width = shape.width
        convs = [
            ConvShape(shape.in_channels, width, 1),
            ConvShape(width, width, 3, shape.stride),
            ConvShape(width, shape.out_channels, 1),
        ]
        super().__init__(shape, convs, settings, layers)


P = TypeVar("P", bound=PreactSettings)


class PreactNetwork(ResidualNetwork[P]):
    """A stem that ends in a PReLU, and stages of such blocks, whose last sum is pooled as it is."""

    def add_blocks(self, channels: int, settings: P, layers: LayerFactory) -> int:
        """Add the stem's PReLU and the stages; return the channels of the last one."""
        self.prelu = slope(channels, settings)
        return super().add_blocks(channels, settings, layers)

    @property
    def signed_features(self) -> bool:
        """Whether the features that are pooled are signed: sums, without a ReLU."""
        return True

    def end_stem(self, features: Tensor) -> Tensor:
        """Apply the PReLU, and pool."""
        return super().end_stem(self.prelu(features))

    def end(self, features: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """Nothing: the last PReLU is behind them."""
        return features


class ResNet18Preact(PreactNetwork[PreactSettings]):
    """ResNet-18: two blocks in each of four stages."""

    Settings = ResNet18PreactSettings
    block = PreactBasicBlock


class ResNet18PreactCifar(ForSmallImages[PreactSettings], PreactNetwork[PreactSettings]):
    """ResNet-18 that keeps 32x32 images at full size in its first stage."""

    Settings = ResNet18PreactCifarSettings
    block = PreactBasicBlock


class ResNet34Preact(PreactNetwork[PreactSettings]):
    """ResNet-34: 3, 4, 6 and 3 blocks."""

    Settings = ResNet34PreactSettings
    block = PreactBasicBlock


class ResNet50Preact(PreactNetwork[PreactSettings]):
    """ResNet-50: 3, 4, 6 and 3 bottlenecks."""

    Settings = ResNet50PreactSettings
    block = PreactBottleneck
