"""Convolution whose weights are quantized at the bit-width of the call."""

import torch
from torch import Tensor, nn

from models.quantizers import WEIGHT_QUANTIZERS
from models.quantizers.base import QuantizedWeight
from models.quantizers.settings import QuantizerSettings
from models.table import resolve


class QuantizedConv2d(nn.Conv2d):
    """nn.Conv2d without bias over square kernels, padded to keep the size at stride 1.

    What the bit-widths share of the weight is computed once for each version of it, however many
    bit-widths and micro-steps use it: a step of the optimizer and load_state_dict write the weight
    in place, which its version counter tells. Three ways of writing hide from it: through
    `weight.data`, by a collective (broadcast), and by an optimizer with fused=True.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        quantizer: QuantizerSettings,
        code_bits: int,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        )
        self._quantizer = quantizer
        self._code_bits = code_bits
        self._shared: QuantizedWeight | None = None
        self._shared_key: tuple[object, ...] = ()

    def quantized_weight(self) -> QuantizedWeight:
        """Return what all bit-widths share of the present weight."""
        weight = self.weight
        key = (id(weight), weight._version, weight.data_ptr(), weight.dtype)
        if self._shared is not None and key == self._shared_key:
            return self._shared
        quantizer: type[QuantizedWeight] = resolve(WEIGHT_QUANTIZERS, self._quantizer.weight_quant)
        # Evaluation may come first under inference mode; training must be able to use the result.
        with torch.inference_mode(mode=False), torch.no_grad():
            shared = quantizer(weight, self._quantizer, self._code_bits)
        self._shared, self._shared_key = shared, key
        return shared

    def weight_distance(self, teacher: int, student: int) -> Tensor:
        """Return mean|W_teacher - W_student|, 0-dim, float64, without gradient."""
        return self.quantized_weight().distance(teacher, student)

    def forward(self, inputs: Tensor, bits: int) -> Tensor:  # type: ignore[override]
        """Convolve (batch, channels, height, width) with the weight at `bits`."""
        weight = self.quantized_weight().fake_quantize(self.weight, bits)
        output: Tensor = self._conv_forward(inputs, weight, None)
        return output
