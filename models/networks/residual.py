"""Stages of residual blocks behind a stem, for large images and for small ones (He et al.)."""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from models.layers.factory import LayerFactory
from models.networks.settings import NetworkSettings
from models.networks.staged import S, StagedNetwork


class BottleneckSettings(NetworkSettings):
    """Stages of bottlenecks, whose outputs are four times as wide as their 3x3 convolutions."""

    widths: tuple[int, ...] = Field(
        (64, 128, 256, 512), description="channels of each stage, a quarter of its output's"
    )
    depths: tuple[int, ...] = Field((3, 4, 6, 3), description="blocks of each stage")
    width_of: Literal["inner", "all"] = Field(
        "inner",
        description="what `width` multiplies: channels inside the bottlenecks alone (OneWeight), "
        "or the stages' outputs too",
    )

    def channels(self, width: int) -> tuple[int, int]:
        """Return the channels inside and behind the bottlenecks of a stage."""
        inner = self.scaled(width)
        return inner, 4 * (width if self.width_of == "inner" else inner)


class BlockShape(NamedTuple):
    """The channels of a block, `width` being those inside a bottleneck, and its stride."""

    in_channels: int
    width: int
    out_channels: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Whether the output can be added to the input as it is."""
        return self.stride == 1 and self.in_channels == self.out_channels


class ResidualNetwork(StagedNetwork[S]):
    """A 7x7 stem with a pool, then stages called layer1, layer2, ...; each but the first strides.

    The stem keeps the channels that it has for the first stage at width 1. block: called with the
    shape, the settings and the factory of layers; where stages differ, `make_block` is replaced.
    """

    block: ClassVar[type[nn.Module]]

    def stem_conv(self, settings: S, layers: LayerFactory) -> nn.Conv2d:
        """Return the first convolution."""
        return layers.stem(settings.widths[0], 7, stride=2)

    def stem_pool(self) -> nn.Module:
        """Return what follows the stem."""
        return nn.MaxPool2d(3, stride=2, padding=1)

    def make_block(
        self, stage: int, shape: BlockShape, settings: S, layers: LayerFactory
    ) -> nn.Module:
        """Return a block of a stage, counted from 0; those of all stages are alike."""
        return self.block(shape, settings, layers)

    def add_blocks(self, channels: int, settings: S, layers: LayerFactory) -> int:
        """Add the stages and return the channels of the last one."""
        self.maxpool = self.stem_pool()
        self.stages: list[str] = []
        for index, (width, depth) in enumerate(zip(settings.widths, settings.depths, strict=True)):
            inner, out = settings.channels(width)
            stage = nn.Sequential()
            for stride in (1 if index == 0 else 2, *(1,) * (depth - 1)):
                shape = BlockShape(channels, inner, out, stride)
                stage.append(self.make_block(index, shape, settings, layers))
                channels = out
            self.stages.append(f"layer{index + 1}")
            self.add_module(self.stages[-1], stage)
        return channels

    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the blocks in order, each with its name."""
        for stage in self.stages:
            for name, block in self.get_submodule(stage).named_children():
                yield f"{stage}.{name}", block

    def end_stem(self, features: Tensor) -> Tensor:
        """Pool; the ReLU, which may as well follow, belongs to the first quantizer."""
        pooled: Tensor = self.maxpool(features)
        return pooled


class ForSmallImages(ResidualNetwork[S]):
    """A 3x3 stem without pool: images of 32x32 keep their size in the first stage."""

    def stem_conv(self, settings: S, layers: LayerFactory) -> nn.Conv2d:
        """Return the first convolution, as wide as the first stage."""
        return layers.stem(settings.scaled(settings.widths[0]), 3)

    def stem_pool(self) -> nn.Module:
        """Return nothing that does anything."""
        return nn.Identity()
