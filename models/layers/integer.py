"""A convolution of codes: forward in whole numbers, backward in floats.

With x = s q + z and W = a k' + c, where k' = k - 2^(b-1) is a signed code of b bits:

    conv(x, W) = s P(q) + z P(1)        P(q) = a conv(q, k') + c conv(q, 1)

conv(q, 1) is the sum over a window and the channels of a group, one channel for each group. z P(1)
is one image, and only there for signed activations; padding is the value 0, and counts in neither.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.kernels import Kernel, Packed
from models.layers.backward import gradients
from models.precision import Precision
from models.quantized import Codes, decoded
from models.quantizers.base import Levels


@dataclass(frozen=True)
class Affine:
    """What follows a convolution, filter by filter: scale * output + shift, each (filters,)."""

    scale: Tensor
    shift: Tensor

    def __call__(self, output: Tensor) -> Tensor:
        """Return what follows an output (batch, filters, height, width)."""
        return output * self.scale[:, None, None] + self.shift[:, None, None]


@dataclass(frozen=True)
class IntegerWeight:
    """A weight as its kernel wants it: gain a and offset c of each filter, each (filters,).

    window: one filter of ones for each group.
    """

    packed: Packed
    window: Packed
    gain: Tensor
    offset: Tensor

    @classmethod
    def of(cls, levels: Levels, at: Precision, conv: nn.Conv2d, kernel: Kernel) -> "IntegerWeight":
        """Center the codes of a weight around 0 and pack them."""
        half = 2 ** (at.weights - 1)
        centered = (levels.codes - half).view(torch.int8)  # bytes wrap around
        gain, offset = levels.gain, levels.offset + levels.gain * half
        by_filter = (value.float().flatten().expand(conv.out_channels) for value in (gain, offset))
        ones = torch.ones_like(centered[: conv.groups])
        window = kernel.pack(ones, conv, Precision(1, at.activations))
        return cls(kernel.pack(centered, conv, at), window, *by_filter)


def convolve(
    conv: nn.Conv2d,
    inputs: Codes,
    weight: IntegerWeight,
    kernel: Kernel,
    after: Affine | None = None,
) -> Tensor:
    """Return conv(x, W), or what follows it: float32 (batch, filters, height, width)."""
    scale = inputs.step if after is None else inputs.step * after.scale
    shift = None if after is None else after.shift
    output = _products(conv, inputs.codes, weight, kernel, scale, shift)
    if inputs.offset is not None:
        scale = inputs.offset if after is None else inputs.offset * after.scale
        ones = torch.ones_like(inputs.codes[:1])
        output += _products(conv, ones, weight, kernel, scale, None)
    return output


def _products(
    conv: nn.Conv2d,
    codes: Tensor,
    weight: IntegerWeight,
    kernel: Kernel,
    scale: Tensor,
    shift: Tensor | None,
) -> Tensor:
    """Return scale * P(codes) + shift."""
    output = kernel.convolve(codes, weight.packed, scale * weight.gain, shift)
    sums = kernel.convolve(codes, weight.window, scale.new_ones(conv.groups), None)
    by_group = output.view(
        len(output), conv.groups, conv.out_channels // conv.groups, *output.shape[2:]
    )
    by_group.addcmul_(sums[:, :, None], (scale * weight.offset).view(conv.groups, -1, 1, 1))
    return output


def with_gradient(
    output: Tensor,
    conv: nn.Conv2d,
    inputs: Codes,
    weight: Tensor,
    levels: Levels,
    dtype: torch.dtype,
) -> Tensor:
    """Give the convolution of codes the gradients of the same convolution of their values.

    weight: the stand-in for `levels`. dtype: in which the gradients are computed.
    """
    result: Tensor = _WithGradient.apply(  # type: ignore[no-untyped-call]
        inputs.stand_in, weight, output, conv, inputs, levels, dtype
    )
    return result


class _WithGradient(torch.autograd.Function):
    """What is kept for the backward are codes; their values are made again there."""

    @staticmethod
    def forward(
        ctx: Any,
        _inputs: Tensor,
        _weight: Tensor,
        output: Tensor,
        conv: nn.Conv2d,
        codes: Codes,
        levels: Levels,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.save_for_backward(
            codes.codes, codes.step, codes.offset, levels.codes, levels.gain, levels.offset
        )
        ctx.conv, ctx.dtype = conv, dtype
        return output.detach()  # a view as itself could get other strides

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        codes, step, offset, *of_weight = ctx.saved_tensors
        dtype = ctx.dtype
        both = gradients(
            ctx.conv,
            grads[0].to(dtype),
            codes,
            lambda used: decoded(used, step, offset).to(dtype),
            lambda: Levels(*of_weight).values(torch.float32).to(dtype),
            ctx.needs_input_grad[:2],
        )
        in_float32 = (None if grad is None else grad.float() for grad in both)
        return (*in_float32, None, None, None, None, None)
