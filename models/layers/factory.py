"""Make the layers of one network, all with the same quantizers, precisions and layout."""

from dataclasses import dataclass

from torch import nn

from models.layers.conv import QuantizedConv2d
from models.layers.layout import Layout
from models.layers.norm import (
    SharedBatchNorm2d,
    SwitchableBatchNorm2d,
    TransitionalBatchNorm2d,
)
from models.precision import FLOAT, Precision
from models.quantizers import ACTIVATION_QUANTIZERS, WEIGHT_QUANTIZERS
from models.quantizers.base import ActivationQuantizer, WeightQuantizer
from models.quantizers.pact import SHARED
from models.quantizers.settings import QuantizerSettings
from models.table import resolve

NORMS = {
    "shared": lambda channels, _: SharedBatchNorm2d(channels),
    "switchable": SwitchableBatchNorm2d,
    "transitional": TransitionalBatchNorm2d,
}


@dataclass(frozen=True)
class LayerFactory:
    """What every layer of a network has in common.

    code_bits: bit-width of the stored weight codes (b1), at least the highest of the weights.

    Raises ValueError for no precision at all, or one above code_bits.
    """

    settings: QuantizerSettings
    precisions: tuple[Precision, ...]
    layout: Layout
    code_bits: int

    def __post_init__(self) -> None:
        if not self.precisions:
            raise ValueError("a network needs at least one precision")
        highest = max((*self._weight_bits, 1))
        if not highest <= self.code_bits <= 8:
            raise ValueError(f"{highest}-bit weights do not fit {self.code_bits}-bit codes")

    @property
    def _weight_bits(self) -> tuple[int, ...]:
        """The bit-widths of quantized weights, each once."""
        return tuple(dict.fromkeys(p.weights for p in self.precisions if p.weights != FLOAT))

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
    ) -> QuantizedConv2d:
        """A convolution with quantized weights."""
        chosen: type[WeightQuantizer] = resolve(WEIGHT_QUANTIZERS, self.settings.weights.name)
        return QuantizedConv2d(
            in_channels,
            out_channels,
            kernel_size,
            quantizer=chosen(self.settings.weights, self._weight_bits, self.code_bits),
            stride=stride,
            groups=groups,
        )

    def norm(self, channels: int) -> nn.Module:
        """Batch norm after a quantized convolution, as the layout says."""
        norm: nn.Module = NORMS[self.layout.norm](channels, self.precisions)
        return norm

    def stem_norm(self, channels: int, *, shared: bool) -> nn.Module:
        """Batch norm after the first convolution, whose input is the same at all precisions."""
        return SharedBatchNorm2d(channels) if shared else self.norm(channels)

    def activation(self, *, signed: bool = False) -> ActivationQuantizer:
        """A quantizer of activations; signed if its input is not the output of a ReLU."""
        chosen = resolve(ACTIVATION_QUANTIZERS, self.settings.activations.name)
        quantized = [p.label for p in self.precisions if p.activations != FLOAT]
        names = [SHARED] if quantized and self.layout.clip == "shared" else quantized
        quantizer: ActivationQuantizer = chosen(self.settings.activations, names, signed=signed)
        return quantizer
