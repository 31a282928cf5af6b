"""Signed activations clipped at two learned levels, one for each side (two-sided PACT, VideoIQ).

    w = alpha + beta      u = (clip(A, -beta, alpha) + beta) / w      y = w round(n u) / n - beta

with n = 2^b - 1. The gradients are those of PACT, or with round's gradient taken as 1 (calibrated):

    pact         dL/dA = g [-beta <= A <= alpha]
                 dL/dalpha = sum g [A >= alpha]         dL/dbeta = -sum g [A <= -beta]
    calibrated   dL/dA = g [-beta < A < alpha]; where that is 1, both levels get g (y - A) / w more

The symmetric form is beta = alpha: its gradient is the sum of both.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.precision import LayerPrecision
from models.quantized import Codes, as_codes, stand_in_for
from models.quantizers.base import arithmetic_dtype


class Sides(NamedTuple):
    """The clip levels of both sides as they are learned, and what else decides about levels.

    Levels below the floor are used as the floor; their gradients pass unchanged.
    """

    upper: Tensor
    lower: Tensor
    floor: float
    calibrated: bool


def quantize_two_sided(inputs: Tensor, sides: Sides, bits: int) -> Tensor:
    """Return inputs on the 2^bits levels of [-beta, alpha]."""
    ends = _ends(sides, arithmetic_dtype(inputs))
    with torch.no_grad():
        places, step = _places(inputs.to(ends.dtype), ends, bits)
        values = places.mul_(step).sub_(ends[1])
    return _with_gradients(inputs, values, sides, ends, bits)


def encode_two_sided(inputs: Tensor, sides: Sides, at: LayerPrecision) -> Codes:
    """Return the same levels of float32 inputs, channels last, as codes."""
    bits, ends = at.own.activations, _ends(sides, inputs.dtype)
    with torch.no_grad():
        places, step = _places(inputs, ends, bits)
    stand_in = _with_gradients(inputs, stand_in_for(inputs), sides, ends, bits)
    return as_codes(places, bits, step, -ends[1], stand_in)


def _ends(sides: Sides, dtype: torch.dtype) -> Tensor:
    """Return alpha and beta as they are used, (2,)."""
    levels = torch.stack([sides.upper.detach(), sides.lower.detach()])
    return levels.to(dtype).clamp(min=sides.floor)


def _places(values: Tensor, ends: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return n u, rounded, and the distance of two levels; NaN stays."""
    alpha, beta = ends
    step = (alpha + beta) / (2**bits - 1)
    return values.clamp(-beta, alpha).add_(beta).div_(step).round_(), step


def _with_gradients(
    inputs: Tensor, values: Tensor, sides: Sides, ends: Tensor, bits: int
) -> Tensor:
    output: Tensor = _TwoSided.apply(  # type: ignore[no-untyped-call]
        inputs, sides.upper, sides.lower, values, ends, bits, sides.calibrated
    )
    return output


class _TwoSided(torch.autograd.Function):
    """Values, or a stand-in for them, with the gradients above."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        upper: Tensor,
        lower: Tensor,
        values: Tensor,
        ends: Tensor,
        bits: int,
        calibrated: bool,
    ) -> Tensor:
        ctx.save_for_backward(inputs, ends)
        ctx.bits, ctx.calibrated, ctx.dtype = bits, calibrated, upper.dtype
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, ends = ctx.saved_tensors
        values, (alpha, beta) = inputs.to(ends.dtype), ends
        above, below = values >= alpha, values <= -beta
        to_alpha = torch.where(above, grads[0], 0).sum()
        to_beta = -torch.where(below, grads[0], 0).sum()
        inside = (values >= -beta) & (values <= alpha)
        if ctx.calibrated:
            inside = ~(above | below)
            places, step = _places(values, ends, ctx.bits)
            slope = places.mul_(step).sub_(beta).sub_(values).div_(alpha + beta)
            more = torch.where(inside, grads[0] * slope, 0).sum()
            to_alpha, to_beta = to_alpha + more, to_beta + more
        to_inputs = torch.where(inside, grads[0], 0).to(inputs.dtype)
        return (to_inputs, to_alpha.to(ctx.dtype), to_beta.to(ctx.dtype), *[None] * 4)
