"""Rounding to multiples of a learned step (Bit-Mixer Eq. 1-2, after LSQ): weights and activations.

    m_b = 2^(b-1) - 1 for b >= 2, m_1 = 1        v = x / alpha
    b >= 2    y = alpha floor(clip(v, -m_b, m_b))
    b = 1     y = alpha sign(v),  sign(0) = +1

As printed, m_1 would be 0 and clip everything. Two variants of its Table 5: the nearest multiple
instead of the one below, and the range [-2^(b-1), 2^(b-1) - 1] instead of [-m_b, m_b].
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from models.precision import Precision

SMALLEST_STEP = 1e-6
"""Smallest step used; a step that training makes negative is used without its sign."""


class LearnedStepSettings(BaseModel, frozen=True, extra="forbid"):
    """How a number is rounded to a multiple of its step."""

    rounding: Literal["floor", "round"] = Field(
        "floor", description="to the multiple of the step below (Bit-Mixer), or to the nearest"
    )
    range: Literal["symmetric", "asymmetric"] = Field(
        "symmetric",
        description="multiples from -m to m = 2^(b-1) - 1 (Bit-Mixer), or from -m - 1 to m",
    )


@runtime_checkable
class Ranged(Protocol):
    """Learned steps, each of which spans a range that other bit-widths can take over."""

    def ratio(self, precision: Precision, source: Precision) -> float:
        """Return the factor that makes a step of `source` one of `precision` with its range."""


class Grid(NamedTuple):
    """Whole numbers from low to high, -1 and +1 at one bit: multiples of a step."""

    bits: int
    low: int
    high: int
    floors: bool

    @classmethod
    def of(cls, settings: LearnedStepSettings, bits: int, *, signed: bool = True) -> "Grid":
        """Return the grid of a bit-width; from 0 on for inputs that are never negative."""
        most = largest_multiple(bits)
        one_more = settings.range == "asymmetric" and bits > 1
        low = -most - one_more if signed else 0
        return cls(bits, low, most, settings.rounding == "floor")

    @property
    def apart(self) -> int:
        """How far two neighbors are apart."""
        return 2 if self.bits == 1 else 1

    def multiples(self, ratio: Tensor) -> Tensor:
        """Return the number of the grid that x / alpha becomes; NaN stays."""
        clipped = ratio.clamp(self.low, self.high)
        if self.bits == 1:
            return clipped.floor_().mul_(2).add_(1).clamp_(max=1)
        return clipped.floor_() if self.floors else clipped.round_()

    def places(self, multiples: Tensor) -> Tensor:
        """Return the places of numbers on the grid, from 0 on."""
        return (multiples - self.low).div_(self.apart)


def largest_multiple(bits: int) -> int:
    """Return m_b, the largest multiple of the step."""
    return max(1, (1 << (bits - 1)) - 1)


def used_step(step: Tensor) -> Tensor:
    """Return the step that is used for a learned one."""
    return step.abs().clamp(min=SMALLEST_STEP)


def first_step(values: Tensor, bits: int) -> Tensor:
    """Return 2 mean|x| / sqrt(m_b), from which a step begins to learn."""
    return 2 * values.abs().mean() / math.sqrt(largest_multiple(bits))


def with_gradients(
    values: Tensor,
    differentiable: Tensor,
    step: Tensor,
    ratio: Tensor,
    grid: Grid,
    rounded: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return values, or a stand-in for them, with Bit-Mixer's gradients.

        dy/dx = [low < v < high]        dy/dalpha = g (y / alpha - v inside, y / alpha outside)

    differentiable: x. ratio: v. g = 1 / sqrt(N m_b) for N elements. rounded: from v to y / alpha,
    if that is not the grid's own rounding.
    """
    output: Tensor = _LearnedStep.apply(  # type: ignore[no-untyped-call]
        differentiable, step, values, ratio, grid, rounded or grid.multiples
    )
    return output


class _LearnedStep(torch.autograd.Function):
    """The values, with the gradients above."""

    @staticmethod
    def forward(
        ctx: Any,
        differentiable: Tensor,
        step: Tensor,
        values: Tensor,
        ratio: Tensor,
        grid: Grid,
        rounded: Callable[[Tensor], Tensor],
    ) -> Tensor:
        ctx.save_for_backward(step, ratio)
        ctx.grid, ctx.rounded, ctx.dtype = grid, rounded, differentiable.dtype
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        step, ratio = ctx.saved_tensors
        grid: Grid = ctx.grid
        inside = (ratio > grid.low) & (ratio < grid.high)
        multiples = ctx.rounded(ratio)
        slope = torch.where(inside, multiples - ratio, multiples)
        scale = (ratio.numel() * grid.high) ** -0.5
        grad_step = scale * (grads[0] * slope).sum() * torch.where(step < 0, -1.0, 1.0)
        grad_inputs = torch.where(inside, grads[0], 0).to(ctx.dtype)
        return grad_inputs, grad_step.to(step.dtype), None, None, None, None
