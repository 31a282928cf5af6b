"""Make the layers of one network, all with the same quantizers, precisions and layout."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from models.layers.conv import QuantizedConv2d, StemConv2d
from models.layers.layout import Layout
from models.layers.linear import Head
from models.layers.norm import (
    Norm,
    SharedBatchNorm2d,
    SwitchableBatchNorm2d,
    TransitionalBatchNorm2d,
)
from models.precision import FLOAT, MAX_BITS, Precision
from models.quantizers import ACTIVATION_QUANTIZERS, WEIGHT_QUANTIZERS
from models.quantizers.base import SHARED, ActivationQuantizer, WeightQuantizer
from models.quantizers.settings import QuantizerSettings
from models.table import resolve

NORMS: dict[str, Callable[[int, Sequence[Precision]], Norm]] = {
    "shared": lambda channels, _: SharedBatchNorm2d(channels),
    "switchable": SwitchableBatchNorm2d,
    "transitional": TransitionalBatchNorm2d,
}


@dataclass(frozen=True)
class LayerFactory:
    """What every layer of a network has in common.

    code_bits: bit-width of the stored weight codes (b1), at least the highest of the weights.

    Raises ValueError without any precision, or for one above code_bits.
    """

    settings: QuantizerSettings
    precisions: tuple[Precision, ...]
    layout: Layout
    code_bits: int

    def __post_init__(self) -> None:
        if not self.precisions:
            raise ValueError("a network needs at least one precision")
        for precision in self.precisions:
            Precision.parse(precision.label)
        highest = max((*self._weight_bits, 1))
        if not highest <= self.code_bits <= 8:
            raise ValueError(f"{highest}-bit weights do not fit {self.code_bits}-bit codes")

    @property
    def _weight_bits(self) -> tuple[int, ...]:
        """The bit-widths of quantized weights, each once."""
        return tuple(dict.fromkeys(p.weights for p in self.precisions if p.weights != FLOAT))

    def _own_bits(self, bits: int) -> int:
        """Return a layer's own bit-width, or float in a network in which nothing is quantized."""
        quantized = any(precision != (FLOAT, FLOAT) for precision in self.precisions)
        return bits if quantized else FLOAT

    def _own_quantizer(self, bits: int) -> WeightQuantizer | None:
        """Return the quantizer of the first or the last layer; None where the weight stays."""
        if bits != FLOAT:
            return self._weight_quantizer((bits,), bits)
        if self._weight_kind.changes_float(self.settings.weights):
            return self._weight_quantizer((), MAX_BITS)
        return None

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
    ) -> QuantizedConv2d:
        """A convolution with quantized weights."""
        return QuantizedConv2d(
            in_channels,
            out_channels,
            kernel_size,
            quantizer=self._weight_quantizer(self._weight_bits, self.code_bits),
            stride=stride,
            groups=groups,
        )

    def stem(self, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
        """The first convolution: of images with three channels, in float or at its own bits."""
        bits = self._own_bits(self.settings.stem_bits)
        quantizer = self._own_quantizer(bits)
        if quantizer is None:
            padding = kernel_size // 2
            return nn.Conv2d(3, out_channels, kernel_size, stride, padding, bias=False)
        return StemConv2d(out_channels, kernel_size, quantizer=quantizer, bits=bits, stride=stride)

    def head(self, in_features: int, num_classes: int, *, signed: bool = False) -> Head:
        """The linear layer at the end: in float or at its own bits.

        signed: its inputs are not means of a ReLU's outputs.
        """
        bits = self._own_bits(self.settings.head_bits)
        quantizer = self._own_quantizer(bits)
        act = None if bits == FLOAT else self._activation(of_head=True, signed=signed)
        return Head(in_features, num_classes, bits=bits, quantizer=quantizer, act=act)

    def _weight_quantizer(self, bit_widths: tuple[int, ...], code_bits: int) -> WeightQuantizer:
        return self._weight_kind(self.settings.weights, bit_widths, code_bits)

    @property
    def _weight_kind(self) -> type[WeightQuantizer]:
        kind: type[WeightQuantizer] = resolve(WEIGHT_QUANTIZERS, self.settings.weights.name)
        return kind

    def norm(self, channels: int) -> Norm:
        """Batch norm after a quantized convolution, as the layout says."""
        return NORMS[self.layout.norm](channels, self.precisions)

    def stem_norm(self, channels: int, *, shared: bool) -> Norm:
        """Batch norm after the first convolution, whose input is the same at all precisions."""
        return SharedBatchNorm2d(channels) if shared else self.norm(channels)

    def activation(self, *, signed: bool = False) -> ActivationQuantizer:
        """A quantizer of activations; signed if its input is not the output of a ReLU."""
        return self._activation(of_head=False, signed=signed)

    def _activation(self, *, of_head: bool, signed: bool) -> ActivationQuantizer:
        kind = self.settings.activations.name
        chosen: type[ActivationQuantizer] = resolve(ACTIVATION_QUANTIZERS, kind)
        quantized = [p.label for p in self.precisions if p.activations != FLOAT]
        names = [SHARED] if quantized and self.layout.clip == "shared" else quantized
        settings = self.settings.activations
        own = chosen.head_settings(settings) if of_head else settings
        return chosen(own, names, signed=signed)
