"""VGG11 for small images, and OneWeight's variants with depth-wise convolutions.

Simonyan and Zisserman, Very Deep Convolutional Networks; batch norm behind every convolution, one
linear layer.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from models.layers.factory import LayerFactory
from models.layers.initialize import InitWeights
from models.layers.normalized import normalized
from models.networks.settings import NetworkSettings
from models.networks.staged import StagedNetwork
from models.precision import LayerPrecision

REPLACED = {"full": 0, "a": 1, "b": 4, "c": 7}
"""How many 3x3 convolutions behind the first one a variant replaces, the first ones."""


class Vgg11Settings(NetworkSettings):
    """VGG11 for small images."""

    name: Literal["vgg11"] = "vgg11"
    widths: tuple[int, ...] = Field((64, 128, 256, 512, 512), description="channels of each stage")
    depths: tuple[int, ...] = Field((1, 1, 2, 2, 2), description="convolutions of each stage")
    variant: Literal["full", "a", "b", "c"] = Field(
        "full",
        description="how many 3x3 convolutions are replaced by a 1x1 and a depth-wise 3x3 one: "
        "none; a: the second; b: the second to the fifth; c: all but the first (OneWeight)",
    )
    init_weights: InitWeights = Field(
        "torch", description="how weights are drawn: torch's own default, or as torchvision does"
    )


class PlainBlock(nn.Module):
    """A 3x3 convolution; what follows applies the ReLU, which may as well come after the pool."""

    main: tuple[str, ...] = ("conv1",)
    shortcut_layer = None

    def __init__(
        self, in_channels: int, out_channels: int, pool: nn.Module, layers: LayerFactory
    ) -> None:
        super().__init__()
        self.act1 = layers.activation()
        self.conv1 = layers.conv(in_channels, out_channels, 3)
        self.bn1 = layers.norm(out_channels)
        self.pool = pool

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for the only layer."""
        (own,) = at
        output: Tensor = self.pool(normalized(self.conv1, self.bn1, self.act1(inputs, own), own))
        return output


class SplitBlock(nn.Module):
    """A 1x1 convolution and a depth-wise 3x3 one, in place of one for all channels."""

    main = ("conv1", "conv2")
    shortcut_layer = None

    def __init__(
        self, in_channels: int, out_channels: int, pool: nn.Module, layers: LayerFactory
    ) -> None:
        super().__init__()
        self.act1 = layers.activation()
        self.conv1 = layers.conv(in_channels, out_channels, 1)
        self.bn1 = layers.norm(out_channels)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(out_channels, out_channels, 3, groups=out_channels)
        self.bn2 = layers.norm(out_channels)
        self.pool = pool

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each of the two layers."""
        first, second = at
        output = normalized(self.conv1, self.bn1, self.act1(inputs, first), first)
        output = normalized(self.conv2, self.bn2, self.act2(output, second), second)
        pooled: Tensor = self.pool(output)
        return pooled


class Vgg11(StagedNetwork[Vgg11Settings]):
    """Eight convolutions; a pool of stride 2 behind the last one of each stage."""

    Settings = Vgg11Settings

    def stem_conv(self, settings: Vgg11Settings, layers: LayerFactory) -> nn.Conv2d:
        """Return the first convolution, which belongs to the first stage."""
        return layers.stem(settings.scaled(settings.widths[0]), 3)

    def add_blocks(self, channels: int, settings: Vgg11Settings, layers: LayerFactory) -> int:
        """Add the other convolutions and return the channels of the last one."""
        outs = [
            (settings.scaled(width), number == depth)
            for width, depth in zip(settings.widths, settings.depths, strict=True)
            for number in range(1, depth + 1)
        ]
        (_, ends), *behind = outs
        self.maxpool = _pool(ends=ends)
        self.layers = nn.ModuleList()
        for index, (out, ends) in enumerate(behind):
            block = SplitBlock if index < REPLACED[settings.variant] else PlainBlock
            self.layers.append(block(channels, out, _pool(ends=ends), layers))
            channels = out
        return channels

    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the convolutions behind the first one, each with its name."""
        for name, block in self.layers.named_children():
            yield f"layers.{name}", block

    def end_stem(self, features: Tensor) -> Tensor:
        """Pool, if the first convolution is the only one of its stage."""
        pooled: Tensor = self.maxpool(features)
        return pooled


def _pool(*, ends: bool) -> nn.Module:
    """Return the pool behind a convolution: one that leaves one place of the smallest images."""
    return nn.MaxPool2d(2, ceil_mode=True) if ends else nn.Identity()
