"""Convolution whose weights are quantized at the bit-width of the call."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    code_dtype: the type in which codes are multiplied and added, None for the values themselves.
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
        self.code_dtype: torch.dtype | None = None
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

    def forward(self, inputs: Tensor, bits: int, step: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve quantized (batch, channels, height, width) with the weight at `bits`.

        step: of which the inputs are whole multiples.
        """
        weight = self.quantized_weight().fake_quantize(self.weight, bits)
        if self.code_dtype is not None:
            return self._convolve_codes(inputs, weight, bits, step, self.code_dtype)
        output: Tensor = self._conv_forward(inputs, weight, None)
        return output

    def _convolve_codes(
        self, inputs: Tensor, weight: Tensor, bits: int, step: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """Convolve whole numbers that `dtype` holds exactly; scale and offset come afterwards.

        With x = step q and W = gain m + offset,  conv(x, W) = step (gain conv(q, m) + offset
        conv(q, 1)). m = 2k - n, the weight's code k centered, lies in [-255, 255]; its offset is
        near zero, so that hardly anything cancels. The gradients are those of conv(x, W): gain,
        offset and step are constants. Only the sums are rounded to `dtype`.
        """
        gain, offset = self._centered(bits, inputs.dtype)
        codes = _whole(inputs / step)
        centered = _whole((weight - offset) / gain)
        products = self._conv_forward(codes.to(dtype), centered.to(dtype), None)
        total: Tensor = gain * products.to(inputs.dtype) + offset * self._window_sums(codes)
        return step * total

    def _centered(self, bits: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        gain, offset = self.quantized_weight().affine(bits)
        return (gain / 2).to(dtype), (offset + gain * (2**bits - 1) / 2).to(dtype)

    def _window_sums(self, codes: Tensor) -> Tensor:
        """Return conv(codes, ones): for each group the sum over the window, repeated per filter."""
        by_group = codes.reshape(len(codes), self.groups, -1, *codes.shape[2:]).sum(dim=2)
        size, padding = self.kernel_size[0], int(self.padding[0])
        sums = F.avg_pool2d(by_group, size, self.stride[0], padding, divisor_override=1)
        return sums.repeat_interleave(self.out_channels // self.groups, dim=1)


class FloatConv2d(QuantizedConv2d):
    """The same convolution in a float network: the weight as it is, in mixed precision rounded."""

    def forward(self, inputs: Tensor, bits: int, step: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve (batch, channels, height, width)."""
        dtype = self.code_dtype or inputs.dtype
        output: Tensor = self._conv_forward(inputs.to(dtype), self.weight.to(dtype), None)
        return output.to(inputs.dtype)


def _whole(values: Tensor) -> Tensor:
    """Take off what the arithmetic left beside whole numbers; the gradient passes."""
    return values + (values.round() - values).detach()
