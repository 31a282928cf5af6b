"""Convolution whose weights are quantized at the precision of the call."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import FLOAT, LayerPrecision
from models.quantizers.base import Levels, WeightQuantizer


class QuantizedConv2d(nn.Conv2d):
    """nn.Conv2d without bias over square kernels, padded to keep the size at stride 1.

    code_dtype: the type in which codes are multiplied and added, None for the values themselves.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        quantizer: WeightQuantizer,
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
        self.code_dtype: torch.dtype | None = None
        self.quantizer = quantizer

    def start_quantizer(self) -> None:
        """Initialize the quantizer's parameters from the present weight."""
        self.quantizer.start(self.weight)

    def weight_at(self, bits: int) -> Tensor:
        """Return the weight at `bits`, differentiable."""
        if bits == FLOAT:
            return self.weight
        weight: Tensor = self.quantizer(self.weight, bits)
        return weight

    def levels(self, bits: int) -> Levels:
        """Return the weight at `bits` as integers."""
        return self.quantizer.levels(self.weight, bits)

    def weight_distance(self, teacher: int, student: int) -> Tensor:
        """Return mean|W_teacher - W_student|, 0-dim, float64, without gradient."""
        if FLOAT in (teacher, student):
            gap = self.weight_at(teacher).detach().double() - self.weight_at(student).double()
            return gap.detach().abs().mean()
        return self.quantizer.distance(self.weight, teacher, student)

    def forward(  # type: ignore[override]
        self, inputs: Tensor, at: LayerPrecision, step: Tensor | None
    ) -> Tensor:
        """Convolve quantized (batch, channels, height, width) with the weight of the precision.

        step: of which the inputs are whole multiples, None for float activations.
        """
        weight = self.weight_at(at.own.weights)
        if self.code_dtype is None:
            output: Tensor = self._conv_forward(inputs, weight, None)
            return output
        if step is None or at.own.weights == FLOAT:
            return self._convolve_values(inputs, weight, self.code_dtype)
        return self._convolve_codes(inputs, weight, at.own.weights, step, self.code_dtype)

    def _convolve_values(self, inputs: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """Convolve unquantized inputs, rounded to `dtype` as in mixed precision."""
        output: Tensor = self._conv_forward(inputs.to(dtype), weight.to(dtype), None)
        return output.to(inputs.dtype)

    def _convolve_codes(
        self, inputs: Tensor, weight: Tensor, bits: int, step: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """Convolve whole numbers that `dtype` holds exactly; scale and offset come afterwards.

        With x = step q and W = gain m + offset,  conv(x, W) = step (gain conv(q, m) + offset
        conv(q, 1)). m = 2k - n, the weight's code k centered, lies in [-255, 255]; its offset is
        near zero, so there is little cancellation. The gradients are those of conv(x, W): gain,
        offset and step are constants. Only the sums are rounded to `dtype`.
        """
        gain, offset = self._centered(bits, inputs.dtype)
        codes = _whole(inputs / step)
        centered = _whole((weight - offset) / gain)
        products = self._conv_forward(codes.to(dtype), centered.to(dtype), None)
        sums = _by_filter(offset) * self._window_sums(codes)
        total: Tensor = _by_filter(gain) * products.to(inputs.dtype) + sums
        return step * total

    def _centered(self, bits: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        levels = self.levels(bits)
        gain, offset = levels.gain, levels.offset
        return (gain / 2).to(dtype), (offset + gain * (2**bits - 1) / 2).to(dtype)

    def _window_sums(self, codes: Tensor) -> Tensor:
        """Return conv(codes, ones): for each group the sum over the window, repeated per filter."""
        by_group = codes.reshape(len(codes), self.groups, -1, *codes.shape[2:]).sum(dim=2)
        size, padding = self.kernel_size[0], int(self.padding[0])
        sums = F.avg_pool2d(by_group, size, self.stride[0], padding, divisor_override=1)
        return sums.repeat_interleave(self.out_channels // self.groups, dim=1)


class StemConv2d(QuantizedConv2d):
    """A network's first convolution, its weights at the same bit-width at every operating point."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: int,
        *,
        quantizer: WeightQuantizer,
        bits: int,
        stride: int = 1,
    ) -> None:
        super().__init__(3, out_channels, kernel_size, quantizer=quantizer, stride=stride)
        self.bits = bits

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve images (batch, 3, height, width), which are not quantized."""
        output: Tensor = self._conv_forward(inputs, self.weight_at(self.bits), None)
        return output


def _by_filter(value: Tensor) -> Tensor:
    """Reshape one value, or one for each filter, to the channels of an output."""
    return value.reshape(-1, 1, 1)


def _whole(values: Tensor) -> Tensor:
    """Round away what the arithmetic added to whole numbers; the gradient passes."""
    return values + (values.round() - values).detach()
