"""Expert Binary Networks with one expert: wide, grouped, quantized before every convolution.

Bulat et al., High-Capacity Expert Binary Networks, as Bit-Mixer runs them, without the gating of
experts and without squeeze-and-excite.
"""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from models.layers.factory import LayerFactory
from models.networks.preact import ConvShape, PreactBlock, PreactNetwork, PreactSettings
from models.networks.residual import BlockShape
from models.networks.settings import MOST_CHANNELS
from models.precision import LayerPrecision


class EbnSettings(PreactSettings):
    """ResNet-18's plan, twice as wide."""

    name: Literal["ebn"] = "ebn"
    widths: tuple[int, ...] = Field((128, 256, 512, 1024), description="channels of each stage")
    groups: tuple[int, ...] = Field(
        (4, 8, 8, 16), description="groups of the 3x3 convolutions of each stage"
    )
    stem_width: int = Field(
        64, ge=1, le=MOST_CHANNELS, description="channels of the first convolution"
    )

    @model_validator(mode="after")
    def _groups_divide_channels(self) -> Self:
        if len(self.groups) != len(self.widths):
            raise ValueError(
                f"widths and groups have one entry for each stage, not {len(self.widths)} and "
                f"{len(self.groups)}"
            )
        ins = self.stem_width
        for groups, width in zip(self.groups, map(self.scaled, self.widths), strict=True):
            if groups < 1 or ins % groups or width % groups:
                raise ValueError(
                    f"{groups} groups do not divide {ins} channels into a stage and {width} within"
                )
            ins = width
        return self


class EbnBlock(PreactBlock):
    """Two grouped 3x3 convolutions and a 1x1 one that mixes the groups, a skip around each."""

    main = ("conv1", "conv2", "conv3")

    def __init__(
        self, shape: BlockShape, groups: int, settings: EbnSettings, layers: LayerFactory
    ) -> None:
        out = shape.out_channels
        convs = [
            ConvShape(shape.in_channels, out, 3, shape.stride, groups),
            ConvShape(out, out, 3, groups=groups),
            ConvShape(out, out, 1),
        ]
        super().__init__(shape, convs, settings, layers)

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each of the three layers, and one for the first skip's, if it has one."""
        output = self.run_layer(1, inputs, at[0]) + self.shortcut(inputs, at)
        output = self.run_layer(2, output, at[1]) + output
        return self.run_layer(3, output, at[2]) + output


class Ebn(PreactNetwork[EbnSettings]):
    """Two blocks in each of four stages."""

    Settings = EbnSettings

    def stem_conv(self, settings: EbnSettings, layers: LayerFactory) -> nn.Conv2d:
        """Return the first convolution, as wide as ResNet-18's."""
        return layers.stem(settings.stem_width, 7, stride=2)

    def make_block(
        self, stage: int, shape: BlockShape, settings: EbnSettings, layers: LayerFactory
    ) -> nn.Module:
        """Return a block with its stage's groups."""
        return EbnBlock(shape, settings.groups[stage], settings, layers)
