"""Make the layers of one network, all with the same quantizers and bit-widths."""

from dataclasses import dataclass

from torch import nn

from models.bitwidth import FLOAT, check_bit_widths
from models.layers.conv import FloatConv2d, QuantizedConv2d
from models.layers.norm import SharedBatchNorm2d, SwitchableBatchNorm2d
from models.quantizers import ACTIVATION_QUANTIZERS
from models.quantizers.base import ActivationQuantizer, Unquantized
from models.quantizers.settings import QuantizerSettings
from models.table import resolve


@dataclass(frozen=True)
class LayerFactory:
    """What every layer of a network has in common.

    code_bits: bit-width of the stored weight codes (b1), at least the highest of bit_widths.
    clip_init: initial clip level of every layer and bit-width.

    Raises ValueError for bit-widths out of order or above code_bits, or a clip level not above 0.
    """

    settings: QuantizerSettings
    bit_widths: tuple[int, ...]
    code_bits: int
    clip_init: float

    def __post_init__(self) -> None:
        check_bit_widths((self.code_bits,))
        if check_bit_widths(self.bit_widths)[0] > self.code_bits:
            raise ValueError(f"{self.bit_widths[0]} bits do not fit {self.code_bits}-bit codes")
        if self.clip_init <= 0:
            raise ValueError(f"the initial clip level is above 0, not {self.clip_init}")

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
    ) -> QuantizedConv2d:
        """A convolution with quantized weights, or with plain ones in a float network."""
        kind = FloatConv2d if self.is_float else QuantizedConv2d
        return kind(
            in_channels,
            out_channels,
            kernel_size,
            quantizer=self.settings,
            code_bits=self.code_bits,
            stride=stride,
            groups=groups,
        )

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantized."""
        return self.bit_widths == (FLOAT,)

    def norm(self, channels: int) -> SwitchableBatchNorm2d | SharedBatchNorm2d:
        """Batch norm after a quantized convolution: a set for each bit-width, one in float."""
        if self.is_float:
            return SharedBatchNorm2d(channels)
        return SwitchableBatchNorm2d(channels, self.bit_widths)

    def stem_norm(self, channels: int) -> nn.Module:
        """Batch norm after the first convolution, whose input is the same at all bit-widths."""
        if self.settings.stem_bn_shared:
            return SharedBatchNorm2d(channels)
        return self.norm(channels)

    def activation(self, *, signed: bool = False) -> ActivationQuantizer:
        """A quantizer of activations; signed if its input is not the output of a ReLU."""
        if self.is_float:
            return Unquantized(self.settings, (), self.clip_init, signed=signed)
        quantizer: ActivationQuantizer = resolve(ACTIVATION_QUANTIZERS, self.settings.act_quant)(
            self.settings, self.bit_widths, self.clip_init, signed=signed
        )
        return quantizer
