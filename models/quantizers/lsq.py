"""Weights rounded down to multiples of a learned step (Bit-Mixer Eq. 1-2, after LSQ).

    m_b = 2^(b-1) - 1 for b >= 2, m_1 = 1        v = W / alpha_b
    b >= 2    W_b = alpha_b floor(clip(v, -m_b, m_b))
    b = 1     W_b = alpha_b sign(v),  sign(0) = +1

One step alpha_b for each layer and bit-width. As printed, m_1 would be 0 and clip all weights.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from models.precision import FLOAT, Precision
from models.quantized import stand_in_for
from models.quantizers.base import Levels, WeightQuantizer, arithmetic_dtype

SMALLEST_STEP = 1e-6
"""Smallest step used; a step that training makes negative is used without its sign."""


class LsqFloorSettings(BaseModel, frozen=True, extra="forbid"):
    """Bit-Mixer's weight quantizer."""

    name: Literal["lsq_floor"] = "lsq_floor"


class LearnedSteps(nn.ParameterDict):
    """One step (0-dim) for each bit-width, named by it: "4bit"."""

    role: ClassVar[Literal["step"]] = "step"

    def __init__(self, bit_widths: Sequence[int]) -> None:
        super().__init__({f"{bits}bit": nn.Parameter(torch.ones(())) for bits in bit_widths})

    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a step for a precision's weights, with the range alpha m of another one's."""
        name = f"{precision.weights}bit"
        if name not in self and FLOAT not in (precision.weights, source.weights):
            same_range = largest_multiple(source.weights) / largest_multiple(precision.weights)
            step = self[f"{source.weights}bit"].detach() * same_range
            self[name] = nn.Parameter(step)


class LsqFloorWeight(WeightQuantizer):
    """Steps are learned with the weight; they start at 2 mean|W| / sqrt(m_b)."""

    Settings = LsqFloorSettings

    def __init__(self, settings: Any, bit_widths: Sequence[int], code_bits: int) -> None:
        super().__init__(settings, bit_widths, code_bits)
        self.steps = LearnedSteps(bit_widths)

    @torch.no_grad()
    def start(self, weight: Tensor) -> None:
        """Set each step to 2 mean|W| / sqrt(m_b)."""
        for name, step in self.steps.items():
            most = largest_multiple(int(name.removesuffix("bit")))
            step.copy_(2 * weight.abs().mean() / most**0.5)

    def share(self, weight: Tensor) -> None:
        """Nothing: every bit-width has a step of its own."""

    @torch.no_grad()
    def levels(self, weight: Tensor, bits: int) -> Levels:
        """Return floor(clip(v)) + m_b, its gain alpha_b and its offset -alpha_b m_b.

        At one bit the codes are 0 and 1, the gain 2 alpha_b, the offset -alpha_b.
        """
        multiples, step = self._multiples(weight, bits)
        most, gain = largest_multiple(bits), step.double()
        if bits == 1:
            return Levels(((multiples + 1) / 2).to(torch.uint8), 2 * gain, -gain)
        return Levels((multiples + most).to(torch.uint8), gain, -gain * most)

    def forward(self, weight: Tensor, bits: int) -> Tensor:
        """Return W_b with Bit-Mixer's gradients for the weight and for the step."""
        with torch.no_grad():
            multiples, step = self._multiples(weight, bits)
        return self._attach(multiples * step, weight, bits)

    def stand_in(self, weight: Tensor, bits: int) -> Tensor:
        """Return a tensor without memory, with the gradient of `forward`."""
        return self._attach(stand_in_for(weight), weight, bits)

    def _attach(self, values: Tensor, weight: Tensor, bits: int) -> Tensor:
        """Return values with Bit-Mixer's gradients for the weight and for the step."""
        output: Tensor = _LearnedStep.apply(  # type: ignore[no-untyped-call]
            weight, self.steps[f"{bits}bit"], values, bits
        )
        return output

    def _multiples(self, weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
        """Return W_b / alpha_b, whole numbers, and the step alpha_b that is used."""
        values = weight.detach().to(arithmetic_dtype(weight))
        step = used_step(self.steps[f"{bits}bit"].to(values.dtype))
        # A weight that is not a finite number must not hide behind a whole one.
        return floored(values / step, bits), step + 0 * values.abs().amax()


def largest_multiple(bits: int) -> int:
    """Return m_b, the largest multiple of the step."""
    return max(1, (1 << (bits - 1)) - 1)


def floored(ratio: Tensor, bits: int) -> Tensor:
    """Return floor(clip(v, -m_b, m_b)), at one bit the sign of v with sign(0) = +1."""
    if bits == 1:
        return torch.where(ratio >= 0, 1.0, -1.0).to(ratio.dtype)
    most = largest_multiple(bits)
    return ratio.clamp(-most, most).floor_()


def used_step(step: Tensor) -> Tensor:
    """Return the step that is used for a learned one."""
    return step.abs().clamp(min=SMALLEST_STEP)


class _LearnedStep(torch.autograd.Function):
    """The values; dy/dx = [-m < v < m], dy/dalpha = g (y / alpha - v inside, y / alpha outside).

    g = 1 / sqrt(N m) for N elements.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: Tensor, values: Tensor, bits: int) -> Tensor:
        ctx.save_for_backward(weight, step)
        ctx.bits = bits
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, step = ctx.saved_tensors
        most = largest_multiple(ctx.bits)
        values = weight.to(arithmetic_dtype(weight))
        ratio = values / used_step(step.to(values.dtype))
        multiples = floored(ratio, ctx.bits)
        inside = (ratio > -most) & (ratio < most)
        grad_weight = torch.where(inside, grads[0], 0).to(weight.dtype)
        slope = torch.where(inside, multiples - ratio, multiples)
        scale = (weight.numel() * most) ** -0.5
        grad_step = scale * (grads[0] * slope).sum() * torch.where(step < 0, -1.0, 1.0)
        return grad_weight, grad_step.to(step.dtype), None, None
