"""Convolution whose weights are quantized at the precision of the call."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels import Kernel, exact
from models.layers.backward import used_by
from models.layers.integer import Affine, IntegerWeight, convolve, with_gradient
from models.precision import FLOAT, LayerPrecision, Precision
from models.quantized import Activations, Codes, values_of
from models.quantizers.base import Levels, WeightQuantizer

FEW_PRODUCTS = 576
"""Those of a 3x3 convolution over 64 channels."""


class QuantizedConv2d(nn.Conv2d):
    """nn.Conv2d without bias over square kernels, padded to keep the size at stride 1.

    kernel: multiplies codes, where the inputs are codes and the convolution is not depth-wise.
    dtype: of convolutions of values, and of backward passes.
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
        self.kernel: Kernel | None = None
        self.dtype = torch.float32
        self.quantizer = quantizer

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become what was copied or saved, with its kernel if that is exact on this processor."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self.kernel is not None and not exact(self.kernel, self.weight.device):
            self.kernel = None

    def start_quantizer(self) -> None:
        """Initialize the quantizer's parameters from the present weight."""
        self.quantizer.start(self.weight)

    def weight_at(self, bits: int) -> Tensor:
        """Return the weight at `bits`, differentiable."""
        if bits == FLOAT:
            return self.quantizer.float_weight(self.weight)
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

    def forward(self, inputs: Activations, at: LayerPrecision) -> Tensor:  # type: ignore[override]
        """Convolve (batch, channels, height, width) with the weight of the precision."""
        bits = at.own.weights
        if not isinstance(inputs, Codes) or bits == FLOAT:
            return self._convolve_values(values_of(inputs), self.weight_at(bits))
        levels = self.levels(bits)
        output = self.output(inputs, bits, levels)
        weight = self.quantizer.stand_in(self.weight, bits)
        return with_gradient(output, self, inputs, weight, levels, self.dtype)

    def cheap(self, at: LayerPrecision) -> bool:
        """Return whether `output` costs less than to keep it: sums of few products of codes."""
        return at.own.weights != FLOAT and self.weight[0].numel() <= FEW_PRODUCTS

    @torch.no_grad()
    def output(self, inputs: Codes, bits: int, levels: Levels) -> Tensor:
        """Return conv(inputs) with the weight's levels at `bits`, without gradient.

        The packed weight is not kept: in training it is used once or twice.
        """
        kernel = self._multiplier
        if kernel is None:
            values = levels.values(torch.float32)
            output: Tensor = self._conv_forward(inputs.values(), values, None)
            return output
        weight = IntegerWeight.of(levels, Precision(bits, inputs.bits), self, kernel)
        return convolve(self, inputs, weight, kernel)

    def followed(self, inputs: Codes, at: LayerPrecision, after: Affine) -> Tensor:
        """Return scale * conv(inputs) + shift, without gradient."""
        bits, kernel = at.own.weights, self._multiplier
        if bits == FLOAT or kernel is None:
            return after(self(inputs, at))
        both = Precision(bits, inputs.bits)

        def pack() -> IntegerWeight:
            return IntegerWeight.of(self.levels(bits), both, self, kernel)

        weight = self.quantizer.derived(self.weight, (both, kernel), pack)
        return convolve(self, inputs, weight, kernel, after)

    def in_integers(self, at: Precision) -> bool:
        """Return whether codes are convolved as integers at a precision."""
        return FLOAT not in at and self._multiplier is not None

    @property
    def _multiplier(self) -> Kernel | None:
        """What multiplies codes as integers, None in floats: as fast where it is depth-wise."""
        return None if self.groups == self.in_channels > 1 else self.kernel

    def _convolve_values(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """Convolve values, rounded to a smaller type as in mixed precision."""
        dtype = inputs.dtype if inputs.dtype == torch.float64 else self.dtype
        used, stride = used_by(self, inputs)
        given = used.to(dtype), weight.to(dtype), None
        output: Tensor = F.conv2d(*given, stride, self.padding, self.dilation, self.groups)
        return output.to(inputs.dtype)


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
